"""The fields for a pixel size: a number, two objectives, and a line along a scale bar."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QLineEdit, QWidget

from napari_nh2st.slides.mpp import NOMINAL
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.pixel_size import PixelSize

_NOMINAL = "20x is about 0.5 µm/px and 40x about 0.25. These are nominal: scanners differ by a tenth and more."


class PixelSizeForm(QWidget):
    """Shows the pixel size with its source, and takes another one.

    Parameters
    ----------
    give : callable
        ``give(mpp, source)`` puts the size behind the slide.
    """

    def __init__(self, give: Callable[[float, str], object]) -> None:
        super().__init__()
        self.presenter = PixelSize(self, give)
        self.text = Sentence()
        self.text.setToolTip("How many micrometres a pixel is wide, and where that number comes from")
        self.edit = action_button(
            "edit", "Correct the pixel size, where the file says it wrongly", self._edit, visible=False
        )
        self.fields = self._make_fields()
        layout = column(self, spacing=2)
        first = indented(self.text)
        first.addWidget(self.edit)
        layout.addLayout(first)
        layout.addLayout(indented(self.fields))

    def _make_fields(self) -> QWidget:
        fields = QWidget()
        self.value = QLineEdit()
        self.value.setPlaceholderText("µm per pixel")
        self.value.setToolTip("Micrometres per pixel, from 0.05 to 10; Enter sets it")
        self.value.returnPressed.connect(lambda: self.set.click())
        self.set = action_button(
            "Set", "Take this pixel size for the slide (Enter)", lambda: self.presenter.enter(self.value.text())
        )
        self.objectives = {
            name: action_button(
                name,
                f"Take {mpp:g} µm per pixel, the nominal size at {name}. Scanners differ: a size from the scanner or a "
                "scale bar is better",
                lambda name=name: self.presenter.choose_objective(name),
            )
            for name, mpp in NOMINAL.items()
        }
        self.nominal, self.sentence = Sentence(_NOMINAL, dim=True), Sentence()
        self.former = Sentence(dim=True)
        self.back = action_button(
            "Take back", "Go back to the pixel size of before", lambda: self.presenter.take_back()
        )
        self.former_row = QWidget()
        self.former_row.setLayout(row(self.former, self.back, stretch=0))
        layout = column(fields, spacing=2)
        layout.addLayout(row(self.value, self.set, stretch=0))
        self.ways = row(*self.objectives.values())
        layout.addLayout(self.ways)
        for part in (self.sentence, self.nominal, self.former_row):
            layout.addWidget(part)
        fields.setVisible(False)
        return fields

    def _edit(self) -> None:
        if self.fields.isHidden():
            self.presenter.edit()
            self.value.selectAll()
            self.value.setFocus()
        else:
            self.show_fields(False)

    # what the presenter shows

    def show_size(self, text: str, *, editable: bool) -> None:
        """Show the size in words, and whether it can be corrected."""
        self.text.say(text)
        self.edit.setVisible(editable)

    def show_fields(self, on: bool, value: str = "") -> None:
        """Offer the fields, with this value in them."""
        self.value.setText(value)
        self.fields.setVisible(on)

    def show_former(self, text: str) -> None:
        """Offer to take back the last change; nothing to take back where this is empty."""
        self.former.say(text and f"Before: {text}")
        self.former_row.setVisible(bool(text))

    def say(self, text: str) -> None:
        """Say why a value is not taken."""
        self.sentence.say(text)

"""The fields for a pixel size: a number, two objectives, and a line along a scale bar."""

from __future__ import annotations

from collections.abc import Callable

from napari.viewer import Viewer
from qtpy.QtWidgets import QComboBox, QLineEdit, QWidget

from napari_nh2st.slides.mpp import NOMINAL
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.kit.tool_button import ToolButton
from napari_nh2st.viewer.kit.tool_in_hand import Tool, ToolInHand
from napari_nh2st.viewer.layers.measuring_line import DRAWING, MeasuringLine
from napari_nh2st.viewer.predict.pixel_size import UNITS, PixelSize
from napari_nh2st.viewer.state.dock_state import DockState

_NOMINAL = "20x is about 0.5 µm/px and 40x about 0.25. These are nominal: scanners differ by a tenth and more."


_MEASURE = "Draw a line along a scale bar that is in the image, and type how long the bar is. Esc ends it"


class PixelSizeForm(QWidget):
    """Shows the pixel size with its source, and takes another one.

    Parameters
    ----------
    viewer : Viewer
    state : DockState
    tools : ToolInHand
        The line is drawn with a tool.
    give : callable
        ``give(mpp, source)`` puts the size behind the slide.
    """

    def __init__(
        self, viewer: Viewer, state: DockState, tools: ToolInHand, give: Callable[[float, str], object]
    ) -> None:
        super().__init__()
        self._state, self._tools, self._give = state, tools, give
        self._line = MeasuringLine(viewer, self._drawn)
        self._tool = Tool(self._begin_line, self._end_line, frozenset({DRAWING}))
        self.presenter = PixelSize(self, self._take)
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
        self.measure = ToolButton("Measure…", _MEASURE, "Done", self._tool, self._tools)
        self.length_row = self._make_length()
        self.measured = Sentence()
        self.nominal, self.sentence = Sentence(_NOMINAL, dim=True), Sentence()
        self.former = Sentence(dim=True)
        self.back = action_button(
            "Take back", "Go back to the pixel size of before", lambda: self.presenter.take_back()
        )
        self.former_row = QWidget()
        self.former_row.setLayout(row(self.former, self.back, stretch=0))
        layout = column(fields, spacing=2)
        layout.addLayout(row(self.value, self.set, stretch=0))
        self.ways = row(*self.objectives.values(), self.measure)
        layout.addLayout(self.ways)
        for part in (self.measured, self.length_row, self.sentence, self.nominal, self.former_row):
            layout.addWidget(part)
        fields.setVisible(False)
        return fields

    def _make_length(self) -> QWidget:
        self.length, self.unit = QLineEdit(), QComboBox()
        self.length.setPlaceholderText("length of the bar")
        self.length.setToolTip("As it is written beside the scale bar in the image; Enter sets the pixel size")
        self.unit.addItems(list(UNITS))
        self.set_length = action_button("Set", "Take the pixel size that follows (Enter)", self._enter_length)
        self.length.textChanged.connect(lambda: self._work_out())
        self.unit.currentTextChanged.connect(lambda: self._work_out())
        self.length.returnPressed.connect(self._enter_length)
        line = QWidget()
        line.setLayout(row(self.length, self.unit, self.set_length, stretch=0))
        line.setVisible(False)
        return line

    # measuring

    def _begin_line(self) -> bool:
        layer = self._state.slide_layer
        if layer is None:
            return False
        self._line.begin(layer)
        self.length.clear()
        self.length_row.setVisible(True)
        self._drawn(0.0)
        return True

    def _end_line(self) -> None:
        self._line.end()
        self.length_row.setVisible(False)
        self.measured.say("")

    def _drawn(self, pixels: float) -> None:
        self.presenter.draw(pixels)
        self._work_out()

    def _work_out(self) -> None:
        if not self.length_row.isHidden():
            self.presenter.work_out(self.length.text(), self.unit.currentText())

    def _enter_length(self) -> None:
        self.presenter.enter_length(self.length.text(), self.unit.currentText())

    def _take(self, mpp: float, source: str) -> None:
        self._tools.put_down(self._tool)
        self._give(mpp, source)

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

    def show_measured(self, text: str) -> None:
        """Say what the drawn line and its length come to."""
        self.measured.say(text)

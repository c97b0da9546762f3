"""Three genes in one image in the section *Several genes*: a field a colour, and a button that draws them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtWidgets import QCompleter, QHBoxLayout, QListView, QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Label, Sentence
from napari_nh2st.viewer.layers.composite import COLOURS, Composite
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.composite import CompositePresenter
from napari_nh2st.viewer.several.messages import FIELD_TIP, SCALE_TIP, SHOW_TIP, USE_PINNED_TIP
from napari_nh2st.viewer.several.name_combo import NameCombo

_LISTED = 15


class CompositePart(QWidget):
    """Three genes, each in its colour."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._genes = QStringListModel([""], self)
        self.combos: list[NameCombo] = []
        self.scales: list[Label] = []
        self.use_pinned = action_button("Use pinned", USE_PINNED_TIP, lambda: self.presenter.use_pinned())
        self.show_button = action_button("Show together", SHOW_TIP, lambda: self.presenter.show())
        self.sentence = Sentence()
        layout = column(self, spacing=4)
        for name, colour in COLOURS:
            layout.addLayout(self._line(name, colour))
        layout.addLayout(row(self.use_pinned, self.show_button))
        layout.addWidget(self.sentence)
        self.presenter = CompositePresenter(workspace, self)
        self.presenter.update()

    def _line(self, name: str, colour: str) -> QHBoxLayout:
        swatch = Label()
        swatch.setFixedSize(14, 14)
        swatch.setStyleSheet(f"QLabel {{ background: {colour}; border-radius: 2px; }}")
        combo = self._make_combo(name)
        scale = Label()
        scale.setToolTip(SCALE_TIP)
        self.combos.append(combo)
        self.scales.append(scale)
        return row(swatch, combo, scale, stretch=1)

    def _make_combo(self, colour_name: str) -> NameCombo:
        combo = NameCombo(FIELD_TIP.format(colour_name), f"gene in {colour_name}")
        combo.setMaxVisibleItems(_LISTED)
        combo.setModel(self._genes)
        view = combo.view()
        if isinstance(view, QListView):
            view.setUniformItemSizes(True)
        completer = QCompleter(self._genes, combo)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        combo.setCompleter(completer)
        combo.field.returnPressed.connect(lambda: self.presenter.show())
        return combo

    @property
    def current(self) -> Composite | None:
        """The composite of the map that is shown, None where there is none."""
        return self.presenter.current

    @property
    def genes(self) -> tuple[str, ...]:
        """Texts of the fields, empty for no gene."""
        return tuple(combo.currentText() for combo in self.combos)

    def list_genes(self, genes: Sequence[str]) -> None:
        """Suggest these genes in each field."""
        self._genes.setStringList(["", *genes])

    def write_genes(self, genes: Sequence[str]) -> None:
        """Write a gene of the list into each field; empty leaves it empty."""
        for combo, gene in zip(self.combos, genes, strict=True):
            combo.choose(gene)

    def show_scales(self, scales: Sequence[str]) -> None:
        """Say beside each field which values its colour spans; empty where it is not drawn."""
        for label, text in zip(self.scales, scales, strict=True):
            label.setText(text)
            label.setVisible(bool(text))

    def show_offer(self, show_off: str, use_pinned_off: str) -> None:
        """Offer to draw the genes and to take the pinned ones, but for what has a reason to be off."""
        self.show_button.set_reason_off(show_off)
        self.use_pinned.set_reason_off(use_pinned_off)

    def show_sentence(self, text: str) -> None:
        """Say why the genes cannot be drawn."""
        self.sentence.say(text)

"""The genes that a person keeps at hand, as small buttons that wrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent
from qtpy.QtWidgets import QPushButton, QWidget
from superqt import QFlowLayout

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.texts import plain_tip

_LOOK = "QPushButton { padding: 1px 5px; %s}"  # small: several of them fit into a line
_GREY = "color: gray; "


class _Chip(QPushButton):
    """A pinned gene: a click shows it, Delete or its menu unpins it."""

    unpinned = Signal()

    def __init__(self, gene: str) -> None:
        super().__init__(gene.replace("&", "&&"))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        action = QAction(f"Unpin {gene}".replace("&", "&&"), self)
        action.triggered.connect(self.unpinned)
        self.addAction(action)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Unpin with Delete."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.unpinned.emit()
        else:
            super().keyPressEvent(event)


class PinnedRow(QWidget):
    """A button for each pinned gene, and one that pins or unpins the gene in sight."""

    clicked = Signal(str)
    toggled = Signal(str)  # to be pinned, or unpinned where it is pinned

    def __init__(self) -> None:
        super().__init__()
        self.chips: dict[str, _Chip] = {}
        self.setToolTip("Genes that you keep at hand")
        self.pin = action_button("+", "", lambda: self.toggled.emit(self._shown))
        self.pin.setStyleSheet(_LOOK % "")
        self._shown = ""
        self._layout = QFlowLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setHorizontalSpacing(4)
        self._layout.setVerticalSpacing(4)
        self._layout.addWidget(self.pin)

    def show_genes(self, genes: Sequence[str], shown: str, predicted: Callable[[str], bool]) -> None:
        """Show these genes in their order.

        Parameters
        ----------
        shown : str
            The gene in sight, empty where there is none.
        predicted : callable
            Tells whether the model predicts a gene.
        """
        if list(self.chips) != list(genes):
            self._set_genes(genes)
        for gene, chip in self.chips.items():
            known = predicted(gene)
            chip.setStyleSheet(_LOOK % ("" if known else _GREY))
            chip.setToolTip(
                plain_tip(f"Show {gene}; Delete unpins it" if known else f"This model does not predict {gene}")
            )
        self._shown = shown
        pinned = shown in self.chips
        does = f"{'Unpin' if pinned else 'Pin'} {shown}: pinned genes stay at hand, for you and in every slide"
        self.pin.set_action("−" if pinned else "+", does)
        self.pin.set_reason_off("" if shown else "Nothing to pin: no gene is chosen")

    def _set_genes(self, genes: Sequence[str]) -> None:
        for chip in self.chips.values():
            self._layout.removeWidget(chip)
            chip.hide()
            chip.deleteLater()
        self._layout.removeWidget(self.pin)
        self.chips = {gene: _Chip(gene) for gene in genes}
        for gene, chip in self.chips.items():
            chip.clicked.connect(partial(self._clicked, gene))
            chip.unpinned.connect(partial(self.toggled.emit, gene))
            self._layout.addWidget(chip)
        self._layout.addWidget(self.pin)
        order = [*self.chips.values(), self.pin]
        for before, after in pairwise(order):
            QWidget.setTabOrder(before, after)

    def _clicked(self, gene: str, checked: bool = False) -> None:
        self.clicked.emit(gene)

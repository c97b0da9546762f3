"""A list of genes with what is said of each, in which a person can type any part of a name."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QAbstractListModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget
from superqt import QSearchableComboBox
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.texts import plain_tip

_ITEMS_IN_SIGHT = 15
_LETTERS = 26  # of an item: a name, its PCC


class GeneCombo(QSearchableComboBox):
    """A list of genes; a name is searched for, what is said of it is not."""

    gene_chosen = Signal(str)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self._items = _Items(self)
        self._gene = ""
        self.setModel(self._items)
        self.setToolTip(plain_tip(tooltip))
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setIconSize(QSize(0, 0))
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMaxVisibleItems(_ITEMS_IN_SIGHT)
        self.view().setUniformItemSizes(True)
        self.completer_object.setModel(self._items)
        self.completer_object.setCompletionRole(Qt.ItemDataRole.EditRole)
        self.completer_object.setMaxVisibleItems(_ITEMS_IN_SIGHT)
        self.activated.connect(lambda at: self._choose(self._items.genes[at]))
        self.lineEdit().editingFinished.connect(self._typed)

    def list_genes(self, genes: Sequence[str], words: Sequence[str], gene: str) -> None:
        """List genes with a word on each and show one; the order stays while somebody looks for another one."""
        same, self._gene = gene == self._gene, gene
        searching = self.view().isVisible() or (same and self.currentText() != gene)
        if searching and set(genes) == set(self._items.genes):
            # seen when the list is drawn next; telling Qt of it would drop what is typed
            self._items.words = dict(zip(genes, words, strict=True))
            return
        with signals_blocked(self):
            self._items.list_genes(genes, words)
            self.setCurrentIndex(list(genes).index(gene))
            self._write(gene)

    def showPopup(self) -> None:
        """Open the whole list."""
        self.view().setMinimumWidth(_LETTERS * self.fontMetrics().averageCharWidth())
        super().showPopup()

    def _choose(self, gene: str) -> None:
        self._gene = gene
        self.gene_chosen.emit(gene)

    def _typed(self) -> None:
        """Take a whole name that was typed, in whatever case; anything else is given up."""
        text = self.currentText().strip().casefold()
        gene = next((gene for gene in self._items.genes if gene.casefold() == text), self._gene)
        if gene != self._gene:
            self._choose(gene)
        self._write(self._gene)

    def _write(self, gene: str) -> None:
        self.setEditText(gene)
        self.lineEdit().setCursorPosition(0)  # of a long name, the beginning is in sight


class _Items(QAbstractListModel):
    """Genes with a word on each: the name alone is typed and searched for."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.genes: list[str] = []
        self.words: dict[str, str] = {}

    def list_genes(self, genes: Sequence[str], words: Sequence[str]) -> None:
        reordered = list(genes) != self.genes
        if reordered:
            self.beginResetModel()
        self.genes, self.words = list(genes), dict(zip(genes, words, strict=True))
        if reordered:
            self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, the signature is Qt's
        return 0 if parent.isValid() else len(self.genes)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        if not index.isValid() or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        gene = self.genes[index.row()]
        return gene if role == Qt.ItemDataRole.EditRole else f"{gene}   {self.words.get(gene, '')}"

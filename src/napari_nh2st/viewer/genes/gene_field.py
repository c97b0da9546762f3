"""The field in which you look for a gene: suggestions while you type, and the whole list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QModelIndex, QStringListModel, Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPalette
from qtpy.QtWidgets import QCompleter, QLineEdit, QStyledItemDelegate, QStyleOptionViewItem, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.model.gene_list import GeneList, Meaning, Suggestion
from napari_nh2st.viewer.genes.messages import gene_words, suggestion_words
from napari_nh2st.viewer.kit.combo import NarrowCombo

_TOOLTIP = (
    "The gene to show. Type any part of its symbol, another name (HER2, Ki-67) or its Ensembl id; Enter shows it. "
    "Up and down walk the list. Empty the field to see the genes that were shown last"
)
_IN_SIGHT = 15
_LETTERS = 50  # of a line of the list: a name, its figures; the field itself is narrower


class _Line(QStyledItemDelegate):
    """Draws a line with the gene's figures, which are no part of the name that you type."""

    def __init__(self, parent: QWidget, words: Callable[[QModelIndex], tuple[str, bool]]) -> None:
        super().__init__(parent)
        self._words = words

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        option.text, grey = self._words(index)
        if grey:
            option.palette.setColor(QPalette.ColorRole.Text, Qt.GlobalColor.gray)


class _Edit(QLineEdit):
    """A line to type in whose gene goes as soon as another one is typed: the first click takes all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._settled = True  # the text is a gene, not something that is being typed
        self.textEdited.connect(lambda: self._settle(False))

    def settle(self) -> None:
        """Take note that the text is a gene; where the cursor is here, what is typed next takes its place."""
        self._settle(True)
        if self.window().focusWidget() in (self, self.focusProxy()):
            self.setSelection(len(self.text()), -len(self.text()))  # of a long name, the beginning stays in sight

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Let the next click take all of the text again."""
        super().focusOutEvent(event)
        self._settle(True)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Take all of the text with the first click; a drag takes what it passes, a second click places the cursor."""
        super().mouseReleaseEvent(event)
        if self._settled and event.button() == Qt.MouseButton.LeftButton and not self.hasSelectedText():
            self.selectAll()
        self._settle(False)

    def _settle(self, on: bool) -> None:
        self._settled = on


class GeneField(NarrowCombo):
    """A combo box of all genes whose field suggests some of them.

    Attributes
    ----------
    genes : GeneList or None
        None disables it.
    figures : mapping or None
        Moran's I by gene, shown beside each.
    recent : sequence of str
        Offered while the field is empty.
    """

    walked = Signal(str)  # a gene of the list, by the arrow keys or the mouse
    meant = Signal(object)  # the Meaning of a suggestion that was chosen
    entered = Signal(str)  # a text that was typed
    given_up = Signal()  # what was typed is dropped

    def __init__(self) -> None:
        super().__init__(_TOOLTIP)
        self.genes: GeneList | None = None
        self.figures: Mapping[str, float] | None = None
        self.recent: Sequence[str] = ()
        self.suggested: list[Suggestion] = []
        self.setEditable(True)
        self._edit = _Edit()
        self.setLineEdit(self._edit)
        self.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        self.setMaxVisibleItems(_IN_SIGHT)
        self.setMinimumContentsLength(4)
        self._names = QStringListModel(self)
        self.setModel(self._names)
        self.view().setUniformItemSizes(True)  # else opening 20,000 genes measures each of them
        self.view().setItemDelegate(_Line(self, self._line))
        self.lineEdit().setPlaceholderText("gene")
        self._make_suggestions()
        self.currentIndexChanged.connect(self._walked)
        self.lineEdit().textEdited.connect(self._typed)
        self.lineEdit().returnPressed.connect(self._entered)

    def _make_suggestions(self) -> None:
        """Make a popup of our own: Qt's filter knows no other names, and completes nothing in an empty field."""
        self.setCompleter(None)
        self._offered = QStringListModel(self)
        self._completer = QCompleter(self._offered, self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)  # without a prefix: all are shown
        self._completer.setMaxVisibleItems(_IN_SIGHT)
        self._completer.setWidget(self.lineEdit())
        self._completer.activated[QModelIndex].connect(self._picked)
        self.popup = self._completer.popup()
        self.popup.setUniformItemSizes(True)
        self.popup.setItemDelegate(_Line(self, self._suggestion))

    @property
    def gene(self) -> str:
        """The chosen gene, empty where there is none; the text may be another one that is being typed."""
        return self.itemText(self.currentIndex()) if self.currentIndex() >= 0 else ""

    def list_genes(self, genes: Sequence[str], chosen: str) -> None:
        """List genes in an order; nothing is told of it."""
        with signals_blocked(self):
            self._names.setStringList(genes)
            self.setCurrentIndex(genes.index(chosen) if chosen in genes else -1)
        self.lineEdit().setCursorPosition(0)  # of a long name, the beginning is in sight

    def listed(self) -> list[str]:
        """Return the genes in the order in which they stand."""
        return list(self._names.stringList())

    def walk(self, steps: int) -> None:
        """Go some genes further down the list, or up; it ends at its ends."""
        if self.count():
            self.setCurrentIndex(min(max(0, self.currentIndex() + steps), self.count() - 1))

    def stand_at(self, gene: str) -> None:
        """Show a gene of the list, or none; nothing is told of it."""
        self.popup.hide()  # else the arrow keys walk its suggestions, not the list
        self._show_absence(False)
        with signals_blocked(self):
            self.setCurrentIndex(self.findText(gene, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchCaseSensitive))
            self.setEditText(gene)
        self.lineEdit().setCursorPosition(0)  # of a long name, the beginning is in sight
        self._edit.settle()

    def show_absent(self, text: str) -> None:
        """Show a text in grey: the model predicts no such gene."""
        self.popup.hide()
        self.setEditText(text)
        self._show_absence(True)

    def _show_absence(self, absent: bool) -> None:
        style = "QLineEdit { color: gray; }" if absent else ""
        if self.lineEdit().styleSheet() != style:
            self.lineEdit().setStyleSheet(style)

    def showPopup(self) -> None:
        """Open the whole list."""
        self.view().setMinimumWidth(self._list_width())
        super().showPopup()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Give up what was typed with Esc; where nothing was, the key is the dock's."""
        if event.key() == Qt.Key.Key_Escape and self.currentText() != self.gene:
            self.given_up.emit()
        else:
            super().keyPressEvent(event)

    def _list_width(self) -> int:
        return _LETTERS * self.fontMetrics().averageCharWidth()

    def _walked(self, index: int) -> None:
        if index >= 0:
            self.walked.emit(self.itemText(index))

    def _typed(self, text: str) -> None:
        self._show_absence(False)
        if self.genes is None:
            return
        if text.strip():
            self.suggested = self.genes.suggest(text)
        else:
            self.suggested = [Suggestion(gene, recent=True) for gene in self.recent if gene in self.genes]
        self._offered.setStringList([suggestion.gene for suggestion in self.suggested])
        if self.suggested:
            self.popup.setMinimumWidth(self._list_width())
            self._completer.complete()
        else:
            self.popup.hide()

    def _entered(self) -> None:
        if not (self.popup.isVisible() and self.popup.selectionModel().hasSelection()):  # else the popup tells it
            self.entered.emit(self.lineEdit().text())

    def _picked(self, index: QModelIndex) -> None:
        picked = self.suggested[index.row()]
        symbols = (picked.gene,) if picked.via or not picked.predicted else ()
        self.meant.emit(Meaning(picked.gene if picked.predicted else None, picked.via, symbols))

    def _line(self, index: QModelIndex) -> tuple[str, bool]:
        gene = str(index.data())
        return (gene if self.genes is None else gene_words(self.genes.card, gene, self._figure(gene))), False

    def _suggestion(self, index: QModelIndex) -> tuple[str, bool]:
        if self.genes is None or index.row() >= len(self.suggested):
            return str(index.data()), False
        line = self.suggested[index.row()]
        return suggestion_words(self.genes.card, line, self._figure(line.gene)), not line.predicted

    def _figure(self, gene: str) -> float | None:
        return None if self.figures is None else self.figures.get(gene)

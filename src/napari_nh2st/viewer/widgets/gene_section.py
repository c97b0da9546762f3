"""Which gene is shown, how far to trust it, and how it is coloured."""

from __future__ import annotations

from typing import Any

from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtCore import QEvent, QModelIndex, QStringListModel, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QCompleter, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_nh2st.model.card import Card
from napari_nh2st.viewer.heatmap import COLORMAPS, HeatmapLayer, Style, first_gene
from napari_nh2st.viewer.widgets.parts import NarrowCombo, Sentence, column, indented, row
from napari_nh2st.viewer.words import gene_words, trust_words

PERCENTILES = {"1 to 99 %": (1.0, 99.0), "5 to 95 %": (5.0, 95.0), "lowest to highest": (0.0, 100.0)}

A_TO_Z, BEST_FIRST = "a to z", "best first"
_ORDER_TOOLTIP = (
    "The order of the list: by name, or by how well each gene was predicted on held-out tissue. "
    "Genes that were no better than chance come after the others, genes without a figure come last"
)
_NO_ORDER = "This model was not evaluated on held-out tissue: there is nothing to order its genes by but their names"
_LIST_WIDTH = 240  # a long name and its figure; the field itself is narrower


class _GeneLine(QStyledItemDelegate):
    """Draws a gene of the list with its held-out figure, which is no part of the name that one types."""

    card: Card | None = None

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        if self.card is not None:
            option.text = gene_words(self.card, option.text)


class GeneSection(QWidget):
    """A field that filters while one types, walked with the arrow keys, and the colours."""

    gene_chosen = Signal(str)
    style_changed = Signal()

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style_ = style
        self._card: Card | None = None
        self._best_first = False
        self._names = QStringListModel(self)
        self._make_gene()
        self._make_order()
        self._make_colours()
        self.trust = Sentence()
        self.trust.setToolTip("How well this gene was predicted on tissue that the model had not seen")
        self.scale = Sentence()
        self.scale.setToolTip("What the two ends of the colour bar stand for")
        layout = column(self)
        layout.addLayout(row(self.combo, self.order, label="Gene", stretch=0))
        layout.addLayout(indented(self.trust))
        layout.addLayout(row(self.limits, self.lock, label="Limits", stretch=0))
        layout.addLayout(row(self.colours, label="Colours", stretch=0))
        layout.addLayout(indented(self.scale))

    def _make_gene(self) -> None:
        self.combo = NarrowCombo("The gene to show. Type any part of its name; up and down walk the list")
        self.combo.setEditable(True)
        self.combo.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        self.combo.setMaxVisibleItems(15)
        self.combo.setModel(self._names)
        self.combo.view().setUniformItemSizes(True)  # else opening 20,000 genes measures each of them
        self.combo.view().setMinimumWidth(_LIST_WIDTH)
        completer = QCompleter(self._names, self.combo)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.popup().setUniformItemSizes(True)
        completer.popup().setMinimumWidth(_LIST_WIDTH)
        self._lines = _GeneLine(self)
        self.combo.setCompleter(completer)
        for shown in (self.combo.view(), completer.popup()):  # both bring a delegate of their own
            shown.setItemDelegate(self._lines)
        self.combo.lineEdit().setPlaceholderText("gene")
        self.combo.currentIndexChanged.connect(self._walked)
        self.combo.lineEdit().returnPressed.connect(self._entered)
        completer.activated[str].connect(self.choose)

    def _make_order(self) -> None:
        self.order = NarrowCombo(_ORDER_TOOLTIP)
        for text, order, tip in (("A–Z", A_TO_Z, "A to Z"), ("best", BEST_FIRST, "most trusted first")):
            self.order.addItem(text, order)
            self.order.setItemData(self.order.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.order.setMinimumContentsLength(1)
        self.order.setFixedWidth(74)
        self.order.currentIndexChanged.connect(self._reordered)

    def changeEvent(self, event: QEvent) -> None:
        """Give the list of suggestions the window's theme: it is a window of its own."""
        if event.type() == QEvent.Type.StyleChange:
            self.combo.completer().popup().setStyleSheet(self.window().styleSheet())
        super().changeEvent(event)

    def _make_colours(self) -> None:
        self.limits = NarrowCombo("Which part of the values the colours span; the rest takes the end colours")
        for name, ends in PERCENTILES.items():
            self.limits.addItem(name, ends)
        self.limits.currentIndexChanged.connect(self._restyled)
        self.lock = QCheckBox("lock")
        self.lock.setToolTip("Keep the limits as they are when another gene is shown or more is predicted")
        self.lock.toggled.connect(self._locked)
        self.colours = NarrowCombo("Colours of the heatmap; all of them keep their order for colour-blind eyes")
        for name in COLORMAPS:
            self.colours.addItem(getattr(AVAILABLE_COLORMAPS.get(name), "_display_name", name), name)
        self.colours.currentIndexChanged.connect(self._restyled)

    @property
    def gene(self) -> str:
        """The chosen gene, empty where there is no model."""
        index = self.combo.currentIndex()
        return self.combo.itemText(index) if index >= 0 else ""

    def set_card(self, card: Card | None) -> None:
        """List the genes of a model, keeping the gene where it has it."""
        if card is self._card:
            return
        kept = self.gene
        self._card = self._lines.card = card
        evaluated = card is not None and card.evaluation is not None and bool(card.evaluation.genes)
        self.order.setEnabled(evaluated)
        self.order.blockSignals(True)
        self.order.setCurrentIndex(int(evaluated and self._best_first))
        self.order.blockSignals(False)
        self.order.setToolTip(_ORDER_TOOLTIP if evaluated or card is None else _NO_ORDER)
        self._list_genes(kept if card is None or kept in card.genes else first_gene(card))
        self.combo.setEnabled(card is not None)
        self._say_trust(self.gene)

    def _list_genes(self, chosen: str) -> None:
        """List the genes in the order that is chosen; the gene in sight stays."""
        card, best = self._card, self.order.currentData() == BEST_FIRST
        genes = [] if card is None else card.by_trust() if best else sorted(card.genes, key=str.casefold)
        self.combo.blockSignals(True)
        self._names.setStringList(genes)
        if genes:
            self.combo.setCurrentIndex(genes.index(chosen))
        self.combo.blockSignals(False)

    def choose(self, text: str) -> None:
        """Show the gene that a typed text means, or say that the model does not predict it."""
        self.combo.completer().popup().hide()  # else the arrow keys walk its suggestions, not the list
        index = self._find(text.strip())
        if index is None:
            self._say_trust(text.strip())
            return
        if index == self.combo.currentIndex():
            self.combo.lineEdit().setText(self.gene)
            self._walked(index)
        else:
            self.combo.setCurrentIndex(index)

    def _reordered(self, index: int) -> None:
        self._best_first = self.order.currentData() == BEST_FIRST  # a model without figures does not make it forgotten
        self._list_genes(self.gene)

    def _find(self, text: str) -> int | None:
        genes = self._names.stringList()
        if text in genes:
            return genes.index(text)
        low = text.lower()
        folded = [gene.lower() for gene in genes]
        for fits in (str.__eq__, str.startswith, str.__contains__):
            found = next((i for i, gene in enumerate(folded) if low and fits(gene, low)), None)
            if found is not None:
                return found
        return None

    def _entered(self) -> None:
        self.choose(self.combo.lineEdit().text())

    def _walked(self, index: int) -> None:
        if index >= 0:
            self._say_trust(self.gene)
            self.gene_chosen.emit(self.gene)

    def _say_trust(self, gene: str) -> None:
        self.trust.say(trust_words(self._card, gene) if self._card else "")
        known = self._card is None or gene in self._card.genes
        self.combo.lineEdit().setStyleSheet("" if known else "QLineEdit { color: gray; }")

    def show_scale(self, heatmap: HeatmapLayer | None) -> None:
        """Say what the colours stand for, in the unit of the values."""
        if heatmap is None:
            self.scale.say("")
            return
        note = f"\n{heatmap.gene} is {heatmap.limits.note}" if heatmap.limits.note.startswith("the same") else ""
        unit = heatmap.map.card.unit
        self.scale.say(f"{heatmap.limits.low:.2f} to {heatmap.limits.high:.2f} {unit}{note}")

    def _locked(self, on: bool) -> None:
        self.style_.locked = on

    def _restyled(self, index: int = 0) -> Any:
        self.style_.percentiles = self.limits.currentData()
        self.style_.colormap = self.colours.currentData()
        self.style_changed.emit()

"""The gene that is shown: its field, the order of the list, the pinned genes, and how it is coloured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_nh2st.model.gene_list import A_TO_Z, BEST_FIRST, VARYING_FIRST, GeneList
from napari_nh2st.viewer.genes.fade_row import FadeRow
from napari_nh2st.viewer.genes.gene_choice import GeneChoice
from napari_nh2st.viewer.genes.gene_field import GeneField
from napari_nh2st.viewer.genes.limits_form import LimitsForm
from napari_nh2st.viewer.genes.pinned_row import PinnedRow
from napari_nh2st.viewer.kit.combo import NarrowCombo, make_tight
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import FixedSentence, plain_tip
from napari_nh2st.viewer.predict.workspace import Workspace

_ORDERS = (
    ("A–Z", A_TO_Z, "by name"),
    ("best", BEST_FIRST, "best predicted on held-out tissue first; what was no better than chance comes after them"),
    ("spatial", VARYING_FIRST, "first what varies most in space on this slide: Moran's I of what is predicted"),
)
_ORDER = "The order of the list: by name (A–Z), by how well each gene was predicted on held-out tissue (best), "
_ORDER += "or by how much it varies in space on this slide (spatial: Moran's I, near 1 in large patches)"
_STAYED_MS = 1500  # a gene that is walked over was not meant


class GeneSection(QWidget):
    """A field that suggests genes while you type, the pinned ones, and the colours."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.field = GeneField()
        self.order = _order_combo()
        for combo in (self.field, self.order):  # a name of twelve letters is read whole
            make_tight(combo)
        self.trust = FixedSentence()
        self.measuring = FixedSentence()  # in the place of the other: nothing below it moves
        self.measuring.setVisible(False)
        self.pinned_row = PinnedRow()
        self.limits = LimitsForm(workspace)
        self.fade = FadeRow(workspace)
        layout = column(self)
        layout.addLayout(row(self.field, self.order, label="Gene", stretch=0))
        layout.addLayout(indented(self.trust))
        layout.addLayout(indented(self.measuring))
        layout.addLayout(row(self.pinned_row, label="Pinned", stretch=0))
        layout.addWidget(self.limits)
        layout.addWidget(self.fade)
        self.presenter = GeneChoice(workspace, self)
        self.stayed = qdebounced(self.presenter.stay, timeout=_STAYED_MS)
        self._wire(workspace)

    def _wire(self, workspace: Workspace) -> None:
        choice = self.presenter
        self.field.walked.connect(choice.walk_to)
        self.field.entered.connect(choice.choose)
        self.field.meant.connect(choice.choose_meaning)
        self.field.given_up.connect(choice.give_up)
        self.pinned_row.clicked.connect(choice.choose)
        self.pinned_row.toggled.connect(choice.toggle_pin)
        self.order.currentIndexChanged.connect(lambda: choice.choose_order(self.order.currentData()))
        workspace.state.gene_chosen.connect(lambda gene: self.stayed())
        workspace.when_closing(self.stayed.cancel)

    def changeEvent(self, event: QEvent) -> None:
        """Give the list of suggestions the window's theme: it is a window of its own."""
        if event.type() == QEvent.Type.StyleChange:
            self.field.popup.setStyleSheet(self.window().styleSheet())
        super().changeEvent(event)

    def focus(self) -> None:
        """Put the cursor into the field, its text selected."""
        self.field.setFocus()
        self.field.lineEdit().selectAll()

    def next_gene(self) -> None:
        """Show the next gene of the list."""
        self.field.walk(1)

    def previous_gene(self) -> None:
        """Show the gene before this one in the list."""
        self.field.walk(-1)

    # what the presenter shows

    def show_panel(self, panel: GeneList | None, figures: Mapping[str, float] | None) -> None:
        """Suggest genes of this panel, each with its Moran's I where that is known; None leaves nothing to choose."""
        self.field.genes, self.field.figures = panel, figures
        self.field.setEnabled(panel is not None)

    def list_genes(self, genes: Sequence[str], chosen: str) -> None:
        """List genes in this order."""
        self.field.list_genes(genes, chosen)

    def stand_at(self, gene: str) -> None:
        """Show which gene is chosen."""
        self.field.stand_at(gene)

    def show_absent(self, text: str) -> None:
        """Leave what was typed in the field, as a gene that the model does not predict."""
        self.field.show_absent(text)

    def say_trust(self, text: str, explained: Sequence[str] = ()) -> None:
        """Say how far to trust the gene, and in the tooltip what the figures mean."""
        self.trust.say(text)
        self.trust.explain(explained)

    def say_measuring(self, text: str) -> None:
        """Say that something is being measured."""
        self.measuring.say(text)
        self.measuring.setVisible(bool(text))
        self.trust.setVisible(not text)

    def show_pinned(self, genes: Sequence[str], shown: str, predicted: Callable[[str], bool]) -> None:
        """Show the pinned genes, and whether the gene that is shown is one of them."""
        self.pinned_row.show_genes(genes, shown, predicted)

    def show_recent(self, genes: Sequence[str]) -> None:
        """Offer the genes that were shown last, while the field is empty."""
        self.field.recent = genes

    def offer_orders(self, reasons_off: Mapping[str, str], chosen: str) -> None:
        """Offer the orders of the list but those that have a reason to be off."""
        for i, (_, order, tip) in enumerate(_ORDERS):
            reason = reasons_off.get(order, "")
            self.order.model().item(i).setEnabled(not reason)
            self.order.setItemData(i, plain_tip(reason or tip), Qt.ItemDataRole.ToolTipRole)
        with signals_blocked(self.order):
            self.order.setCurrentIndex(self.order.findData(chosen))


def _order_combo() -> NarrowCombo:
    made = NarrowCombo(_ORDER)
    for text, order, tip in _ORDERS:
        made.addItem(text, order)
        made.setItemData(made.count() - 1, plain_tip(tip), Qt.ItemDataRole.ToolTipRole)
    made.setSizeAdjustPolicy(NarrowCombo.SizeAdjustPolicy.AdjustToContents)  # whichever is chosen is read whole
    made.setMinimumContentsLength(0)
    made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return made

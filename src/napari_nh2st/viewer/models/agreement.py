"""How far models agree on the chosen slide: a table of genes, and the layer of where they disagree. No Qt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.analysis.model_comparison import ModelComparison
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.long_work import LongWork
from napari_nh2st.viewer.layers.tile_values import F32
from napari_nh2st.viewer.models.compared import Compared, check_room, compare_maps
from napari_nh2st.viewer.models.messages import COMPARE_FIRST, MORE_SINCE, NOT_ACCURACY
from napari_nh2st.viewer.models.selection import ModelMap, Selection
from napari_nh2st.viewer.predict.each_tile import COVERING
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class AgreementView(Protocol):
    """Shows how far models agree."""

    @property
    def work(self) -> LongWork:
        """Comparing."""

    def show_compare_offer(self, reason_off: str) -> None:
        """Offer to compare, or say why not."""

    def show_agreement(self, compared: Compared | None, sentence: str) -> None:
        """Show the table of genes and a sentence about the one in sight, or nothing."""

    def show_layer_offer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layer of where they disagree, or say why not; tick it where it is in sight."""


class AgreementPresenter:
    """Compares the ticked models of the chosen slide and keeps what that came to, for each slide."""

    def __init__(self, workspace: Workspace, selection: Selection, view: AgreementView) -> None:
        self._workspace, self._selection, self._view = workspace, selection, view
        self._by_slide: dict[str, Compared] = {}
        state = workspace.state
        state.events.gene.connect(self._gene_changed)
        state.map_chosen.connect(self._map_chosen)
        selection.changed.connect(self.update)
        workspace.subjects.gone.connect(self._forget)

    @property
    def compared(self) -> Compared | None:
        """The comparison of the ticked models on the chosen slide, None where it was not made."""
        kept = self._by_slide.get(self._selection.fingerprint)
        return kept if kept is not None and kept.is_of(self._selection.chosen) else None

    # what the person does

    def compare(self) -> None:
        """Work out how far the ticked models agree about each gene."""
        maps, fingerprint = self._selection.chosen, self._selection.fingerprint
        try:
            if self._selection.why_not:
                raise Nh2stError(self._selection.why_not)
            check_room(maps)
        except Nh2stError as error:
            self._view.work.say(str(error))
            return
        work = partial(compare_maps, [each.map for each in maps], [each.name for each in maps])
        self._view.work.start("Comparing the models", work, partial(self._take, fingerprint, maps), self.update)

    def toggle_layer(self, on: bool) -> None:
        """Show where the models disagree instead of the prediction, or the prediction again."""
        compared = self.compared
        if not on:
            self._workspace.maps.instead.back()
        elif compared is not None:
            if compared.image.bring() and compared.image.layer is not None:
                compared.image.layer.events.visible.connect(lambda event: self._tell_layer())
            assert compared.image.layer is not None
            self._workspace.maps.instead.show(compared.image.layer, covered_by=COVERING)
            self._draw(compared)
        self._tell_layer()

    def show_gene_of_table(self, gene: str) -> None:
        """Show the gene of a row that was clicked."""
        self._workspace.state.request_gene(gene)

    def _take(self, fingerprint: str, maps: tuple[ModelMap, ...], found: tuple[ModelComparison, pd.DataFrame]) -> None:
        before = self._by_slide.get(fingerprint)
        in_sight = before is not None and before.image.visible
        if before is not None:
            before.image.remove()
        self._by_slide[fingerprint] = Compared(self._workspace.viewer, maps, *found)
        if in_sight:
            self.toggle_layer(True)
        self.update()

    # what changes elsewhere

    def update(self) -> None:
        """Show what is known, and offer what can be done."""
        self._view.show_compare_offer(self._selection.why_not)
        self._view.show_agreement(self.compared, self._words())
        self._tell_layer()

    def _words(self) -> str:
        compared = self.compared
        if compared is None:
            return ""
        said = [compared.words(self._workspace.state.gene), NOT_ACCURACY, MORE_SINCE * compared.outdated]
        return " ".join(text for text in said if text)

    def _tell_layer(self) -> None:
        compared = self.compared
        reason = self._selection.why_not or ("" if compared is not None else COMPARE_FIRST)
        self._view.show_layer_offer(reason, on=compared is not None and compared.image.visible)

    def _gene_changed(self) -> None:
        compared = self.compared
        if compared is not None and compared.image.present:
            self._draw(compared)
        self._view.show_agreement(compared, self._words())

    def _draw(self, compared: Compared) -> None:
        """Draw the gene in sight; what comes for an earlier one is dropped."""
        gene = self._workspace.state.gene

        def draw(values: F32 | None) -> None:
            if gene == self._workspace.state.gene and compared.image.present:
                compared.draw(gene, values)

        self._workspace.background.call(
            *(compared.disagreement, gene), then=draw, failed=self._workspace.notices.complain
        )

    def _map_chosen(self) -> None:
        """Make way for a map that was chosen: it has been brought out."""
        heatmap = self._workspace.heatmap
        for compared in self._by_slide.values():
            if compared.image.visible and heatmap is not None and heatmap.visible:
                compared.image.hide()
        self._tell_layer()

    def _forget(self, gone: object) -> None:
        """Drop what came of a map or a slide that is gone, with its layer."""
        for fingerprint, compared in list(self._by_slide.items()):
            if compared.uses(gone):
                compared.image.remove()
                del self._by_slide[fingerprint]
        self.update()

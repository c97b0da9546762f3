"""Up to three genes in one image: which ones, and when their layer is drawn. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.viewer.kit.phrases import error_words, sentence
from napari_nh2st.viewer.layers.composite import COLOURS, Composite, limits_words
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.several.messages import NO_PINNED

_HIDING = (Kind.COMPOSITE, Kind.SIGNATURE)


class CompositeView(Protocol):
    """Shows a field for each of `COLOURS`, in that order."""

    @property
    def genes(self) -> tuple[str, ...]:
        """Texts of the fields, empty for no gene."""

    def list_genes(self, genes: Sequence[str]) -> None:
        """Suggest these genes in each field."""

    def write_genes(self, genes: Sequence[str]) -> None:
        """Write a gene of the list into each field; empty leaves it empty."""

    def show_scales(self, scales: Sequence[str]) -> None:
        """Say beside each field which values its colour spans; empty where it is not drawn."""

    def show_offer(self, show_off: str, use_pinned_off: str) -> None:
        """Offer to draw the genes and to take the pinned ones, but for what has a reason to be off."""

    def show_sentence(self, text: str) -> None:
        """Say why the genes cannot be drawn."""


class CompositePresenter:
    """Keeps a layer of several genes for each slide."""

    def __init__(self, workspace: Workspace, view: CompositeView) -> None:
        self._workspace, self._view = workspace, view
        self._by_slide: dict[str | None, Composite] = {}  # by the slide's fingerprint
        self._genes: list[str] = []  # as they are listed
        state = workspace.state
        state.map_chosen.connect(self.update)
        state.events.pinned.connect(self.update)
        state.events.model.connect(self.update)
        state.events.slide.connect(self.update)
        state.events.drawings.connect(self._draw)
        state.events.jobs_ended.connect(partial(self._draw, final=True))
        state.gene_chosen.connect(self._gene_chosen)
        workspace.subjects.gone.connect(self._forget)

    @property
    def current(self) -> Composite | None:
        """The composite of the map that is shown, None where there is none."""
        prediction_map = self._workspace.map
        if prediction_map is None:
            return None
        composite = self._by_slide.get(prediction_map.slide.get("fingerprint"))
        here = composite is not None and composite.map is prediction_map and composite.present
        return composite if here else None

    # what the person does

    def show(self) -> None:
        """Draw the genes of the fields in one layer, instead of the prediction."""
        workspace = self._workspace
        try:
            prediction_map = workspace.require_map()
            chosen = self._chosen(prediction_map.card)
        except Nh2stError as error:
            self._view.show_sentence(sentence(error_words(error)))
            return
        self._view.show_sentence("")
        fingerprint = prediction_map.slide.get("fingerprint")
        if fingerprint in self._by_slide:
            self._by_slide.pop(fingerprint).remove()
        genes, colours = [gene for gene, _ in chosen], [colour for _, colour in chosen]
        later = workspace.maps.pace.later
        composite = Composite(workspace.viewer, prediction_map, genes, colours, later)
        self._by_slide[fingerprint] = composite
        assert composite.layer is not None
        workspace.maps.instead.show(composite.layer)
        self._show_scales()

    def use_pinned(self) -> None:
        """Put the first pinned genes that the model predicts into the fields."""
        self._write(self._usable())

    def _chosen(self, card: Card) -> list[tuple[str, str]]:
        """Return (gene, colour) of the fields that name one, and write each gene as the model spells it."""
        genes = [find_genes(card, text.strip())[0] if text.strip() else "" for text in self._view.genes]
        self._write(genes)
        chosen = [(gene, colour) for gene, (_, colour) in zip(genes, COLOURS, strict=True) if gene]
        if not chosen:
            raise Nh2stError("choose at least one gene")
        if len({gene for gene, _ in chosen}) < len(chosen):
            raise Nh2stError("choose different genes")
        return chosen

    def _write(self, genes: Sequence[str]) -> None:
        self._view.write_genes([genes[i] if i < len(genes) else "" for i in range(len(COLOURS))])

    def _usable(self) -> list[str]:
        """Return the pinned genes that are listed."""
        return [gene for gene in self._workspace.state.pinned if gene in self._genes]

    # what changes elsewhere

    def update(self) -> None:
        """List the genes of the map that is shown, or of the model, and offer what can be done now."""
        self._list_genes()
        self._view.show_offer("" if self._workspace.map is not None else NO_MAP, "" if self._usable() else NO_PINNED)
        self._forget_moved()
        self._show_scales()

    def _list_genes(self) -> None:
        """List the genes; a field whose gene is gone gets one of the most trusted genes."""
        card = self._workspace.state.shown_card
        genes = [] if card is None else sorted(card.genes, key=str.casefold)
        if genes == self._genes:
            return
        before, best = self._view.genes, [] if card is None else card.by_trust()
        self._genes = genes
        self._view.list_genes(genes)
        stay = [any(before) and (gene in genes or not gene) for gene in before]
        self._write([gene if stay[i] else "".join(best[i : i + 1]) for i, gene in enumerate(before)])

    def _forget(self, gone: object) -> None:
        self._by_slide = {slide: composite for slide, composite in self._by_slide.items() if composite.map is not gone}

    def _forget_moved(self) -> None:
        """Take away what was made at another pixel size of the chosen slide."""
        slide = self._workspace.slide
        composite = None if slide is None else self._by_slide.get(slide.fingerprint)
        if slide is not None and composite is not None and composite.map.slide["mpp"] != slide.mpp:
            self._by_slide.pop(slide.fingerprint).remove()

    def _draw(self, *, final: bool = False) -> None:
        for composite in self._by_slide.values():
            if composite.update(final=final):
                self._show_scales()

    def _gene_chosen(self) -> None:
        """Bring the heatmap of a gene out where an image of several genes, or a score, hides it."""
        heatmap = self._workspace.heatmap
        if heatmap is None or not heatmap.present or heatmap.visible:
            return
        over = [layer for layer in self._workspace.viewer.layers if layer.visible and kind_of(layer) in _HIDING]
        if over:
            heatmap.bring_out()
            self._workspace.maps.instead.forget()
            for layer in over:
                layer.visible = False

    def _show_scales(self) -> None:
        composite = self.current
        limits = {} if composite is None else dict(zip(composite.genes, composite.gene_limits, strict=True))
        self._view.show_scales([limits_words(limits[g]) if g in limits else "" for g in self._view.genes])

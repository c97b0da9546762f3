"""The score of a set of genes: which of them the model has, and its layer. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from napari_nh2st.analysis.signatures import GeneSet, Match, match, parse_genes, read_gmt, score
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.phrases import count, error_words
from napari_nh2st.viewer.layers.signature import add_signature, set_words
from napari_nh2st.viewer.layers.tile_values import F32
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.several.messages import NO_GENES, NONE_OF_THESE, PASTED
from napari_nh2st.viewer.state.predicted_map import PredictedMap


class SignatureView(Protocol):
    """Shows the sets of a file and the genes of one set."""

    @property
    def work(self) -> LongWork:
        """Scoring."""

    @property
    def set_name(self) -> str:
        """The name of the set, empty where it has none."""

    @property
    def set_text(self) -> str:
        """Its genes, as they were pasted."""

    def list_sets(self, names: Sequence[str]) -> None:
        """List sets in place of those of before; the first one is chosen."""

    def write_genes(self, text: str) -> None:
        """Write the genes of a set in place of those of before; the presenter's `update` is called as for others."""

    def show_match(self, text: str) -> None:
        """Say which of the genes the model has."""

    def show_offer(self, reason_off: str) -> None:
        """Offer the score, or say why there is none."""


class SignaturePresenter:
    """Reads sets of genes, and scores one of them."""

    def __init__(self, workspace: Workspace, view: SignatureView) -> None:
        self._workspace, self._view = workspace, view
        self._sets: dict[str, GeneSet] = {}  # by name
        state = workspace.state
        state.map_chosen.connect(self.update)
        state.events.model.connect(self.update)
        state.events.jobs_ended.connect(self.update)

    # what the person does

    def load_file(self, path: str) -> None:
        """Take the sets of a .gmt file; the first one is chosen."""
        try:
            sets = read_gmt(path)
        except Nh2stError as error:
            self._view.work.say(error_words(error))
            return
        self._sets = {each.name: each for each in sets}
        self._view.list_sets(list(self._sets))
        self._view.work.say(f"{count(len(sets), 'set')} in the file. Choose one by its name.")
        self.take_set(next(iter(self._sets)))

    def take_set(self, name: str) -> None:
        """Take the genes of a set of the file."""
        self._view.write_genes(" ".join(self._sets[name].genes))

    def score(self) -> None:
        """Score the genes at each predicted tile."""
        try:
            prediction_map = self._workspace.require_map()
        except Nh2stError as error:
            self._view.work.say(error_words(error))
            return
        matched = self._matched()
        if matched is None:
            return
        name = self._view.set_name.strip() or PASTED

        def work(tell: Tell, cancelled: Cancelled) -> tuple[IntArray, F32]:
            prediction = prediction_map.prediction()
            scores = score(prediction, matched.genes, tell=tell, cancelled=cancelled)
            return prediction_map.cells(prediction.places), scores

        def draw(scored: tuple[IntArray, F32]) -> None:
            self._draw(prediction_map, name, matched, scored)

        self._view.work.start("Scoring", work, draw)

    def _draw(self, prediction_map: PredictedMap, name: str, matched: Match, scored: tuple[IntArray, F32]) -> None:
        workspace, (cells, scores) = self._workspace, scored
        total = len(matched.genes) + len(matched.missing)
        genes = f"{len(matched.genes)} of its {count(total, 'gene')}, {count(len(cells), 'tile')}"
        colormap = workspace.state.style.colormap
        signature = add_signature(
            workspace.viewer, prediction_map, cells, scores, name=name, genes=genes, colormap=colormap
        )
        assert signature.layer is not None
        workspace.maps.instead.show(signature.layer)
        self._view.work.say(f"Scored {count(len(cells), 'tile')}; press Score again after predicting more.")

    # what changes elsewhere

    def update(self) -> None:
        """Say which of the genes the model has, and offer the score where there is something to score."""
        matched, card = self._matched(), self._workspace.state.shown_card
        self._view.show_match("" if matched is None or card is None else set_words(matched, card))
        if self._workspace.map is None:
            self._view.show_offer(NO_MAP)
        elif matched is None:
            self._view.show_offer(NO_GENES)
        else:
            self._view.show_offer("" if matched.genes else NONE_OF_THESE)

    def _matched(self) -> Match | None:
        """Return which of the genes the model has, None where there is no model or no gene."""
        card, text = self._workspace.state.shown_card, self._view.set_text
        if card is None or not text.strip():
            return None
        try:
            return match(parse_genes(text), card.genes)
        except Nh2stError:
            return None

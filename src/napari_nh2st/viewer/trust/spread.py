"""The spread: how far the answers of views, or of several models, differ, as a layer that follows the gene. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.spread import VIEWS, Answer, spread_over
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.map_layer import Later, Look, at_once
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import TileValues
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.services import Services
from napari_nh2st.viewer.trust.messages import OTHER_PANEL, OTHER_UNIT, TOO_MANY_TILES, spread_words

if TYPE_CHECKING:
    from napari.components import ViewerModel

_MOST_BYTES = 2**30  # of answers that are kept


class Spread:
    """The answers of views or models for the tiles of a map, and the layer of how far they differ.

    Parameters
    ----------
    members : tuple of str
        Other models that are asked; none for views.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prediction_map: PredictedMap,
        members: tuple[str, ...],
        later: Later = at_once,
    ) -> None:
        self.map, self.members = prediction_map, members
        self.cells: IntArray = np.empty(0, dtype=np.int64)
        self.answers: list[Answer] = []
        role = map_role(Kind.SPREAD, prediction_map, "spread", title="spread")
        self.image = TileValues(viewer, role, Look("inferno"), later)

    @property
    def count(self) -> int:
        """For how many tiles there are answers."""
        return len(self.cells)

    @property
    def over(self) -> str:
        """The answers compared, in words: "4 views"."""
        return count(1 + len(self.members), "model") if self.members else count(len(VIEWS), "view")

    def take_over(self, other: Spread | None) -> None:
        """Draw into the layer of another one of the same map."""
        if other is not None:
            self.image = other.image

    def missing(self) -> IntArray:
        """Cells that are predicted and were not asked about."""
        done = self.map.done
        done[self.cells] = False
        return np.flatnonzero(done)

    def check_room(self, more: int) -> None:
        """Raise an Nh2stError where the answers would take too much memory."""
        kept = 1 + len(self.members) if self.members else len(VIEWS)
        if (len(self.cells) + more) * kept * self.map.bytes_per_cell > _MOST_BYTES:
            raise Nh2stError(TOO_MANY_TILES)

    def add(self, cells: IntArray, answers: list[Answer]) -> None:
        """Take the answers for further cells."""
        self.answers = (
            [a.followed_by(b) for a, b in zip(self.answers, answers, strict=True)] if self.answers else answers
        )
        self.cells = np.concatenate([self.cells, cells])

    def draw(self, gene: str) -> str:
        """Draw a gene, and return a sentence about it; where a model does not predict it, why nothing is drawn."""
        self.image.retitle(f"{gene or 'gene'} · spread over {self.over}")
        image = np.full((self.map.rows, self.map.columns), np.nan, dtype=np.float32)
        try:
            values = spread_over(self.answers, gene)
        except Nh2stError as error:
            self.image.draw(image, Limits(0.0, 1.0), gene=gene)
            return f"No spread: {error}."
        image.reshape(-1)[self.cells] = values
        finite = values[np.isfinite(values)]
        top = float(np.percentile(finite, 99)) if finite.size else 0.0
        unit = self.map.card.unit
        label = f"{gene}, spread over {self.over}\n{unit}"
        self.image.draw(image, Limits(0.0, max(top, 1e-3)), gene=gene, label=label)
        contrast = float(np.nanstd(self.answers[0].values(gene)))
        return spread_words(gene, unit, self.over, float(np.median(finite)), contrast) if finite.size else ""


def why_not_comparable(card: Card, other: Card) -> str:
    """Say why two models cannot be compared; empty where they can."""
    if other.unit != card.unit:
        return f"{OTHER_UNIT}: {other.unit}"
    return "" if set(card.genes) & set(other.genes) else OTHER_PANEL


def ask_all(
    spread: Spread, cells: IntArray, services: Services, device: str
) -> Callable[[PredictionInputs, Tell, Cancelled], list[Answer]]:
    """Make the work that asks all views or models about some cells of the map."""
    prediction_map, members = spread.map, spread.members
    card, places = prediction_map.card, prediction_map.tiles(cells)
    own = Answer(card.name, card.genes, prediction_map.decoder, prediction_map.hidden_of(cells))

    def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> list[Answer]:
        answers, total = [own], len(cells) * (len(members) or len(VIEWS) - 1)
        how = {"tissue": inputs.tissue, "device": device}

        def ask(session: Any, at: TileSet, width: int) -> npt.NDArray[np.float16]:
            hidden = np.full((len(at), width), np.nan, dtype=np.float16)
            before = len(cells) * (len(answers) - 1)
            for chunk in session.stream(at, cancelled=cancelled):
                hidden[chunk.indices] = chunk.hidden
                tell(before + chunk.done, total)
            return hidden

        for view in () if members else VIEWS[1:]:
            session = services.session(inputs.slide, inputs.model, pitch=prediction_map.pitch, view=view, **how)
            hidden = ask(session, places, own.hidden.shape[1])
            answers.append(Answer(f"view {view}", own.genes, own.decoder, hidden))
        for name in members:
            model = services.load_model(name)
            decoder, other = services.decoder(model), model.card
            at = TileSet.at(places.centres, scale=other.scale_on(inputs.slide.require_mpp()), pitch=other.patch)
            session = services.session(inputs.slide, model, pitch=other.patch, **how)
            answers.append(Answer(Path(name).name, other.genes, decoder, ask(session, at, decoder.width)))
        return answers

    return work

"""Options of a prediction: device, precision, tissue, where results are kept, and when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from napari_nh2st.engine.model_runner import ModelRunner
    from napari_nh2st.engine.store import PredictionStore
    from napari_nh2st.geometry import TileSet
    from napari_nh2st.model.nh2st import NH2ST
    from napari_nh2st.slides import Ground


Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")
OWN_PRECISION = "the model's own"
"""Of someone else's model, which chooses it itself."""


def never() -> bool:
    """Never cancel."""
    return False


@dataclass(frozen=True)
class PredictionOptions:
    """Options of a prediction.

    Attributes
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "fp32", "bf16"}
    tissue : Ground or None
        Which neighbours are tissue; the slide's own mask by default.
    skip_artefacts : float or None
        Leave out tiles, and neighbours, of which `Slide.artefacts` covers a larger part than this (`LIMIT` of
        `slides.artefacts` is what the command line takes). By default, all are predicted.
    store : PredictionStore or None
        Where results last; tiles that it holds already are not computed again.
    cache : bool
        Keep embeddings on disk, in the user's cache folder.
    cancelled : callable
        Asked between stages of the encoder.
    view : int
        0 to 7, the symmetries of the square: how tissue is turned before it is encoded. The cells are turned back, so
        that what comes out is of the same places. 4 swaps rows and columns, after 1 mirrored left to right and 2 top
        to bottom. A store keeps view 0 alone.
    whole : TileSet or None
        All places of which a part is asked for. The windows of a dense encoder are then laid out for all of them, and
        one of which only a part is missing is encoded again: a run that was stopped, or several processes that share
        the places, give the same bytes as one that was left alone. By default, windows cover what is missing.
    runner_of : callable or None
        Gives the `ModelRunner` of a net, a device and a precision, such as a `KeptRunner`. By default, each session
        makes its own.

    Raises
    ------
    ValueError
        If there is no such view, or a store is to keep another one than 0; or if that part is not within 0 and 1.
    """

    device: str = "auto"
    precision: Precision = "auto"
    tissue: Ground | None = None
    skip_artefacts: float | None = None
    store: PredictionStore | None = None
    cache: bool = True
    cancelled: Callable[[], bool] = never
    view: int = 0
    whole: TileSet | None = None
    runner_of: Callable[[NH2ST, torch.device, str], ModelRunner] | None = None

    def __post_init__(self) -> None:
        if self.view not in range(8):
            raise ValueError(f"a view is a number from 0 to 7, got {self.view}")
        if self.view and self.store is not None:
            raise ValueError("a store keeps what is predicted from the slide as it lies: view 0")
        if self.skip_artefacts is not None and not 0 <= self.skip_artefacts <= 1:
            raise ValueError(f"artefacts may cover a part of a tile from 0 to 1, got {self.skip_artefacts}")

    def for_scoring(self) -> PredictionOptions:
        """Return the same options for scoring: in the precision of scores, and nothing is stored."""
        from napari_nh2st.engine.device import SCORING

        return replace(self, precision=SCORING, store=None)

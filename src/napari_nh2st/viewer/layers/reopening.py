"""Predictions from files: the heatmap comes back over its slide, with the gene, colours and limits that it had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.errors import Nh2stError, SlideError
from napari_nh2st.formats import read_export
from napari_nh2st.formats.importer import display_of
from napari_nh2st.formats.picture import find_slide
from napari_nh2st.slide_path import is_there, slide_file
from napari_nh2st.viewer.kit.background import read_aside
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from napari_nh2st.viewer.layers.names import slide_name
from napari_nh2st.viewer.layers.opening import BusySign, Opening, complain, note, once_slides_change, open_viewers
from napari_nh2st.viewer.layers.roles import fingerprint_of, is_opening, layer_of_slide, slide_of
from napari_nh2st.viewer.layers.stacking import gather
from napari_nh2st.viewer.state.dock_state import first_gene
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.formats.display import Display
    from napari_nh2st.slides import Slide


@dataclass(frozen=True, eq=False)
class Reopened:
    """A prediction from a file.

    Attributes
    ----------
    prediction : Prediction
    map : PredictedMap
    display : Display or None
        How it was shown when it was written, None where nobody looked at it.
    slide_is_there : bool
        Whether there is a file where its slide was.
    """

    prediction: Prediction
    map: PredictedMap
    display: Display | None
    slide_is_there: bool = False

    @property
    def slide_path(self) -> str:
        """Where its slide was, empty where that is not known."""
        return str(self.map.slide.get("path") or "")

    def layer_data(self, slide_layer: Layer | None = None) -> tuple[Any, dict[str, Any]]:
        """Return the heatmap of the gene that was shown, over its slide where that is open."""
        genes = self.map.card.genes
        shown = [] if self.display is None else [gene for gene in self.display.genes if gene in genes]
        gene = shown[0] if shown else first_gene(self.map.card)
        return heatmap_data(self.map, gene, self.display, slide_layer)

    def open_slide(self) -> Slide:
        """Open its slide at the pixel size at which it was predicted. Slow.

        Raises
        ------
        SlideError
            If it is gone, or another image has its name.
        """
        slide, reason = find_slide(self.prediction)
        if slide is None:
            raise SlideError(reason)
        mpp = float(self.map.slide["mpp"])
        if slide.mpp is not None and np.isclose(slide.mpp, mpp):
            return slide
        return slide.with_mpp(mpp, str(self.map.slide.get("mpp_source") or "user"))


def read_again(path: Path) -> Reopened:
    """Read a prediction from a file or folder. Slow.

    Raises
    ------
    Nh2stError
        If it holds no prediction on a lattice.
    """
    prediction = read_export(path)
    try:
        prediction_map = PredictedMap.of(prediction)
    except ValueError as error:
        raise Nh2stError(f"{path.name}: {error}") from error
    except KeyError as error:
        raise Nh2stError(f"{path.name} does not say how large its slide is ({error}): predict again") from error
    prediction_map.opened_from = path
    slide = str(prediction.slide.get("path") or "")
    return Reopened(prediction, prediction_map, display_of(prediction), bool(slide) and is_there(slide))


class Reopening:
    """Brings a prediction back into a window: reads it in a thread, opens its slide, and draws it on that.

    Call its methods on the GUI thread.

    Parameters
    ----------
    viewer : ViewerModel
    path : Path
    """

    def __init__(self, viewer: ViewerModel, path: Path) -> None:
        self._viewer, self._path = viewer, path
        self._sign = BusySign(path.name)
        self._opened_slide = False

    def start(self) -> None:
        """Begin to read."""
        self._sign.show()
        read_aside(self._read)

    def _read(self) -> Callable[[], None]:
        try:
            reopened = read_again(self._path)
        except Exception as error:
            return partial(self._failed, error)
        return partial(self._read_done, reopened)

    def _failed(self, error: Exception) -> None:
        self._sign.hide()
        if self._viewer in open_viewers():
            complain(self._viewer, error, self._path)

    def _read_done(self, reopened: Reopened) -> None:
        self._sign.hide()
        self._bring(reopened)

    def _bring(self, reopened: Reopened) -> None:
        """Draw it when its slide is open; open the slide where it can be."""
        viewer, fingerprint = self._viewer, reopened.map.slide.get("fingerprint")
        if viewer not in open_viewers():
            return
        own = layer_of_slide(viewer, fingerprint)
        if own is None and any(is_opening(layer) for layer in viewer.layers):
            once_slides_change(viewer, partial(self._bring, reopened))  # one of them may be its slide
        elif own is None and reopened.slide_is_there and not self._opened_slide:
            self._opened_slide = True
            once_slides_change(viewer, partial(self._bring, reopened))
            file = Path(reopened.slide_path)
            opening = Opening(slide_name(file), reopened.open_slide, path=file)
            data, meta, _ = opening.placeholder()
            viewer.add_image(data, **meta)
            opening.start()
        else:
            self._draw(reopened, own)

    def _draw(self, reopened: Reopened, own: Layer | None) -> None:
        viewer, others = self._viewer, []
        if own is None:
            others = [layer for layer in viewer.layers if slide_of(layer) is not None and layer.visible]
        data, meta = reopened.layer_data(own)
        layer = viewer.add_image(data, **meta)
        gather(viewer, layer)
        for other in others:  # it would seem to lie on them
            if fingerprint_of(other) != fingerprint_of(layer):
                other.visible = False
        if own is None:
            note(viewer, alone_words(self._path.name, reopened.slide_path, hidden=len(others)))


def alone_words(name: str, slide: str, *, hidden: int = 0) -> str:
    """Say that a prediction was drawn without its slide, and what was put away for it."""
    of = f"Its slide, {slide_file(slide).name}, is not where it was" if slide else f"{name} does not name its slide"
    other = ("", " The slide that is open is another one: it is hidden.", " The slides that are open are hidden.")
    return f"{name} is shown without tissue. {of}: open that slide to see it below.{other[min(hidden, 2)]}"

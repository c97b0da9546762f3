"""napari's reader: slides in micrometres, and prediction folders as heatmaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_nh2st.errors import ForeignSlide, Nh2stError, SlideError
from napari_nh2st.slide_path import slide_file
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from napari_nh2st.viewer.layers.removal import make_every_removal_safe
from napari_nh2st.viewer.state.dock_state import first_gene
from napari_nh2st.viewer.state.predicted_map import PredictedMap

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]

# Formats that nothing else in napari reads: saying why one cannot be opened beats "no reader found".
_OURS_ALONE = (".svs", ".ndpi", ".scn", ".bif")
_OVERVIEWS = (".mrxs", ".vsi")  # opened nowhere in napari: the line says what they are
_SUFFIXES = (*_OURS_ALONE, ".tif", ".tiff", ".jpg", ".jpeg", ".png")


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for a slide or a prediction folder, or None where this is neither.

    Parameters
    ----------
    path : str or list of str
        Several paths are several slides, each in its own layer.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    if not paths or not all(_may_open(p) for p in paths):
        return None
    return _read


def _may_open(path: Path) -> bool:
    if path.suffix == ".nh2st":
        return path.is_dir()
    suffix = slide_file(path).suffix.lower()
    if suffix in _OVERVIEWS or suffix in _OURS_ALONE:
        return True
    if suffix not in _SUFFIXES:
        return False
    from napari_nh2st.slides import open_slide

    try:
        open_slide(path).close()
    except ForeignSlide:
        return True  # other readers would show an overview, or overlapping tiles: `_read` says so
    except SlideError:
        return False  # a stack or a mask, say: another reader's
    return True


def _read(path: str | list[str]) -> list[LayerData]:
    """Open slides and predictions as layers."""
    make_every_removal_safe()
    paths = [path] if isinstance(path, str) else path
    return [_open(Path(p)) for p in paths]


def _open(path: Path) -> LayerData:
    if path.suffix == ".nh2st":
        return read_prediction(path)
    from napari_nh2st.slides import open_slide

    return slide_layer_data(open_slide(path))


def read_prediction(path: Path) -> LayerData:
    """Open a prediction folder as a heatmap of its best gene.

    Raises
    ------
    Nh2stError
        If the folder holds no prediction on a lattice.
    """
    from napari_nh2st.engine.store import open_prediction

    try:
        prediction_map = PredictedMap.of(open_prediction(path))
    except ValueError as error:
        raise Nh2stError(f"{path.name}: {error}") from error
    except KeyError as error:
        raise Nh2stError(f"{path.name} does not say how large its slide is ({error}): predict again") from error
    return *heatmap_data(prediction_map, first_gene(prediction_map.card)), "image"

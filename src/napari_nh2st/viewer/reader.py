"""napari's reader: slides in micrometres, and prediction folders as heatmaps.

napari calls it on the GUI thread. Where a person waits it reads no more than a header, and that for a moment only;
where a script waits it opens the slide, and raises what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Union

from napari_nh2st.errors import Nh2stError, OtherImage, SlideError
from napari_nh2st.slide_path import slide_file
from napari_nh2st.viewer.kit.background import read_aside
from napari_nh2st.viewer.kit.gui_thread import window_is_live
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.opening import BusySign, begin_opening, complain, open_viewers
from napari_nh2st.viewer.layers.removal import make_every_removal_safe

if TYPE_CHECKING:
    from napari_nh2st.slides import SlideHeader

LayerData = tuple[Any, ...]
Reader = Callable[[Any], list[LayerData]]
Look = Union["SlideHeader", SlideError, None]  # what a look into a file gave; None if it took too long

NOTHING: list[LayerData] = [(None,)]  # napari's word for a reader that has done its work, and adds no layer
# Formats that nothing else in napari reads: saying why one cannot be opened beats "no reader found".
_OURS_ALONE = (".svs", ".ndpi", ".scn", ".bif")
_OVERVIEWS = (".mrxs", ".vsi")  # opened nowhere in napari: the line says what they are
_SUFFIXES = (*_OURS_ALONE, *_OVERVIEWS, ".tif", ".tiff", ".jpg", ".jpeg", ".png")
_FOLDERS = (  # what it is, and files that show it
    ("a model folder: choose it in the dock NH2ST, with “folder…” beside Model", "card.json"),
    ("the folder of a fine-tuning run: open it in the dock NH2ST fine-tune", "metrics.jsonl", "summary.json"),
    (
        "a Visium folder: open its slide, then drop the folder on Measured in the dock NH2ST",
        *("*filtered_feature_bc_matrix*", "outs/*filtered_feature_bc_matrix*", "spatial/tissue_positions*"),
    ),
    ("the folder of a MIRAX slide, which is not supported: convert it to OME-TIFF", "Slidedat.ini"),
)
_LOOK_S = 0.15  # a person who drops a file sees within this time that it is being opened


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for a slide or a prediction folder, or None where this is neither.

    Parameters
    ----------
    path : str or list of str
        Several paths are several slides, each in its own layer.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    live = window_is_live()
    looks: dict[Path, Look] = {}
    for one in paths:
        if one.suffix == ".nh2st":
            continue
        if one.is_dir():
            if not live:
                return None
        elif slide_file(one).suffix.lower() not in _SUFFIXES:
            return None
        else:
            looks[one] = _look(one, _LOOK_S if live else None)
            if _is_for_others(one, looks[one]):
                return None
    if not paths:
        return None
    return partial(_begin, looks) if live else _read


def folder_words(folder: Path) -> str:
    """Say what a folder is that holds no prediction, and what to do with it."""
    for words, *names in _FOLDERS:
        if any(next(folder.glob(name), None) for name in names):
            return words
    return "a folder: drop the slide file in it, or choose napari's own reader for the folder"


def _look(path: Path, seconds: float | None) -> Look:
    """Read a file's header, for so many seconds at most."""
    found: SimpleQueue[Look] = SimpleQueue()

    def read() -> None:
        from napari_nh2st.slides import read_header  # a second of imports, the first time

        try:
            found.put(read_header(path))
        except SlideError as error:
            found.put(error)

    if seconds is None:
        read()
    else:
        Thread(target=read, name="nh2st-header").start()
    try:
        return found.get(timeout=seconds)
    except Empty:
        return None


def _is_for_others(path: Path, look: Look) -> bool:
    """Tell whether another reader shows a file better: a stack or a mask, say."""
    return isinstance(look, OtherImage) and slide_file(path).suffix.lower() not in _OURS_ALONE


def _read(path: str | list[str]) -> list[LayerData]:
    """Open slides and predictions as layers."""
    make_every_removal_safe()
    paths = [path] if isinstance(path, str) else path
    return [_open(Path(p)) for p in paths]


def _open(path: Path) -> LayerData:
    from napari_nh2st.slides import open_slide

    return read_prediction(path) if path.suffix == ".nh2st" else slide_layer_data(open_slide(path))


def _begin(looks: dict[Path, Look], path: str | list[str]) -> list[LayerData]:
    """Begin to open slides and predictions; return the layers that hold the slides' places."""
    import napari

    make_every_removal_safe()
    viewer = napari.current_viewer()
    layers: list[LayerData] = []
    for one in [Path(p) for p in ([path] if isinstance(path, str) else path)]:
        look = looks.get(one)
        if isinstance(look, SlideError):
            complain(viewer, look, one)
        elif one.suffix == ".nh2st":
            _begin_prediction(viewer, one)
        elif one.is_dir():
            complain(viewer, SlideError(f"{one} is {folder_words(one)}"), one)
        else:
            opening = begin_opening(one, look)
            layers.append(opening.placeholder())
            opening.start()
    return layers or NOTHING


def _begin_prediction(viewer: Any, path: Path) -> None:
    """Read a prediction in a thread, and add its heatmap."""
    sign = BusySign(path.name)

    def work() -> Callable[[], None]:
        try:
            data, meta, _ = read_prediction(path)
        except Exception as error:
            reason = error
            return lambda: end(lambda: complain(viewer, reason, path))
        return lambda: end(lambda: viewer.add_image(data, **meta))

    def end(then: Callable[[], Any]) -> None:
        sign.hide()
        if viewer in open_viewers():
            then()

    sign.show()
    read_aside(work)


def read_prediction(path: Path) -> LayerData:
    """Open a prediction folder as a heatmap of its best gene.

    Raises
    ------
    Nh2stError
        If the folder holds no prediction on a lattice.
    """
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.viewer.layers.heatmap import heatmap_data
    from napari_nh2st.viewer.state.dock_state import first_gene
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

    try:
        prediction_map = PredictedMap.of(open_prediction(path))
    except ValueError as error:
        raise Nh2stError(f"{path.name}: {error}") from error
    except KeyError as error:
        raise Nh2stError(f"{path.name} does not say how large its slide is ({error}): predict again") from error
    return *heatmap_data(prediction_map, first_gene(prediction_map.card)), "image"

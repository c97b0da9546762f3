"""napari's reader: slides in micrometres, and predictions in all formats that we write as heatmaps.

napari calls it on the GUI thread. Where a person waits it reads no more than a header, and that for a moment only;
where a script waits it opens the slide, and raises what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, Union

from napari_nh2st.errors import OtherImage, SlideError
from napari_nh2st.slide_path import DICOM, ENDINGS, slide_file
from napari_nh2st.viewer.kit.background import read_aside
from napari_nh2st.viewer.kit.gui_thread import window_is_live
from napari_nh2st.viewer.layers.opening import begin_opening, complain, slide_for_script
from napari_nh2st.viewer.layers.removal import make_every_removal_safe
from napari_nh2st.viewer.layers.reopening import Reopening, read_again
from napari_nh2st.viewer.regions.files import RegionsOpening, region_layer_data

if TYPE_CHECKING:
    from napari_nh2st.slides import SlideHeader

LayerData = tuple[Any, ...]
Reader = Callable[[Any], list[LayerData]]
Look = Union["SlideHeader", SlideError, Literal["prediction"], None]  # of a look into a file; None: it took too long

_PREDICTION: Literal["prediction"] = "prediction"
NOTHING: list[LayerData] = [(None,)]  # napari's word for a reader that has done its work, and adds no layer
# Formats that nothing else in napari reads: saying why one cannot be opened beats "no reader found".
_OURS_ALONE = (".svs", ".ndpi", ".scn", ".bif", ".mrxs", ".svslide", ".vms", ".vmu")
_OVERVIEWS = (".vsi",)  # opened nowhere in napari: the line says what they are
_SUFFIXES = (*ENDINGS, *_OVERVIEWS)
_PREDICTIONS = (".nh2st", ".h5ad", ".parquet", ".geojson")  # nothing else in napari reads them
_REGIONS = (".xml", ".ndpa")  # .geojson too, where it holds no prediction
_MAYBE = (".csv", ".zarr", ".ome.tif", ".ome.tiff")  # napari reads others of these
_FOLDERS = (  # what it is, and files that show it
    ("a model folder: choose it in the dock NH2ST, with “add…” beside Model", "card.json"),
    ("the folder of a fine-tuning run: open it in the dock NH2ST fine-tune", "metrics.jsonl", "summary.json"),
    (
        "a measured section: open its slide, then drop the folder on Measured in the dock NH2ST",
        *("*filtered_feature_bc_matrix*", "outs/*filtered_feature_bc_matrix*", "spatial/tissue_positions*"),
        *("binned_outputs", "outs/binned_outputs", "cell_feature_matrix*", "*cell_by_gene.csv*", "*exprMat_file.csv*"),
    ),
    ("the folder of a MIRAX slide: open the .mrxs file of its name, which lies beside it", "Slidedat.ini"),
)
_LOOK_S = 0.15  # a person who drops a file sees within this time that it is being opened


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for a slide or a prediction, or None where this is neither.

    Parameters
    ----------
    path : str or list of str
        Several paths are several slides, each in its own layer.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    live = window_is_live()
    looks: dict[Path, Look] = {}
    for one in paths:
        if one.name.lower().endswith((*_PREDICTIONS, *_REGIONS)):
            continue
        if one.name.lower().endswith(_MAYBE):
            looks[one] = _look(one, _LOOK_S if live else None)
        if looks.get(one) == _PREDICTION:
            continue
        if one.is_dir():
            if isinstance(looks.get(one), OtherImage) or not (live or _is_slide_folder(one, looks)):
                return None
        elif slide_file(one).suffix.lower() not in _SUFFIXES:
            return None
        else:
            if one not in looks:
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
        from napari_nh2st.formats import is_export
        from napari_nh2st.slides import read_header  # a second of imports, the first time

        try:
            found.put(_PREDICTION if is_export(path) else read_header(path))
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

    if _holds_regions(path):
        return region_layer_data(path)
    return read_prediction(path) if _is_prediction(path) else slide_for_script(open_slide(path))


def _is_prediction(path: Path) -> bool:
    from napari_nh2st.formats import is_export

    return path.name.lower().endswith(_PREDICTIONS) or is_export(path)


def _holds_regions(path: Path) -> bool:
    from napari_nh2st.formats import is_export

    return path.suffix.lower() in _REGIONS or (path.suffix.lower() == ".geojson" and not is_export(path))


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
        elif one.name.lower().endswith(_REGIONS):
            RegionsOpening(viewer, one).start()
        elif one.suffix.lower() == ".geojson":
            read_aside(partial(_geojson, viewer, one))
        elif look == _PREDICTION or one.name.lower().endswith(_PREDICTIONS):
            Reopening(viewer, one).start()
        elif one.is_dir() and not _is_slide_folder(one, looks):
            complain(viewer, SlideError(f"{one} is {folder_words(one)}"), one)
        else:
            opening = begin_opening(one, look)
            layers.append(opening.placeholder())
            opening.start()
    return layers or NOTHING


def _is_slide_folder(folder: Path, looks: dict[Path, Look]) -> bool:
    """Tell whether a folder is a slide: OME-Zarr, whose header was read, or DICOM files."""
    look = looks.get(folder)
    return not (look is None or isinstance(look, SlideError | str)) or next(folder.glob(DICOM), None) is not None


def _geojson(viewer: Any, path: Path) -> Callable[[], None]:
    """Look whether a file holds a prediction or regions; return what opens it, on the GUI thread."""
    of_regions = _holds_regions(path)
    return lambda: (RegionsOpening if of_regions else Reopening)(viewer, path).start()


def read_prediction(path: Path) -> LayerData:
    """Open a prediction as a heatmap of the gene that was shown, else of its best.

    Raises
    ------
    Nh2stError
        If it holds no prediction on a lattice.
    """
    return *read_again(path).layer_data(), "image"

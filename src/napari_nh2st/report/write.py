"""Writing a report of one slide."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.analysis.outlines import Parts, outlines_of
from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.picture import find_slide
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.provenance import repeat_command
from napari_nh2st.report.chapters import report_of
from napari_nh2st.report.choices import Choices, Progress, usual_genes
from napari_nh2st.report.content import Picture, Report
from napari_nh2st.report.drawn import Told
from napari_nh2st.report.html import write_html
from napari_nh2st.report.pdf import write_pdf
from napari_nh2st.report.regions import read_regions
from napari_nh2st.report.tissue import NOT_ASKED, likeness_of

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.slides import Slide

WRITERS: dict[str, Callable[[Report, Path, Told], None]] = {".html": write_html, ".pdf": write_pdf}
_CHECK = 0.5  # of the time, about


def write_report(
    prediction: Prediction,
    path: str | Path,
    genes: Sequence[str] | None = None,
    *,
    slide: Slide | None = None,
    regions: Any = None,
    model: str | Path | None = None,
    check_tissue: bool = True,
    display: Display | None = None,
    command: str | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Write a report; the file appears when it is complete.

    Parameters
    ----------
    prediction : Prediction
        On the lattice.
    path : path
        Ends in .html or .pdf.
    genes : sequence of str, optional
        Those that the model predicts best by default.
    slide : Slide, optional
        Where it is now; by default where it was when it was predicted.
    regions : path or as `Prediction.regions` takes them, optional
        A file of QuPath, ASAP or NDP.view, or polygons in level-0 pixels.
    model : name or path, optional
        The model that predicted, where it is no bundled one: it looks at the tissue again.
    check_tissue : bool
        Compare the tissue with that of the training, if slide and model are there. Loads torch.
    display : Display, optional
        Colours and limits of the maps.
    command : str, optional
        The command that makes the report again; by default this process's own.
    progress : callable, optional
        Receives the share that is done, from 0 to 1.
    cancelled : callable
        Soon after it turns true, the report ends and leaves nothing.

    Raises
    ------
    Cancelled
    Nh2stError
        If there is nothing to draw, a gene is not predicted, or the name ends in something else.
    """
    path, tell = Path(path).expanduser(), progress or (lambda share: None)
    if path.suffix.lower() not in WRITERS:
        raise Nh2stError(f"{path}: a report's name ends in {' or '.join(WRITERS)}")
    done = prediction.only_done()
    if not len(done) or done.places.grid is None:
        raise Nh2stError("there is nothing to report: it needs predicted tiles on the lattice")
    symbols = tuple(dict.fromkeys(find_genes(done.card, genes))) if genes else usual_genes(done)
    outlines = {} if regions is None else _regions(regions, slide.path if slide else done.slide.get("path"))
    tell(0)
    opened, away = (None, "") if slide is not None else find_slide(done)
    try:
        its = _at_its_size(done, slide or opened)
        share = partial(_share, tell)
        likeness = likeness_of(done, its, model, share, cancelled) if check_tissue else NOT_ASKED
        shown = (display or Display(genes=symbols)).changed(genes=symbols, region=None)
        choices = Choices(done, shown, its, away, outlines, likeness, command or repeat_command(), bool(genes))
        begun = _CHECK if check_tissue else 0.0
        with finished_file(path) as draft, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # of names in scripts that the figures' font lacks
            WRITERS[path.suffix.lower()](report_of(choices), draft, partial(_told, tell, cancelled, begun))
    finally:
        if opened is not None:
            opened.close()
    tell(1.0)
    return path


def _regions(regions: Any, slide: str | Path | None) -> dict[str, Parts]:
    return read_regions(regions, slide) if isinstance(regions, (str, Path)) else outlines_of(regions)


def _at_its_size(prediction: Prediction, slide: Slide | None) -> Slide | None:
    """Return the slide with the pixel size at which it was predicted."""
    mpp = prediction.slide.get("mpp")
    if slide is None or mpp is None or slide.mpp == mpp:
        return slide
    return slide.with_mpp(float(mpp), str(prediction.slide.get("mpp_source", "user")))


def _share(tell: Progress, done: int, total: int) -> None:
    tell(_CHECK * done / total)


def _told(
    tell: Progress, cancelled: Callable[[], bool], begun: float, pictures: Sequence[Picture]
) -> Iterator[Picture]:
    for number, picture in enumerate(pictures):
        if cancelled():
            raise Cancelled("stopped")
        tell(begun + (1 - begun) * number / len(pictures))
        yield picture

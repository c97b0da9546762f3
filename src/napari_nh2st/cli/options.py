"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nh2st.cli.values import complete_genes
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.annotations import Annotations
    from napari_nh2st.engine.options import Precision, PredictionOptions
    from napari_nh2st.geometry import Box
    from napari_nh2st.model.card import Card

SlideArg = Annotated[
    Path,
    typer.Argument(
        help="A slide: SVS, TIFF, OME-TIFF, NDPI, JPEG or PNG. slide.tif#2 is the second picture of a file.",
        show_default=False,
    ),
]
SlidesArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="SLIDE... or SAMPLES.csv",
        help="Slides, folders of slides, patterns such as 'slides/*.svs', or a sheet with a column slide.",
        show_default=False,
    ),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="X,Y,W,H", help="Only here, in pixels of the slide's finest level.")
]
GenesOption = Annotated[
    str | None,
    typer.Option(
        "--genes",
        metavar="A,B",
        help="Only these genes: symbols, other names, or a file with one a line.",
        autocompletion=complete_genes,
    ),
]
IntervalsOption = Annotated[
    bool, typer.Option("--intervals", help="Half-widths of 90% intervals, too: h5ad, csv, parquet.")
]
PredictionArg = Annotated[Path, typer.Argument(help="What predict left: OUT/<slide>.nh2st.", show_default=False)]
MppOption = Annotated[
    float | None, typer.Option("--mpp", help="Micrometres per pixel of the slide, where it does not say so itself.")
]
COHORT = "On several workers"
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Run on N processes of this machine.", rich_help_panel=COHORT),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run on the workers of Dask's scheduler: tcp://node1:8786, or its scheduler file.",
        rich_help_panel=COHORT,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of every random choice.")]


def names(text: str | None) -> list[str] | None:
    """Split a comma-separated option; None where it was not given."""
    return None if text is None else [t.strip() for t in text.split(",") if t.strip()]


def gene_words(text: str | None) -> list[str] | None:
    """Read names of genes: separated by commas, or one a line in a file of that name; None where none was given."""
    if text is None:
        return None
    file = Path(text).expanduser()
    if "," not in text and file.suffix and file.is_file():
        from napari_nh2st.reading import read_lines

        lines = read_lines(file, "the list of genes")
        text = ",".join(line.partition("#")[0] for line in lines)
    return list(dict.fromkeys(names(text) or []))


def genes_of(card: Card, text: str | None) -> list[str] | None:
    """Return the panel's symbols of genes that were named in any of their ways; None where none was named.

    Raises
    ------
    Nh2stError
        If none is left, or as `find_genes`.
    """
    from napari_nh2st.model.find_genes import find_genes

    words = gene_words(text)
    if words is None:
        return None
    if not words:
        raise Nh2stError("no gene was named")
    return list(dict.fromkeys(find_genes(card, words)))


def region_box(text: str | None) -> Box | None:
    """Read a region, or end the command as wrong usage."""
    from napari_nh2st.geometry import Box

    if text is None:
        return None
    try:
        x, y, width, height = (float(v) for v in text.split(","))
        return Box.from_xywh(x, y, width, height)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give X,Y,WIDTH,HEIGHT in pixels of the slide, such as 1000,2000,4000,4000",
            param_hint="--region",
        ) from None


def checked_precision(text: str) -> Precision:
    """Return a precision, or end the command as wrong usage."""
    from napari_nh2st.engine.options import PRECISIONS

    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise typer.BadParameter(f"{text!r} is none of {', '.join(PRECISIONS)}", param_hint="--precision")


def prediction_options(
    device: str, precision: str, cancelled: Callable[[], bool], *, skip_artefacts: bool = False
) -> PredictionOptions:
    """Return how to predict: on which device, in which precision, with artefacts or not, until when."""
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.slides.artefacts import LIMIT

    limit = LIMIT if skip_artefacts else None
    chosen = checked_precision(precision)
    return PredictionOptions(device=device, precision=chosen, skip_artefacts=limit, cancelled=cancelled)


def read_drawn(file: Path, slide: str | Path | None) -> Annotations:
    """Read regions that were drawn on a slide, and say what is left out of the file."""
    from napari_nh2st.annotations import read_annotations

    found = read_annotations(file, slide)
    if found.left_out:
        say(f"note: {file.name}: {found.left_out} left out")
    return found


def slides_and_mpp(paths: list[Path], mpp: float | None) -> list[tuple[Path, float | None]]:
    """Return slides with their mpp; see `list_slides`."""
    from napari_nh2st.cohort.listing import list_slides

    return [(slide.path, slide.mpp) for slide in list_slides(paths, mpp)]

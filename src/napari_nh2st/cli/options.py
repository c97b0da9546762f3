"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_nh2st.engine.device import Precision
    from napari_nh2st.engine.options import PredictionOptions

SlideArg = Annotated[
    Path,
    typer.Argument(
        help="A slide: SVS, TIFF, OME-TIFF, NDPI, JPEG or PNG. slide.tif#2 is the second picture of a file.",
        show_default=False,
    ),
]
SlidesArg = Annotated[
    list[Path],
    typer.Argument(metavar="SLIDE... or SAMPLES.csv", help="Slides, or a sample sheet.", show_default=False),
]
PredictionArg = Annotated[Path, typer.Argument(help="What predict left: OUT/<slide>.nh2st.", show_default=False)]
MppOption = Annotated[
    float | None, typer.Option("--mpp", help="Micrometres per pixel of the slide, where it does not say so itself.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of every random choice.")]


def names(text: str | None) -> list[str] | None:
    """Split a comma-separated option; None where it was not given."""
    return None if text is None else [t.strip() for t in text.split(",") if t.strip()]


def checked_precision(text: str) -> Precision:
    """Return a precision, or end the command as wrong usage."""
    from napari_nh2st.engine.device import PRECISIONS

    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise typer.BadParameter(f"{text!r} is none of {', '.join(PRECISIONS)}", param_hint="--precision")


def prediction_options(device: str, precision: str, cancelled: Callable[[], bool]) -> PredictionOptions:
    """Return how to predict: on which device, in which precision, until when."""
    from napari_nh2st.engine.options import PredictionOptions

    return PredictionOptions(device=device, precision=checked_precision(precision), cancelled=cancelled)


def slides_and_mpp(paths: list[Path], mpp: float | None) -> list[tuple[Path, float | None]]:
    """Return slides with their mpp: as named, or from a sample sheet."""
    from napari_nh2st.expression import read_sheet
    from napari_nh2st.expression.sheet import SHEETS

    slides: list[tuple[Path, float | None]] = []
    for path in paths:
        if path.suffix.lower() in SHEETS:
            slides += [(s.slide, mpp if mpp is not None else s.mpp) for s in read_sheet(path)]
        else:
            slides.append((path, mpp))
    return slides

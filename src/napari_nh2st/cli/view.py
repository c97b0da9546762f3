"""`nh2st view`: a slide or a prediction in napari."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.options import MppOption, SlideArg
from napari_nh2st.cli.values import complete_models
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import has_display


def view(
    slide: SlideArg,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Choose this model in the dock.", autocompletion=complete_models),
    ] = None,
    mpp: MppOption = None,
    name: Annotated[
        str | None,
        typer.Option("--slide", metavar="NAME", help="Of a cohort's folder: this slide, not the first."),
    ] = None,
) -> None:
    """Open a slide in napari with the NH2ST dock in place; or a prediction, over its slide.

    Of a cohort's folder, it opens one of its slides.
    """
    from napari_nh2st.cohort.records import find_slide, is_cohort
    from napari_nh2st.model.models import load_card
    from napari_nh2st.slides import read_header

    if is_cohort(slide):
        kept = find_slide(slide, name)
        model, mpp = kept.model if model is None else model, kept.mpp if mpp is None else mpp
        slide = Path(kept.prediction) if Path(kept.prediction).exists() else Path(kept.path)
    elif name is not None:
        raise Nh2stError(f"{slide} is not the folder of a cohort: leave --slide out")
    # What is wrong is said here, before a window appears.
    prediction = _is_prediction(slide)
    if not prediction:
        read_header(slide, mpp=mpp)
    if model is not None:
        load_card(model)
    if not has_display():
        raise Nh2stError(
            "there is no display for a window: nh2st predict and nh2st figure need none; over ssh, connect with ssh -X"
        )
    from napari_nh2st.viewer.launch import show, show_prediction

    if prediction:
        show_prediction(slide, model=model)
    else:
        show(slide, model=model, mpp=mpp)


def _is_prediction(path: Path) -> bool:
    """Tell whether a path is a prediction, in one of the formats that `export` writes, and not a slide."""
    from napari_nh2st.formats import is_export

    return path.exists() and is_export(path)

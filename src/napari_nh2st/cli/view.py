"""`nh2st view`: a slide in napari."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_nh2st.cli.options import MppOption, SlideArg


def view(
    slide: SlideArg,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Choose this model in the dock.")] = None,
    mpp: MppOption = None,
) -> None:
    """Open a slide in napari with the NH2ST dock in place."""
    from napari_nh2st.slides import read_header

    read_header(slide, mpp=mpp)  # a slide that cannot be opened is said here, before a window appears
    from napari_nh2st.viewer.launch import show

    show(slide, model=model, mpp=mpp)

"""`nh2st convert`: a model folder from a checkpoint of the released code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import say


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="A Lightning checkpoint.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The model folder to write.", show_default=False)],
    genes: Annotated[
        Path | None, typer.Option("--genes", metavar="GENES.txt", help="Its genes, one a line, in their order.")
    ] = None,
    mpp: Annotated[float | None, typer.Option("--mpp", help="Micrometres per pixel of its training patches.")] = None,
    pitch: Annotated[
        int | None, typer.Option("--pitch", metavar="PX", help="Pixels between neighbouring places; else about 200 um.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The model's name; else that of the file.")] = None,
) -> None:
    """Make a model folder of a checkpoint of the released NH2ST code.

    A checkpoint of a self-supervised ResNet-18 becomes an encoder file: give an --out that ends in .safetensors.
    """
    if not checkpoint.exists():
        raise Nh2stError(f"{checkpoint} does not exist")
    check_parent(out)
    from napari_nh2st.model.convert import convert_checkpoint

    print(convert_checkpoint(checkpoint, genes, out, mpp=mpp, pitch=pitch, name=name, progress=say))

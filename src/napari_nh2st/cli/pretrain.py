"""`nh2st pretrain`: an encoder from unlabelled tissue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.checks import check_parent, check_slides, check_workers
from napari_nh2st.cli.options import (
    DeviceOption,
    MppOption,
    SchedulerOption,
    SeedOption,
    SlidesArg,
    WorkersOption,
    slides_and_mpp,
)
from napari_nh2st.cli.output import stage_bars
from napari_nh2st.terminal import interruptible


def pretrain(
    slides: SlidesArg,
    out: Annotated[Path, typer.Option("--out", metavar="E.safetensors", help="The file to write.", show_default=False)],
    mpp: MppOption = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps of 64 tiles; 200 by default.")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Train an encoder on unlabelled tissue of slides, for `finetune` to start from.

    Only the images are read, on workers several slides at once. Ctrl+C stops and writes nothing.
    """
    check_parent(out)
    on_workers = check_workers(workers, scheduler)
    targets = slides_and_mpp(slides, mpp)
    check_slides(path for path, _ in targets)
    from napari_nh2st.training.pretraining.pretrain import ReadTiles, pretrain_facts
    from napari_nh2st.training.pretraining.pretrain import pretrain as train
    from napari_nh2st.training.pretraining.settings import STEPS, PretrainSettings

    settings, cancelled = PretrainSettings(steps=steps or STEPS, seed=seed, device=device), interruptible()
    reader: ReadTiles | None = None
    if on_workers:
        from napari_nh2st.cohort.tile_reading import TileReader

        reader = TileReader(workers, scheduler, cancelled)
    file = train(
        [path for path, _ in targets], out, settings, mpp=[its_mpp for _, its_mpp in targets], progress=stage_bars(),
        cancelled=cancelled, read_tiles=reader,
    )  # fmt: skip
    facts = pretrain_facts(file)
    print(
        f"contrastive loss {facts['loss_start']} -> {facts['loss_end']}, "
        f"{facts['tiles']} tiles of {facts['slides']} slide{'s' * (facts['slides'] != '1')}: {file}"
    )

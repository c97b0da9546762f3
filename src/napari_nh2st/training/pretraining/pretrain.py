"""Pretrain an encoder on unlabelled tissue: slides in, an encoder file out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import ModelError, Nh2stError
from napari_nh2st.model.encoder_file import SUFFIX, encoder_facts, save_encoder
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.training.pretraining.contrast import PretrainProgress, train_by_contrast
from napari_nh2st.training.pretraining.crops import CropPairs, Pixels
from napari_nh2st.training.pretraining.settings import PretrainSettings
from napari_nh2st.training.pretraining.tissue_tiles import TileRequest, distinct_slides

# Of the default model on an array of 200 um: nine cells of 16 px to the pitch.
MODEL_MPP = 200 / 144
# A tile of 168 px takes 85 kB: this many of one slide, and of all, are the most that is kept in memory.
TILES_PER_SLIDE, TILES = 4000, 8000
DEFAULTS = PretrainSettings()

ReadTiles = Callable[[Sequence[TileRequest]], Iterable[Iterable[Pixels]]]
"""Reads what is asked of each slide, in the same order."""


def pretrain(
    slides: Sequence[str | Path],
    out: str | Path,
    settings: PretrainSettings = DEFAULTS,
    *,
    mpp: Sequence[float | None] | None = None,
    model_mpp: float = MODEL_MPP,
    tiles: int = TILES_PER_SLIDE,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    read_tiles: ReadTiles | None = None,
) -> Path:
    """Pretrain an encoder on the tissue of slides and write it as an encoder file.

    Parameters
    ----------
    slides : sequence of path
        One that is named twice, or is a copy of another, counts once.
    out : path
        Ends in ``.safetensors``; it appears when everything is done. `pretrain_facts` reads what it says of itself.
    settings : PretrainSettings
    mpp : sequence of float or None, optional
        For each slide, micrometres per pixel where it does not say so itself.
    model_mpp : float
        Micrometres per pixel of the model that will start from it.
    tiles : int
        At most this many tiles of each slide are read, and at most 8,000 in all.
    progress : callable
        Called with a stage ("reading tiles", "pretraining"), the amount that is done, and all of it.
    cancelled : callable
        Asked while tiles are read and before every step.
    read_tiles : callable, optional
        Reads the tiles in another way than one slide after the other in this process, such as on several workers.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError, SlideError, MppNeeded
        Before anything is computed.
    SlideError
        If a slide shows no tissue.
    Cancelled
        Nothing is written then.
    Nh2stError
        If there are fewer tiles than a batch takes.
    """
    path = Path(out).expanduser()
    if path.suffix != SUFFIX or path.is_dir():
        raise ModelError(f"{path}: an encoder is one file, give a name that ends in {SUFFIX}")
    if not slides or settings.steps < 1 or tiles < 1:
        raise Nh2stError("pretraining takes at least one slide, one step and one tile")
    settings = replace(settings, precision=choose_precision(settings.precision, choose_device(settings.device)))
    distinct = distinct_slides(slides, [None] * len(slides) if mpp is None else mpp)
    most = min(tiles, -(-min(TILES, settings.steps * settings.batch) // len(distinct)))

    requests = [
        TileRequest(file, its_mpp, i, most, model_mpp, settings) for i, (file, its_mpp) in enumerate(distinct.values())
    ]
    of_slides = _one_by_one(requests, progress, cancelled) if read_tiles is None else read_tiles(requests)
    tiles_read = [tile for of_slide in of_slides for tile in of_slide]  # (S, S, 3) each
    pairs = CropPairs(tiles_read, [[t.shape[0] / 2] * 2 for t in tiles_read], settings)
    steps = PretrainProgress(settings.steps, lambda done, total: progress("pretraining", done, total), cancelled)
    encoder = train_by_contrast(pairs, settings, steps)
    facts = {"mpp": f"{model_mpp:.6g}", "slides": str(len(distinct)), "fingerprints": ",".join(distinct)}
    return save_encoder(encoder, path, **facts, tiles=str(len(tiles_read)), **_provenance(settings, steps.losses))


def _one_by_one(
    requests: Sequence[TileRequest], progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
) -> Iterator[list[Pixels]]:
    for i, request in enumerate(requests):
        yield request.read(progress=_numbered(progress, i, len(requests)), cancelled=cancelled)


def _provenance(settings: PretrainSettings, losses: Sequence[float]) -> dict[str, str]:
    """Collect what an encoder file says of its training."""
    some = max(1, settings.steps // 10)
    return {
        "source": "nh2st pretrain",
        "method": "SimCLR (Chen et al. 2020)",
        **{name: str(getattr(settings, name)) for name in ("steps", "batch", "seed", "precision")},
        "loss_start": f"{np.mean(losses[:some]):.4f}",
        "loss_end": f"{np.mean(losses[-some:]):.4f}",
        "versions": json.dumps({**versions(), "command": repeat_command()}),
    }


def pretrain_facts(path: str | Path) -> dict[str, str]:
    """Read what an encoder file says of itself, such as `loss_start` and `loss_end`: means of a tenth of the steps."""
    return encoder_facts(path)


def _numbered(progress: Callable[[str, int, int], None], i: int, slides: int) -> Callable[[int, int], None]:
    """Add the slide's number to its stage, where there are several slides."""
    stage = "reading tiles" if slides == 1 else f"reading tiles of slide {i + 1} of {slides}"
    return lambda done, total: progress(stage, done, total)

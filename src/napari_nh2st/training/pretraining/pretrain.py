"""Pretrain the encoder on unlabelled tissue: slides in, an encoder file out.

SimCLR, Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020: two crops of
one place, shifted, turned and stained a little differently, shall be embedded alike, and unlike crops of other places.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import safe_open

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.places import MIN_TISSUE, slide_box
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Cancelled, ModelError, Nh2stError, SlideError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.encoder_file import SUFFIX, save_encoder
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import Slide, open_slide
from napari_nh2st.training.pretraining.contrast import (
    BATCH,
    STEPS,
    PretrainProgress,
    _never,
    _silent,
    train_by_contrast,
)
from napari_nh2st.training.pretraining.crops import CropPairs, Pixels, Places, crop_side

# Of the default model on an array of 200 um: nine cells of 16 px to the pitch.
MODEL_MPP = 200 / 144


# A tile of 168 px takes 85 kB: this many of one slide, and of all, are the most that is kept in memory.
TILES_PER_SLIDE, TILES = 4000, 8000


# On a small slide each place of the lattice is drawn up to this often, moved a little differently each time.
ROUNDS = 4


_READ_AT_ONCE = 64


def pretrain(
    slides: Sequence[str | Path],
    out: str | Path,
    *,
    mpp: Sequence[float | None] | None = None,
    model_mpp: float = MODEL_MPP,
    width: int = 32,
    stride: int = 16,
    blocks: int = 1,
    steps: int = STEPS,
    batch: int = BATCH,
    tiles: int = TILES_PER_SLIDE,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str, int, int], None] = _silent,
    cancelled: Callable[[], bool] = _never,
) -> Path:
    """Pretrain an encoder on the tissue of slides and write it as an encoder file.

    Parameters
    ----------
    slides : sequence of path
        One that is named twice, or is a copy of another, counts once.
    out : path
        Ends in ``.safetensors``; it appears when everything is done. `pretrain_facts` reads what it says of itself.
    mpp : sequence of float or None, optional
        For each slide, micrometres per pixel where it does not say so itself.
    model_mpp : float
        Micrometres per pixel of the model that shall start from it.
    tiles : int
        At most this many tiles of each slide are read, and at most 8,000 in all.
    progress : callable
        Told a stage ("reading tiles", "pretraining"), how much is done, and how much there is.
    width, stride, blocks, steps, batch, seed, device, cancelled
        As for `pretrain_on`; `cancelled` is asked while reading, too.

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
    if not slides or steps < 1 or tiles < 1:
        raise Nh2stError("pretraining takes at least one slide, one step and one tile")
    chosen = choose_device(device)
    known = _distinct(slides, [None] * len(slides) if mpp is None else mpp)
    most = min(tiles, -(-min(TILES, steps * batch) // len(known)))
    found: list[Pixels] = []
    for i, (file, its_mpp) in enumerate(known.values()):
        with open_slide(file, mpp=its_mpp) as slide:
            rng = np.random.default_rng([seed, 5, i])
            centres = _tissue_places(slide, model_mpp / slide.require_mpp(), stride, most, rng)
            tell = _part(progress, i, len(known))
            found += _read_tiles(slide, centres, model_mpp / slide.require_mpp(), stride, tell, cancelled)
    middle = [[t.shape[0] / 2] * 2 for t in found]
    crops = CropPairs(found, middle, stride, steps, batch, seed)
    watch = PretrainProgress(steps, lambda done, total: progress("pretraining", done, total), cancelled)
    precision = choose_precision("auto", chosen)
    encoder = train_by_contrast(crops, (width, stride, blocks), chosen, precision, watch)
    some = max(1, steps // 10)
    return save_encoder(
        encoder,
        path,
        source="nh2st pretrain",
        method="SimCLR (Chen et al. 2020)",
        mpp=f"{model_mpp:.6g}",
        slides=str(len(known)),
        fingerprints=",".join(known),
        tiles=str(len(found)),
        steps=str(steps),
        batch=str(batch),
        seed=str(seed),
        precision=precision,
        loss_start=f"{np.mean(watch.losses[:some]):.4f}",
        loss_end=f"{np.mean(watch.losses[-some:]):.4f}",
        versions=json.dumps({**versions(), "command": repeat_command()}),
    )


def pretrain_facts(path: str | Path) -> dict[str, str]:
    """Read what an encoder file says of itself, such as `loss_start` and `loss_end`: means of a tenth of the steps."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _distinct(slides: Sequence[str | Path], mpp: Sequence[float | None]) -> dict[str, tuple[Path, float | None]]:
    """Open every slide once and ask for its pixel size, before the long work: fingerprint -> path and mpp."""
    out: dict[str, tuple[Path, float | None]] = {}
    for path, its_mpp in zip(slides, mpp, strict=True):
        with open_slide(path, mpp=its_mpp) as slide:
            slide.require_mpp()
            out.setdefault(slide.fingerprint, (Path(path), its_mpp))
    return out


def _tissue_places(slide: Slide, scale: float, stride: int, most: int, rng: np.random.Generator) -> Places:
    """Draw at most so many places of tissue, (n, 2) level-0 pixels: a lattice's, each moved by up to half its pitch."""
    side, _ = crop_side(stride)
    lattice = TileSet.lattice(slide_box(slide), scale=scale, pitch=side, patch=side)
    tissue = slide.tissue()
    centres = lattice.centres[tissue.fraction_at(lattice.centres, side * scale) >= MIN_TISSUE]
    if not len(centres):
        raise SlideError(f"{slide.path}: there is no tissue on this slide")
    drawn = np.concatenate([rng.permutation(centres) for _ in range(ROUNDS)])[:most]
    moved = drawn + rng.uniform(-side / 2, side / 2, drawn.shape) * scale
    there = tissue.fraction_at(moved, side * scale) >= MIN_TISSUE
    return np.where(there[:, None], moved, drawn)


def _read_tiles(
    slide: Slide,
    centres: Places,
    scale: float,
    stride: int,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> list[Pixels]:
    """Read the tile round each place: a crop and room for its shift on every side."""
    side, shift = crop_side(stride)
    whole = side + 2 * shift
    corners = np.round(centres / scale - whole / 2).astype(int).tolist()
    parts = [*range(0, len(corners), _READ_AT_ONCE), len(corners)]
    out: list[Pixels] = []
    progress(0, len(corners))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for a, b in pairwise(parts):
            if cancelled():
                raise Cancelled("stopped while tiles were being read: nothing was written")
            out += pool.map(lambda at: slide.read(at[0], at[1], whole, whole, scale), corners[a:b])
            progress(len(out), len(corners))
    return out


def _part(progress: Callable[[str, int, int], None], i: int, slides: int) -> Callable[[int, int], None]:
    """Name the slide's number where there are several."""
    stage = "reading tiles" if slides == 1 else f"reading tiles of slide {i + 1} of {slides}"
    return lambda done, total: progress(stage, done, total)

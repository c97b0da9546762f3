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
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from napari_nh2st.engine.device import Precision, choose_device, choose_precision
from napari_nh2st.engine.places import MIN_TISSUE, slide_box
from napari_nh2st.errors import Cancelled, ModelError, Nh2stError, SlideError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import SUFFIX, save_encoder
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import Slide, open_slide
from napari_nh2st.training.module import stain_jitter
from napari_nh2st.training.quiet_lightning import quiet

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.float64]

# Of the default model on an array of 200 um: nine cells of 16 px to the pitch.
MODEL_MPP = 200 / 144
STEPS, BATCH = 200, 64
TEMPERATURE, JITTER = 0.2, 0.3
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05
PROJECTION = 128
# A tile of 168 px takes 85 kB: this many of one slide, and of all, are the most that is kept in memory.
TILES_PER_SLIDE, TILES = 4000, 8000
# On a small slide each place of the lattice is drawn up to this often, moved a little differently each time.
ROUNDS = 4
_READ_AT_ONCE = 64


def crop_side(stride: int) -> tuple[int, int]:
    """Give the side of a crop, 7 x 7 cells, and how far at most it is shifted; model pixels."""
    return 7 * stride, 7 * stride // 4


def nt_xent(z: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Give the normalised temperature-scaled cross-entropy, equation 1 of Chen et al. 2020, in nats.

    Parameters
    ----------
    z : (2 B, d)
        Rows i and B + i are two views of one place; every other row is another place.
    temperature : float
        Divides cosine similarities.

    Returns
    -------
    ()
        With every embedding equal it is ln(2 B - 1): collapse is never rewarded.
    """
    z = F.normalize(z.float(), dim=1)
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))


class Crops(IterableDataset[Tensor]):
    """Batches of two crops each of randomly chosen places, (2 B, S, S, 3) uint8; crop i and B + i show one place.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        None smaller than a crop.
    places : sequence of (n, 2) arrays
        For each image, (x, y) in its pixels.
    stride : int
        Of the encoder; it sets the crop's side and shift, see `crop_side`.
    wander : float
        Each time a place is drawn, both its crops are moved together by up to this.
    """

    def __init__(
        self,
        images: Sequence[Pixels],
        places: Sequence[npt.ArrayLike],
        stride: int,
        steps: int,
        batch: int,
        seed: int,
        wander: float = 0.0,
    ) -> None:
        super().__init__()
        at = [np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in places]
        self.side, self.shift = crop_side(stride)
        self.images, self.steps, self.batch, self.seed, self.wander = images, steps, batch, seed, wander
        self.where = np.concatenate([np.zeros((0, 2)), *at])
        self.which = np.repeat(np.arange(len(at)), [len(p) for p in at])
        small = next((i for i in images if min(i.shape[:2]) < self.side), None)
        if small is not None:
            raise ValueError(f"an image of {small.shape[:2]} pixels is smaller than a crop of {self.side}")
        if batch < 2 or len(self.where) < batch:
            raise Nh2stError(f"{len(self.where)} places of tissue are too few to pretrain on: a batch takes {batch}")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Any:
        rng = np.random.default_rng([self.seed, 4])
        for _ in range(self.steps):
            chosen = rng.choice(len(self.where), self.batch, replace=False)
            moved = self.where[chosen] + rng.uniform(-self.wander, self.wander, (self.batch, 2))
            pairs = [*zip(self.which[chosen].tolist(), moved, strict=True)] * 2
            views = [self._cut(i, centre, rng) for i, centre in pairs]
            yield torch.from_numpy(np.stack(views))

    def _cut(self, image: int, centre: Places, rng: np.random.Generator) -> Pixels:
        """Cut a shifted, turned, perhaps mirrored crop, wholly inside its image."""
        pixels = self.images[image]
        height, width = pixels.shape[:2]
        corner = np.round(centre + rng.uniform(-self.shift, self.shift, 2) - self.side / 2)
        x, y = np.clip(corner, 0, [width - self.side, height - self.side]).astype(int).tolist()
        crop = np.rot90(pixels[y : y + self.side, x : x + self.side], int(rng.integers(4)))
        return crop[:, ::-1] if rng.integers(2) else crop


class Contrast(L.LightningModule):
    """An encoder and the projection head that only pretraining needs."""

    def __init__(self, encoder: ResNet18, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        c = encoder.channels
        self.head = nn.Sequential(nn.Linear(c, c), nn.BatchNorm1d(c), nn.ReLU(), nn.Linear(c, PROJECTION))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """(2 B, S, S, 3) uint8 -> the loss."""
        maps = self.encoder(normalise(stain_jitter(batch, JITTER)))  # (2 B, C, 7, 7)
        return nt_xent(self.head(maps.mean(dim=(2, 3))))

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule over the whole run."""
        optimiser = torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        steps = max(self.steps + 1, 10)  # a shorter cycle would divide by zero
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Watch(Callback):
    """Keeps the losses, tells how far it is, and stops when asked."""

    def __init__(self, steps: int, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> None:
        self.steps, self.progress, self.cancelled = steps, progress, cancelled
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of whoever shows it."""
        self.progress(0, self.steps)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Stop before the step."""
        if self.cancelled():
            raise Cancelled("stopped while the encoder was being pretrained: nothing was written")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take down the loss."""
        self.losses.append(float(outputs["loss"]))
        self.progress(len(self.losses), self.steps)


def _silent(*_: Any) -> None:
    pass


def _never() -> bool:
    return False


def pretrain_on(
    images: Sequence[Pixels],
    places: Sequence[npt.ArrayLike],
    *,
    width: int = 32,
    stride: int = 16,
    blocks: int = 1,
    wander: float = 0.0,
    steps: int = STEPS,
    batch: int = BATCH,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Callable[[int, int], None] = _silent,
    cancelled: Callable[[], bool] = _never,
) -> ResNet18:
    """Pretrain an encoder on pixels that are in memory; no label is asked for.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        At the model's mpp, each at least 7 strides high and wide.
    places : sequence of (n, 2) arrays
        Tissue in each image, (x, y) in its pixels.
    width, stride, blocks : int
        Of the `ResNet18`.
    wander : float
        Model pixels by which a place is moved each time it is drawn, so that tissue between the places is seen too.
    steps, batch : int
        Optimiser steps; places in each, two crops of each.
    seed : int
        The global random state of torch is left as it was.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "fp32", "bf16"}
    progress : callable
        Told the steps done and the steps in all.
    cancelled : callable
        Asked before every step.

    Returns
    -------
    ResNet18
        In eval mode on the CPU.

    Raises
    ------
    Cancelled
        When `cancelled` says so.
    Nh2stError
        If there are fewer places than a batch takes.
    """
    crops = Crops(images, places, stride, steps, batch, seed, wander)
    chosen, watch = choose_device(device), _Watch(steps, progress, cancelled)
    return _contrast(crops, (width, stride, blocks), chosen, choose_precision(precision, chosen), watch)


def _contrast(
    crops: Crops, shape: tuple[int, int, int], device: torch.device, precision: str, watch: _Watch
) -> ResNet18:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quiet():
        torch.manual_seed(crops.seed)
        module = Contrast(ResNet18(*shape), crops.steps)
        module.to(memory_format=torch.channels_last)
        trainer = L.Trainer(
            max_epochs=1,
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=1 if device.index is None else [device.index],
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, DataLoader(crops, batch_size=None))
    return module.encoder.cpu().eval()


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
    crops = Crops(found, middle, stride, steps, batch, seed)
    watch = _Watch(steps, lambda done, total: progress("pretraining", done, total), cancelled)
    precision = choose_precision("auto", chosen)
    encoder = _contrast(crops, (width, stride, blocks), chosen, precision, watch)
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

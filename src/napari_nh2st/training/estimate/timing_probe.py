"""A short trial of a fine-tuning run: a few steps of each stage, by the code of a run, on a part of a section."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device
from napari_nh2st.errors import Cancelled
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import ContextNH2ST, build
from napari_nh2st.slides import open_slide
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.batches import spots_a_step, windows_a_step
from napari_nh2st.training.data.embedded import EMBED_WINDOW, EmbeddedSection, embed_spots
from napari_nh2st.training.data.windows import grid, spots_a_window
from napari_nh2st.training.network.setup import set_up_training
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.memory import memory_mb
from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.requests import RunRequests
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.sections.held_out_sections import hold_out_blocks
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section, part_of

FloatArray = npt.NDArray[np.float64]


# Seconds after which no further section's counts are read, no further step is made.
READ_SECONDS, PRETRAIN_SECONDS, STEP_SECONDS = 4.0, 2.0, 2.0


MOST_STEPS = 14


# What is tried: spots within a square of this side in model pixels, and no more than that many.
SIDE, SPOTS = 1000.0, 200


# Of a section larger than this only the middle is read.
MOST_PIXELS = 48 * 2**20


_MATRIX = 768


@dataclass
class TimingProbe:
    """What there is to work on, and how fast this machine is at it.

    Attributes
    ----------
    card : Card
    device : device
    what : {"everything", "last-blocks", "head"}
        Is trained.
    pretrains, looks : bool
        Whether the encoder is pretrained, and whether tissue is looked at before the training.
    train, apart : list of (n, 2) float64
        Spots in model pixels of each section that is trained on, and of each that is only scored; of those whose
        counts were not read, those of another one.
    batch : int
        Drawn for a step: spots, or windows.
    each : float
        Spots that one of them stands for.
    described : int
        Numbers that describe a spot to the kernel head; 0 without one.
    loaded : int
        Pixels of the section in memory.
    starting, read, load : float
        Seconds to load the libraries, to read the counts of a section, to load a pixel of one.
    pretrain, step, look, validate, flop : float
        Seconds for a step of pretraining and of training, a pixel looked at before the training and at held-out spots
        in the training, a multiplication in float64.
    opening, closing : float
        Seconds from the start of a training to the end of its first step, and from its last step to its end.
    resident, peak, slope : float
        Megabytes held after the trial, at most in it, and for each pixel more that is looked at at once.
    """

    card: Card
    device: torch.device
    what: str
    pretrains: bool
    looks: bool
    train: list[FloatArray]
    apart: list[FloatArray]
    batch: int = 1
    each: float = 1.0
    described: int = 0
    loaded: int = 0
    starting: float = 0.0
    read: float = 0.0
    load: float = 0.0
    pretrain: float = 0.0
    step: float = 0.0
    look: float = 0.0
    validate: float = 0.0
    flop: float = 0.0
    opening: float = 0.0
    closing: float = 0.0
    resident: float = 0.0
    peak: float = 0.0
    slope: float = 0.0


@dataclass
class _Clock:
    """Takes the time of every step and asks to stop when there have been enough of them.

    The first step that is timed is the one after the first `warm_up`.
    """

    cancelled: Callable[[], bool]
    seconds: float
    warm_up: int
    times: list[float] = field(default_factory=list)

    def tick(self) -> None:
        """Take the time at the end of a step."""
        self.times.append(time.perf_counter())

    def enough(self) -> bool:
        """Tell whether to stop."""
        timed = len(self.times) > self.warm_up
        late = timed and self.times[-1] - self.times[self.warm_up - 1] > self.seconds
        return late or len(self.times) >= MOST_STEPS or self.cancelled()

    def tick_and_ask(self) -> bool:
        """Take the time, and tell whether to stop."""
        self.tick()
        return self.enough()

    @property
    def pace(self) -> float:
        """Seconds that a step takes."""
        first = min(self.warm_up, len(self.times) - 1) - 1
        return (self.times[-1] - self.times[first]) / (len(self.times) - 1 - first)


def probe_run(
    train: Sequence[Sample],
    apart: Sequence[Sample],
    config: TrainingConfig,
    start: Model | None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], Any] = lambda stage: None,
) -> TimingProbe:
    """Try every stage of a run.

    Parameters
    ----------
    train, apart : sequence of Sample
        As `split_samples` gives them.
    config : TrainingConfig
    start : Model or None
    cancelled, progress : callable
        Asked between steps, told the stage that is tried.

    Raises
    ------
    Cancelled
    """

    def stage(name: str) -> None:
        if cancelled():
            raise Cancelled("stopped while the run was being estimated")
        progress(name)

    stage("reading")
    data, read = _read([*train, *apart], cancelled)
    known = data[: len(train)]
    card = card_for(train[: len(known)], known, config, start)
    spots = _places([*train, *apart], data, card)
    trial = _about(card, config, start, spots, len(train))
    trial.read = read
    stage("loading a section")
    section = _load(trial, train, known)
    _settle_batch(trial, section, config)
    part = part_of(section, _middle(section.centres[:, SELF], SIDE, SPOTS))
    hold_out_blocks([part], config.inner_validation, 0)
    stage("looking at the tissue")
    seen = _look(trial, part, config)
    if trial.pretrains:
        stage("pretraining the encoder")
        _pretrain(trial, section, config, cancelled)
    stage("training")
    _train(trial, part, seen, config, start, cancelled)
    trial.resident, trial.peak = memory_mb(trial.device)
    return trial


def looked_at(extent: FloatArray, card: Card) -> tuple[int, int]:
    """Give the pixels of all windows that hold spots of this extent (x, y), and of the largest."""
    count, _, size = grid(extent, card, EMBED_WINDOW)
    return int(count.prod() * size.prod()), int(size.prod())


def _read(samples: Sequence[Sample], cancelled: Callable[[], bool]) -> tuple[list[Any], float]:
    """Read counts for as long as it may take, the first in any case; and tell the seconds for each."""
    begin = time.perf_counter()
    out: list[Any] = []
    for sample in samples:
        if out and time.perf_counter() - begin > READ_SECONDS:
            break
        if cancelled():
            raise Cancelled("stopped while the run was being estimated")
        out.append(read_expression(sample))
    return out, (time.perf_counter() - begin) / len(out)


def _places(samples: Sequence[Sample], data: Sequence[Any], card: Card) -> list[FloatArray]:
    """Give every section's spots in model pixels; one that was not read is taken to be like one that was."""
    out: list[FloatArray] = []
    for sample, read in zip(samples, data, strict=False):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            out.append(np.asarray(read.obsm["spatial"], dtype=np.float64) / card.scale_on(slide.require_mpp()))
    return [out[i % len(out)] for i in range(len(samples))]


def _about(card: Card, config: TrainingConfig, start: Model | None, spots: list[FloatArray], train: int) -> TimingProbe:
    context = card.architecture.variant == "context"
    what = config.train if context else "everything"
    pretrains = context and start is None and config.encoder_start is None and config.pretrain_steps > 0
    looks = context and (what == "head" or config.kernel_share > 0)
    device = choose_device(config.device)
    return TimingProbe(card, device, what, pretrains, looks, spots[:train], spots[train:])


def _middle(spots: FloatArray, side: float, most: int) -> npt.NDArray[np.int64]:
    """Choose the spots of a square round the middle one, the nearest of them where they are many."""
    middle = spots[np.argmin(np.linalg.norm(spots - np.median(spots, axis=0), axis=1))]
    away = np.abs(spots - middle).max(axis=1)
    order = np.argsort(away, kind="stable")
    few = min(len(spots), 12)  # of a wide array
    return np.sort(order[: max(few, min(most, int((away <= side / 2).sum())))])


def _load(trial: TimingProbe, train: Sequence[Sample], data: Sequence[Any]) -> Section:
    """Load the largest section that was read, or the middle of it where that is too much."""
    i = int(np.argmax([np.ptp(s, axis=0).prod() for s in trial.train[: len(data)]]))
    spots = trial.train[i]
    some = _middle(spots, MOST_PIXELS**0.5, len(spots))
    begin = time.perf_counter()
    section = load_section(train[i], data[i] if len(some) == len(spots) else data[i][some].copy(), trial.card)
    trial.loaded = section.pixels.shape[0] * section.pixels.shape[1]
    trial.load = (time.perf_counter() - begin) / trial.loaded
    return section


def _settle_batch(trial: TimingProbe, section: Section, config: TrainingConfig) -> None:
    spots = spots_a_step(round(sum(map(len, trial.train)) * (1 - config.inner_validation)))
    if trial.what == "head":
        trial.batch = config.spots_per_step or spots
    else:
        trial.each = spots_a_window(section, config.window)
        trial.batch = config.windows_per_step or windows_a_step(spots, trial.each)


def _look(trial: TimingProbe, part: Section, config: TrainingConfig) -> EmbeddedSection | None:
    """Look at the part: first at a single spot, which warms up. Before anything else that takes much memory."""
    if not trial.looks:
        return None
    arch = trial.card.architecture
    if config.kernel_share > 0:
        arch = arch.model_copy(update={"landmarks": 1, "kernel_rank": 1, "kernel_share": config.kernel_share})
    net = build(arch, len(trial.card.genes))
    assert isinstance(net, ContextNH2ST)
    if net.kernel_head is not None:
        trial.described = len(net.kernel_head.mean)
        matrix = np.ones((_MATRIX, _MATRIX))
        begin = time.perf_counter()
        _ = matrix @ matrix
        trial.flop = (time.perf_counter() - begin) / _MATRIX**3
    device = trial.device if trial.what == "head" else torch.device("cpu")
    at, pixels, peaks = part.centres[:, SELF], [], []
    for spots in (np.arange(1), np.arange(len(at))):
        begin = time.perf_counter()
        seen = embed_spots(net, part, spots, trial.card, device)
        trial.look = time.perf_counter() - begin
        pixels.append(looked_at(np.ptp(at[spots], axis=0), trial.card)[0])
        peaks.append(memory_mb(trial.device)[1])
    trial.look /= pixels[1]
    trial.slope = (peaks[1] - peaks[0]) / max(pixels[1] - pixels[0], 1)
    return EmbeddedSection(seen, torch.zeros((0, len(at), 9, net.encoder.channels), dtype=torch.float16))


def _pretrain(trial: TimingProbe, section: Section, config: TrainingConfig, cancelled: Callable[[], bool]) -> None:
    clock = _Clock(cancelled, PRETRAIN_SECONDS, warm_up=2)  # the first of its times is before the first step

    def told(done: int, total: int) -> None:
        clock.tick()

    try:
        pretrain_on_sections([section], trial.card.architecture, config, 0, clock.enough, told)
    except Cancelled:
        if cancelled():
            raise Cancelled("stopped while the run was being estimated") from None
    trial.pretrain = clock.pace


def _train(
    trial: TimingProbe,
    part: Section,
    seen: EmbeddedSection | None,
    config: TrainingConfig,
    start: Model | None,
    cancelled: Callable[[], bool],
) -> None:
    """Make some optimiser steps, and score the part's held-out spots once."""
    tried: dict[str, Any] = {"devices": 1, "nodes": 1, "pretrain_steps": 0, "views": 0}
    tried["spots_per_step" if trial.what == "head" else "windows_per_step"] = trial.batch
    config = config.model_copy(update=tried)
    setup = set_up_training(
        [part], trial.card, config, 0, start, None, cancelled, look=None if seen is None else lambda net, card: [seen]
    )
    clock, log = _Clock(cancelled, STEP_SECONDS, warm_up=2), MetricsFile(None)
    with TemporaryDirectory() as folder:
        requests, begin = RunRequests(Path(folder), clock.tick_and_ask, log), time.perf_counter()
        TrainingPass(setup, Path(folder), log, requests, score=True, checkpoints=False).run()
        end = time.perf_counter()
    if cancelled():
        raise Cancelled("stopped while the run was being estimated")
    trial.step, trial.opening, trial.closing = clock.pace, clock.times[0] - begin, end - clock.times[-1]
    scored = looked_at(np.ptp(part.centres[part.held_out, SELF], axis=0), trial.card)[0]
    trial.validate = trial.closing / scored

"""Timing probe of a fine-tuning run: a few steps of each stage, by the code of a run, on a part of a section."""

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
from napari_nh2st.model.nh2st import build
from napari_nh2st.slides import open_slide
from napari_nh2st.training.config import Train, TrainingConfig
from napari_nh2st.training.data.batches import embedded_a_step, spots_a_step, windows_a_step
from napari_nh2st.training.data.embedded import EMBED_WINDOW, EmbeddedSection, embed_sample, embed_spots
from napari_nh2st.training.data.windows import grid, spots_a_window
from napari_nh2st.training.network.setup import set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.memory import memory_mb
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.sections.blocks import hold_out_blocks
from napari_nh2st.training.sections.examine import admit_sections
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import FloatArray, Section, load_section, part_of

# Seconds after which no further section's counts are read, no further step is made.
READ_SECONDS, PRETRAIN_SECONDS, STEP_SECONDS = 4.0, 2.0, 2.0
MOST_STEPS = 14
# The part that is probed: spots within a square of this side in model pixels, and no more than that many.
SIDE, SPOTS = 1000.0, 200
# Of a section larger than this only the middle is read.
MOST_PIXELS = 48 * 2**20
_MATRIX = 768
_STOPPED = "stopped while the run was being estimated"


@dataclass
class TimingProbe:
    """The work of a run, and how fast this machine is at it.

    Attributes
    ----------
    card : Card
    device : device
    trained : {"everything", "last-blocks", "head"}
        The part of the network that is trained.
    pretrains, embeds : bool
        Whether the encoder is pretrained, and whether tissue is embedded before the training.
    train, held_out : list of (n, 2) float64
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
    pretrain, step, embed, validate, flop : float
        Seconds for a step of pretraining and of training, a pixel embedded before the training and at held-out spots
        in the training, a multiplication in float64.
    opening, closing : float
        Seconds from the start of a training to the end of its first step, and from its last step to its end.
    resident, peak, slope : float
        Megabytes after the probe, at most in it, and for each pixel more that is embedded at once.
    doubts : list of str
        What to know of the sections that were read, a line each.
    """

    card: Card
    device: torch.device
    trained: Train
    pretrains: bool
    embeds: bool
    train: list[FloatArray]
    held_out: list[FloatArray]
    batch: int = 1
    each: float = 1.0
    described: int = 0
    loaded: int = 0
    starting: float = 0.0
    read: float = 0.0
    load: float = 0.0
    pretrain: float = 0.0
    step: float = 0.0
    embed: float = 0.0
    validate: float = 0.0
    flop: float = 0.0
    opening: float = 0.0
    closing: float = 0.0
    resident: float = 0.0
    peak: float = 0.0
    slope: float = 0.0
    doubts: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        """Blocks of each section that the first training leaves out."""
        return 1 if self.held_out else 2

    @property
    def encoders(self) -> int:
        """Encoders that are pretrained: a second one for the second training, which leaves no block out."""
        return self.blocks if self.pretrains else 0

    def learnt(self, config: TrainingConfig) -> float:
        """Give the part of the spots that the first training learns from."""
        return 1 - self.blocks * config.inner_validation


def probe_run(
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    config: TrainingConfig,
    base: Model | None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], Any] = lambda stage: None,
) -> TimingProbe:
    """Take a few steps of every stage of a run, and time them.

    Parameters
    ----------
    train, held_out : sequence of Sample
        As `split_samples` gives them.
    config : TrainingConfig
    base : Model or None
    cancelled : callable
        Asked between steps.
    progress : callable
        Called with the stage that is probed.

    Raises
    ------
    Cancelled
    """

    def stage(name: str) -> None:
        if cancelled():
            raise Cancelled(_STOPPED)
        progress(name)

    stage("reading")
    samples = [*train, *held_out]
    counts, seconds = _read(samples, cancelled)
    counts, doubts = admit_sections(samples[: len(counts)], counts)
    counts_read = counts[: len(train)]
    card = card_for(train[: len(counts_read)], counts_read, config, base)
    spots = _spots(samples, counts, card)
    probe = _work(card, config, base, (spots[: len(train)], spots[len(train) :]))
    probe.read, probe.doubts = seconds, doubts

    stage("loading a section")
    section = _load(probe, train, counts_read)
    _settle_batch(probe, section, config)
    part = part_of(section, _middle(section.centres[:, SELF], SIDE, SPOTS))
    hold_out_blocks([part], config.inner_validation, 0, scored=probe.blocks > 1)

    stage("looking at the tissue")
    embedded = _embed(probe, part, config)
    if probe.pretrains:
        stage("pretraining the encoder")
        probe.pretrain = _pretrain(card, section, config, cancelled)

    stage("training")
    _train(probe, part, _few_steps(probe, config), StartingPoint(base), embedded=embedded, cancelled=cancelled)
    probe.resident, probe.peak = memory_mb(probe.device)
    return probe


def window_pixels(extent: FloatArray, card: Card) -> tuple[int, int]:
    """Count the pixels of all windows that hold spots of this extent (x, y), and of the largest window."""
    count, _, size = grid(extent, card, EMBED_WINDOW)
    return int(count.prod() * size.prod()), int(size.prod())


def _read(samples: Sequence[Sample], cancelled: Callable[[], bool]) -> tuple[list[Any], float]:
    """Read counts for as long as it may take, the first in any case; and give the seconds for each."""
    begin = time.perf_counter()
    out: list[Any] = []
    for sample in samples:
        if out and time.perf_counter() - begin > READ_SECONDS:
            break
        if cancelled():
            raise Cancelled(_STOPPED)
        out.append(read_expression(sample))
    return out, (time.perf_counter() - begin) / len(out)


def _spots(samples: Sequence[Sample], counts: Sequence[Any], card: Card) -> list[FloatArray]:
    """Every section's spots in model pixels; a section that was not read is taken to be like one that was."""
    out: list[FloatArray] = []
    for sample, read in zip(samples, counts, strict=False):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            out.append(np.asarray(read.obsm["spatial"], dtype=np.float64) / card.scale_on(slide.require_mpp()))
    return [out[i % len(out)] for i in range(len(samples))]


def _work(
    card: Card, config: TrainingConfig, base: Model | None, spots: tuple[list[FloatArray], list[FloatArray]]
) -> TimingProbe:
    dense = card.architecture.row.dense
    trained: Train = config.train if dense else "everything"
    pretrains = dense and base is None and config.encoder_start is None and config.pretrain_steps > 0
    embeds = dense and (trained == "head" or config.with_kernel)
    return TimingProbe(card, choose_device(config.device), trained, pretrains, embeds, *spots)


def _middle(spots: FloatArray, side: float, most: int) -> npt.NDArray[np.int64]:
    """Choose the spots of a square round the middle one, the nearest of them where they are many."""
    middle = spots[np.argmin(np.linalg.norm(spots - np.median(spots, axis=0), axis=1))]
    away = np.abs(spots - middle).max(axis=1)
    order = np.argsort(away, kind="stable")
    few = min(len(spots), 12)  # of a wide array
    return np.sort(order[: max(few, min(most, int((away <= side / 2).sum())))])


def _load(probe: TimingProbe, train: Sequence[Sample], counts: Sequence[Any]) -> Section:
    """Load the largest section that was read, or its middle if that is too much."""
    i = int(np.argmax([np.ptp(s, axis=0).prod() for s in probe.train[: len(counts)]]))
    spots = probe.train[i]
    some = _middle(spots, MOST_PIXELS**0.5, len(spots))
    begin = time.perf_counter()
    section = load_section(train[i], counts[i] if len(some) == len(spots) else counts[i][some].copy(), probe.card)
    probe.loaded = section.pixels.shape[0] * section.pixels.shape[1]
    probe.load = (time.perf_counter() - begin) / probe.loaded
    return section


def _settle_batch(probe: TimingProbe, section: Section, config: TrainingConfig) -> None:
    learnt = round(sum(map(len, probe.train)) * probe.learnt(config))
    if probe.trained == "head":
        probe.batch = config.spots_per_step or embedded_a_step(learnt)
    else:
        spots = spots_a_step(learnt)
        probe.each = spots_a_window(section, config.window)
        probe.batch = config.windows_per_step or windows_a_step(spots, probe.each)


def _embed(probe: TimingProbe, part: Section, config: TrainingConfig) -> EmbeddedSection | None:
    """Embed the part: first a single spot, which warms up. Before anything else that takes much memory."""
    if not probe.embeds:
        return None
    arch = probe.card.architecture
    if config.with_kernel:
        arch = arch.model_copy(update={"landmarks": 1, "kernel_rank": 1, "kernel_share": 0.5})
    net = build(arch, len(probe.card.genes))
    if net.kernel_head is not None:
        probe.described = len(net.kernel_head.mean)
        probe.flop = _seconds_a_product()
    centres, pixels, peaks = part.centres[:, SELF], [], []
    for spots in (np.arange(1), np.arange(len(centres))):
        begin = time.perf_counter()
        plain = embed_spots(net, part, spots, probe.card, device=probe.device)
        probe.embed = time.perf_counter() - begin
        pixels.append(window_pixels(np.ptp(centres[spots], axis=0), probe.card)[0])
        peaks.append(memory_mb(probe.device)[1])
    probe.embed /= pixels[1]
    probe.slope = (peaks[1] - peaks[0]) / max(pixels[1] - pixels[0], 1)
    none = torch.zeros((0, len(centres), 9, net.head_width), dtype=torch.float16)
    sample = embed_sample(net, part, probe.card, device=probe.device) if "sample" in net.needs else None
    return EmbeddedSection(plain, none, torch.from_numpy(part.micrometres(probe.card.mpp)).float(), sample)


def _seconds_a_product() -> float:
    matrix = np.ones((_MATRIX, _MATRIX))
    begin = time.perf_counter()
    _ = matrix @ matrix
    return (time.perf_counter() - begin) / _MATRIX**3


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
        """Return True after enough steps."""
        timed = len(self.times) > self.warm_up
        late = timed and self.times[-1] - self.times[self.warm_up - 1] > self.seconds
        return late or len(self.times) >= MOST_STEPS or self.cancelled()

    def tick_and_ask(self) -> bool:
        """Take the time, and say whether to stop."""
        self.tick()
        return self.enough()

    @property
    def pace(self) -> float:
        """Seconds that a step takes."""
        first = min(self.warm_up, len(self.times) - 1) - 1
        return (self.times[-1] - self.times[first]) / (len(self.times) - 1 - first)


def _pretrain(card: Card, section: Section, config: TrainingConfig, cancelled: Callable[[], bool]) -> float:
    """Seconds that a step of pretraining takes."""
    clock = _Clock(cancelled, PRETRAIN_SECONDS, warm_up=2)  # the first of its times is before the first step

    def tick(done: int, total: int) -> None:
        clock.tick()

    try:
        pretrain_on_sections([section], card.architecture, config, 0, cancelled=clock.enough, progress=tick)
    except Cancelled:
        if cancelled():
            raise Cancelled(_STOPPED) from None
    return clock.pace


def _few_steps(probe: TimingProbe, config: TrainingConfig) -> TrainingConfig:
    """Change the settings of a run to those of its probe."""
    batch = "spots_per_step" if probe.trained == "head" else "windows_per_step"
    return config.model_copy(update={"devices": 1, "nodes": 1, "pretrain_steps": 0, "views": 0, batch: probe.batch})


def _train(
    probe: TimingProbe,
    part: Section,
    config: TrainingConfig,
    start: StartingPoint,
    *,
    embedded: EmbeddedSection | None,
    cancelled: Callable[[], bool],
) -> None:
    """Make some optimiser steps, and score the part's held-out spots once."""
    embed = None if embedded is None else lambda net, card: [embedded]
    setup = set_up_training([part], probe.card, config, 0, start=start, embed=embed, cancelled=cancelled)
    clock = _Clock(cancelled, STEP_SECONDS, warm_up=2)
    with TemporaryDirectory() as temporary:
        folder, begin = RunFolder(Path(temporary)), time.perf_counter()
        control = RunControl.of(folder, clock.tick_and_ask)
        TrainingPass(setup, folder, control, score=True, checkpoints=False).run()
        end = time.perf_counter()
    if cancelled():
        raise Cancelled(_STOPPED)
    probe.step, probe.opening, probe.closing = clock.pace, clock.times[0] - begin, end - clock.times[-1]
    scored = window_pixels(np.ptp(part.centres[part.held_out, SELF], axis=0), probe.card)[0]
    probe.validate = probe.closing / scored

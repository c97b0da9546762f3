"""From a trial to what a whole run takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.batches import FEWEST_STEPS, MOST_STEPS
from napari_nh2st.training.data.embedded import MAX_VIEWS_BYTES
from napari_nh2st.training.estimate.estimate import Estimate
from napari_nh2st.training.estimate.timing_probe import FloatArray, TimingProbe, looked_at
from napari_nh2st.training.run.reference import MOST_TILES

# Of a step, the part that the forward pass alone takes.
FORWARD = 1 / 3


# The engine reads and encodes its windows with a margin: this many times what they cover.
MARGIN = 1.25


# Products of the kernel matrix with itself that the kernel head's fit is worth.
KERNEL_PRODUCTS = 6


# Matrices of float64 with a row for every spot that the kernel head's fit holds at once.
KERNEL_COPIES = 3


def forecast(trial: TimingProbe, config: TrainingConfig) -> Estimate:
    """Say what a run takes, where it is not ended early."""
    spots = sum(map(len, trial.train))
    steps = _steps(trial, config, spots * (1 - config.inner_validation))
    again = _steps(trial, config, spots) if config.refit else 0
    crops = sum(crop(s, trial.card) for s in [*trial.train, *trial.apart])
    sections = len(trial.train) + len(trial.apart)
    parts = {
        "reading": trial.starting + trial.read * sections + trial.load * crops,
        "pretraining the encoder": trial.pretrain * config.pretrain_steps,
        "looking at the tissue": _looking(trial, config),
        "training": trial.opening + trial.step * steps + _scoring(trial, config) * config.epochs,
        "training on the held-out blocks too": (trial.opening + trial.step * again) if again else 0.0,
        "scoring beside simpler models": _describing(trial) + _simpler(trial),
    }
    parts = {name: round(seconds, 2) for name, seconds in parts.items()}
    return Estimate(
        seconds=round(sum(parts.values()), 2),
        memory_mb=round(_memory(trial, config, crops)),
        device=str(trial.device),
        parts=parts,
        spots=spots,
        steps=steps + again,
    )


def crop(spots: FloatArray, card: Card) -> float:
    """Give the pixels of the crop that a section is loaded as."""
    margin = card.pitch + card.patch // 2 + card.architecture.stride
    return float((np.ptp(spots, axis=0) + 2 * margin).prod())


def _steps(trial: TimingProbe, config: TrainingConfig, spots: float) -> int:
    an_epoch = round(spots / trial.each / trial.batch / (config.devices * config.nodes))
    return int(np.clip(an_epoch, FEWEST_STEPS, MOST_STEPS)) * config.epochs


def _windows(sections: Sequence[FloatArray], card: Card, part: float = 1.0) -> tuple[int, int]:
    """Give the pixels of all windows over a compact part of each section's spots, and of the largest window."""
    each = [looked_at(np.ptp(s, axis=0) * part**0.5, card) for s in sections]
    return sum(e[0] for e in each), max((e[1] for e in each), default=0)


def _looking(trial: TimingProbe, config: TrainingConfig) -> float:
    """Before the training: the head's only look, or what the kernel head is fitted to, once a training."""
    if not trial.looks:
        return 0.0
    rounds, spots = 1 + config.refit, sum(map(len, trial.train))
    landmarks = min(spots, config.landmarks)
    fit = KERNEL_PRODUCTS * trial.flop * spots * (trial.described + landmarks) ** 2 if trial.described else 0.0
    seconds = trial.look * _windows(trial.train, trial.card)[0]
    if trial.what != "head":
        return rounds * (seconds + fit)
    return (1 + _views(trial, config)) * seconds + trial.look * _windows(trial.apart, trial.card)[0] + rounds * fit


def _views(trial: TimingProbe, config: TrainingConfig) -> int:
    a_view = sum(map(len, trial.train)) * 9 * _channels(trial.card) * 2
    return int(min(config.views, MAX_VIEWS_BYTES // max(a_view, 1)))


def _channels(card: Card) -> int:
    return 8 * card.architecture.width


def _scoring(trial: TimingProbe, config: TrainingConfig) -> float:
    """After every epoch: the held-out blocks, and the sections that are only scored."""
    if trial.what == "head":
        spots = config.inner_validation * sum(map(len, trial.train)) + sum(map(len, trial.apart))
        return trial.closing + FORWARD * trial.step * spots / trial.batch
    blocks = _windows(trial.train, trial.card, config.inner_validation)[0]
    return trial.validate * (blocks + _windows(trial.apart, trial.card)[0])


def _describing(trial: TimingProbe) -> float:
    """After the training: the engine's look at the tissue of all sections, with the finished model."""
    pace = trial.look if trial.looks else trial.validate
    side = 3 * trial.card.architecture.stride if trial.looks else trial.card.patch
    train, apart = (sum(crop(s, trial.card) for s in sections) for sections in (trial.train, trial.apart))
    return pace * MARGIN * (min(train, MOST_TILES * side**2) + apart)


def _simpler(trial: TimingProbe) -> float:
    """At the end: simpler models look at the colours of every spot's patch, about as fast as an encoder would."""
    spots = sum(map(len, [*trial.train, *trial.apart]))
    return (trial.look if trial.looks else trial.validate) * spots * trial.card.patch**2


def _memory(trial: TimingProbe, config: TrainingConfig, crops: float) -> float:
    """See `napari_nh2st.training.estimate.estimate`."""
    there = trial.what == "head" or trial.device.type == "cpu"  # the kernel head alone is fitted on the processor
    largest = _windows([*trial.train, *trial.apart], trial.card)[1] if trial.looks and there else 0
    peak = max(trial.peak, trial.resident + trial.slope * largest)
    if trial.device.type == "cuda":
        return peak
    spots = sum(map(len, trial.train))
    rest = 3 * max(0.0, crops - trial.loaded)
    if trial.what == "head":
        every = spots + sum(map(len, trial.apart))
        rest += 9 * _channels(trial.card) * (4 * every + 2 * _views(trial, config) * spots)
    if trial.described:
        rest += KERNEL_COPIES * 8 * spots * (trial.described + min(spots, config.landmarks))
    return peak + rest / 1e6

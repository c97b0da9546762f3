"""From a timing probe to what a whole run takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.batches import FEWEST_STEPS, MOST_STEPS
from napari_nh2st.training.data.embedded import MAX_VIEWS_BYTES
from napari_nh2st.training.estimate.estimate import Estimate
from napari_nh2st.training.estimate.timing_probe import TimingProbe, window_pixels
from napari_nh2st.training.run.cross_fit import MOST_TRAININGS
from napari_nh2st.training.run.learnt_share import STAGE as SHARE_STAGE
from napari_nh2st.training.run.reference import MOST_TILES
from napari_nh2st.training.sections.section import FloatArray

# Of a step, the part that the forward pass alone takes.
FORWARD = 1 / 3
# The engine reads and encodes its windows with a margin: this many times what they cover.
MARGIN = 1.25
# Products of the kernel matrix with itself that the kernel head's fit is worth.
KERNEL_PRODUCTS = 6
# Matrices of float64 with a row for every spot that the kernel head's fit holds at once.
KERNEL_COPIES = 3


def forecast(probe: TimingProbe, config: TrainingConfig) -> Estimate:
    """Compute what a run takes if it is not ended early."""
    spots = sum(map(len, probe.train))
    steps = _steps(probe, config, spots * probe.learnt(config))
    again = _steps(probe, config, spots) if config.refit else 0
    crops = sum(crop(s, probe.card) for s in [*probe.train, *probe.held_out])
    sections = len(probe.train) + len(probe.held_out)
    parts = {
        "reading": probe.starting + probe.read * sections + probe.load * crops,
        "pretraining the encoder": _encoders(probe, config) * probe.pretrain * config.pretrain_steps,
        "looking at the tissue": _looking(probe, config),
        SHARE_STAGE: _shares(probe, config, steps),
        "training": probe.opening + probe.step * steps + _scoring(probe, config) * config.epochs,
        "working out intervals": _intervals(probe, config, spots),
        "training on the held-out blocks too": (probe.opening + probe.step * again) if again else 0.0,
        "scoring beside simpler models": _describing(probe) + _simpler(probe),
    }
    parts = {name: round(seconds, 2) for name, seconds in parts.items()}
    return Estimate(
        seconds=round(sum(parts.values()), 2),
        memory_mb=round(_memory(probe, config, crops)),
        device=str(probe.device),
        parts=parts,
        spots=spots,
        steps=steps + again,
        warnings=probe.doubts,
    )


def crop(spots: FloatArray, card: Card) -> float:
    """Count the pixels of the crop that a section is loaded as."""
    margin = card.pitch + card.patch // 2 + card.architecture.stride
    return float((np.ptp(spots, axis=0) + 2 * margin).prod())


def _steps(probe: TimingProbe, config: TrainingConfig, spots: float) -> int:
    an_epoch = round(spots / probe.each / probe.batch / (config.devices * config.nodes))
    return int(np.clip(an_epoch, FEWEST_STEPS, MOST_STEPS)) * config.epochs


def _shares(probe: TimingProbe, config: TrainingConfig, steps: int) -> float:
    """Train without each part of the tissue in turn, to choose the learnt head's share."""
    if not probe.described or probe.trained != "head" or config.kernel_share is not None:
        return 0.0
    sections = len(probe.train)
    return min(MOST_TRAININGS, MOST_TRAININGS if sections == 1 else sections) * (probe.opening + probe.step * steps)


def _more_trainings(probe: TimingProbe, config: TrainingConfig) -> int:
    """Count the trainings that only the intervals need; at most, since patients are not told apart."""
    if not config.intervals or probe.trained != "head" or config.devices * config.nodes > 1:
        return 0
    return MOST_TRAININGS if len(probe.train) == 1 else min(MOST_TRAININGS, len(probe.train))


def _intervals(probe: TimingProbe, config: TrainingConfig, spots: int) -> float:
    """Between the trainings: further ones of the head, each without a part of the spots."""
    count = _more_trainings(probe, config)
    return count * (probe.opening + probe.step * _steps(probe, config, spots * (1 - 1 / count))) if count else 0.0


def _windows(sections: Sequence[FloatArray], card: Card, part: float = 1.0) -> tuple[int, int]:
    """Count the pixels of all windows over a compact part of each section's spots, and of the largest window."""
    each = [window_pixels(np.ptp(s, axis=0) * part**0.5, card) for s in sections]
    return sum(e[0] for e in each), max((e[1] for e in each), default=0)


def _looking(probe: TimingProbe, config: TrainingConfig) -> float:
    """Before the training: the head's look with each encoder, or what the kernel head is fitted to, once a training."""
    if not probe.embeds:
        return 0.0
    rounds, spots = 1 + config.refit, sum(map(len, probe.train))
    landmarks = min(spots, config.landmarks)
    fit = KERNEL_PRODUCTS * probe.flop * spots * (probe.described + landmarks) ** 2 if probe.described else 0.0
    seconds = probe.embed * _windows(probe.train, probe.card)[0]
    if probe.trained != "head":
        return rounds * (seconds + fit)
    looks = max(1, _encoders(probe, config)) * (1 + _views(probe, config))
    return (
        looks * seconds
        + probe.embed * _windows(probe.held_out, probe.card)[0]
        + (rounds + _more_trainings(probe, config)) * fit
    )


def _encoders(probe: TimingProbe, config: TrainingConfig) -> int:
    """Count the encoders that are pretrained; the second training has one of its own where blocks were left out."""
    return probe.encoders if config.refit else min(probe.encoders, 1)


def _views(probe: TimingProbe, config: TrainingConfig) -> int:
    a_view = sum(map(len, probe.train)) * 9 * _channels(probe.card) * 2
    return int(min(config.views, MAX_VIEWS_BYTES // max(a_view, 1)))


def _channels(card: Card) -> int:
    return 8 * card.architecture.width


def _scoring(probe: TimingProbe, config: TrainingConfig) -> float:
    """After every epoch: the blocks, and the sections that are only scored."""
    if probe.trained == "head":
        spots = probe.blocks * config.inner_validation * sum(map(len, probe.train)) + sum(map(len, probe.held_out))
        return probe.closing + FORWARD * probe.step * spots / probe.batch
    blocks = probe.blocks * _windows(probe.train, probe.card, config.inner_validation)[0]
    return probe.validate * (blocks + _windows(probe.held_out, probe.card)[0])


def _describing(probe: TimingProbe) -> float:
    """After the training: the engine's look at the tissue of all sections, with the finished model."""
    pace = probe.embed if probe.embeds else probe.validate
    side = 3 * probe.card.architecture.stride if probe.embeds else probe.card.patch
    train, held_out = (sum(crop(s, probe.card) for s in sections) for sections in (probe.train, probe.held_out))
    return pace * MARGIN * (min(train, MOST_TILES * side**2) + held_out)


def _simpler(probe: TimingProbe) -> float:
    """At the end: simpler models look at the colours of every spot's patch, about as fast as an encoder would."""
    spots = sum(map(len, [*probe.train, *probe.held_out]))
    return (probe.embed if probe.embeds else probe.validate) * spots * probe.card.patch**2


def _memory(probe: TimingProbe, config: TrainingConfig, crops: float) -> float:
    """See `napari_nh2st.training.estimate.estimate`."""
    largest = _windows([*probe.train, *probe.held_out], probe.card)[1] if probe.embeds else 0
    peak = max(probe.peak, probe.resident + probe.slope * largest)
    if probe.device.type == "cuda":
        return peak
    spots = sum(map(len, probe.train))
    rest = 3 * max(0.0, crops - probe.loaded)
    if probe.trained == "head":
        every = spots + sum(map(len, probe.held_out))
        rest += 9 * _channels(probe.card) * (4 * every + 2 * _views(probe, config) * spots)
    if probe.described:
        rest += KERNEL_COPIES * 8 * spots * (probe.described + min(spots, config.landmarks))
    return peak + rest / 1e6

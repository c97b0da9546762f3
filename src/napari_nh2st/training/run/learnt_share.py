"""The learnt head's share of a prediction, chosen on training tissue that is left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.network.network_module import HeldOutBlock, NH2STModule, NotFinite
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.cross_fit import (
    HeldOutSpots,
    held_out_meanwhile,
    median_depth,
    parts_of,
    predict_held_out,
)
from napari_nh2st.training.sections.section import Section

STAGE = "choosing the learnt head's share"

# With less, a later training that starts from the model would have nothing to go on from.
LEAST = 0.01

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Spots of a section that both heads have not learnt from, standardised.

    Attributes
    ----------
    labels, kernel, learnt : (n, G)
        As measured, and as each head answers alone.
    spots : (n,) int64
        Which spots of the section.
    scale : LabelScale
        By which they are standardised.
    """

    labels: FloatArray
    kernel: FloatArray
    learnt: FloatArray
    spots: npt.NDArray[np.int64]
    scale: LabelScale

    def together(self, share: float) -> HeldOutBlock:
        """Add the answers up: as measured and as predicted, in label units."""
        values = (self.labels, self.kernel + share * self.learnt)
        measured, predicted = (self.scale.restore(v.astype(np.float32)) for v in values)
        return HeldOutBlock(self.spots, measured, predicted)


@dataclass(frozen=True, eq=False)
class ChosenShare:
    """The learnt head's share, and the spots by which it was chosen, as they are predicted with it.

    Attributes
    ----------
    share : float
        From `LEAST` to 1.
    spots : HeldOutSpots
        Empty where nothing could be left out.
    """

    share: float
    spots: HeldOutSpots


def chooses_share(card: Card, config: TrainingConfig) -> bool:
    """Tell whether a run chooses the share: further trainings are cheap where the head alone is trained, by itself."""
    alone = config.devices * config.nodes == 1
    left = card.target.loss == "squared-error"
    return config.kernel_share is None and config.train == "head" and card.architecture.row.dense and alone and left


def with_share(card: Card, share: float) -> Card:
    """Put the learnt head's share on a card whose kernel head answers in full."""
    arch = card.architecture.model_copy(update={"kernel_share": 1.0, "learnt_share": share})
    return card.model_copy(update={"architecture": arch})


def choose_share(
    sections: Sequence[Section],
    set_up: Callable[[], TrainingSetup],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> ChosenShare:
    """Train without each part of the sections in turn, and see how much of the learnt head's answer helps there.

    Parameters
    ----------
    sections : sequence of Section
        Spots that are held out already stay so, and count for nothing.
    set_up : callable
        Sets up a training on the spots that are not held out just then.
    cancelled : callable
        Asked after every step.
    told : callable
        Called with the trainings that are done, and all of them.

    Returns
    -------
    ChosenShare
        1 where nothing can be left out, or where a training fails: the run's own will say why.

    Raises
    ------
    Cancelled
    """
    what, parts = parts_of(sections)
    found: list[Answers] = []
    try:
        with held_out_meanwhile(sections) as before:
            for number, masks in enumerate(parts):
                told(number, len(parts))
                for section, mask, held_out in zip(sections, masks, before, strict=True):
                    section.held_out[:], section.inner[:] = held_out | mask, held_out
                if sum(int((~s.held_out).sum()) for s in sections) > 1 and any(s.scored.any() for s in sections):
                    setup = set_up()
                    found += _answers(setup, train_aside(setup, cancelled))
            told(len(parts), len(parts))
    except NotFinite:
        return ChosenShare(1.0, HeldOutSpots(what, []))
    share = max(best_share(found), LEAST)
    spots = HeldOutSpots(what, [answers.together(share) for answers in found], median_depth(sections))
    return ChosenShare(share, spots)


def best_share(spots: Sequence[Answers]) -> float:
    """Return the share s, from 0 to 1, with which ``kernel + s learnt`` is most like the labels.

    Least squares of the labels on both answers: ``labels ~ a kernel + b learnt``, s = b / a. That the kernel head's own
    answer is a little too large or small on other tissue, which no correlation sees, does not count against the other.

    Parameters
    ----------
    spots : sequence of Answers
        For each section. A gene's mean over the section does not count: it is the section's own level.
    """
    alike, wanted = np.zeros((2, 2)), np.zeros(2)
    for one in spots:
        labels, *answers = (v - v.mean(axis=0) for v in (one.labels, one.kernel, one.learnt))
        alike += [[float((a * b).sum()) for b in answers] for a in answers]
        wanted += [float((a * labels).sum()) for a in answers]
    (kk, kl), (_, ll) = alike
    kernel, learnt = wanted[0] * ll - wanted[1] * kl, wanted[1] * kk - wanted[0] * kl  # times the same determinant
    if learnt <= 0:
        return 0.0 if spots and ll > 0 else 1.0
    return float(min(learnt / kernel, 1.0)) if kernel > 0 else 1.0


def _answers(setup: TrainingSetup, module: NH2STModule) -> list[Answers]:
    """Predict the spots that are scored by each head alone."""
    both, scored = module.kernel, setup.data_module().to_score()
    assert both is not None
    module.kernel = replace(both, learnt=0.0)
    kernel = predict_held_out(module, scored, setup.config.device)
    module.kernel = replace(both, share=0.0, learnt=1.0)
    learnt = predict_held_out(module, scored, setup.config.device)
    out = []
    for number, block in kernel.items():
        values = (block.measured, block.predicted, learnt[number].predicted)
        labels, of_kernel, of_learnt = (setup.scale.standardise(v).astype(np.float64) for v in values)
        out.append(Answers(labels, of_kernel, of_learnt, block.spots, setup.scale))
    return out

"""Training on sections in memory, without a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lightning as L

from napari_nh2st.model.card import Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_sections
from napari_nh2st.training.network.setup import TrainingSetup, set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.cross_fit import HeldOutSpots
from napari_nh2st.training.run.learnt_share import choose_share, chooses_share, with_share
from napari_nh2st.training.sections.section import Section


def train_sections(
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    encoder: ResNet18 | None = None,
) -> tuple[NH2ST, Card]:
    """Train on all spots of sections in memory: what `finetune` ends with, without folder, figures or held-out block.

    Parameters
    ----------
    sections : sequence of Section
        With raw labels of the card's panel.
    card : Card
        From `card_for`.
    config : TrainingConfig
    seed : int
    cancelled : callable
        Asked after every step.
    encoder : ResNet18, optional
        Pretrained already, by `pretrain_on_sections` with the same sections, settings and seed.

    Returns
    -------
    net : NH2ST
        Finished: it answers in label units.
    card : Card
        With the statistics of the labels; with intervals, where the learnt head's share is chosen, from the spots by
        which it is.

    Raises
    ------
    Cancelled
        If it was; there is nothing to keep.
    """
    L.seed_everything(seed, verbose=False)
    start = StartingPoint(encoder=encoder)
    seen: list[EmbeddedSection] = []

    def embed(net: NH2ST, card: Card) -> list[EmbeddedSection]:
        seen[:] = seen or embed_sections(net, sections, card, config, seed, cancelled=cancelled)
        return seen

    def set_up(card: Card) -> TrainingSetup:
        return set_up_training(sections, card, config, seed, start=start, embed=embed, cancelled=cancelled)

    spots: HeldOutSpots | None = None
    if chooses_share(card, config):
        if start.encoder is None and config.pretrain_steps and config.encoder_start is None:  # once for all trainings
            start = StartingPoint(
                encoder=pretrain_on_sections(sections, card.architecture, config, seed, cancelled=cancelled)
            )
        chosen = choose_share(sections, lambda: set_up(card), cancelled=cancelled)
        card, spots = with_share(card, chosen.share), chosen.spots
        L.seed_everything(seed, verbose=False)
    setup = set_up(card)
    train_aside(setup, cancelled)
    net, card = setup.finish(), setup.card
    return net, card if spots is None or not config.intervals else spots.calibrate(card)

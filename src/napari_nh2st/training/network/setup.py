"""The training setup, settled before the first step: statistics of the labels, the network and its first weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_nh2st.engine.device import choose_device
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture, Card, Readout
from napari_nh2st.model.encoder_file import encoder_hash
from napari_nh2st.model.nh2st import NH2ST, build
from napari_nh2st.model.stain import STAIN_FEATURES
from napari_nh2st.training.config import Train, TrainingConfig, refuse_moving_encoder
from napari_nh2st.training.data.data_module import SectionDataModule
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_sections
from napari_nh2st.training.data.label_scale import LabelScale, training_labels
from napari_nh2st.training.data.spot_weights import training_weights
from napari_nh2st.training.network.kernel import KernelPart, describe_all, fit_kernel, join_parts, split_parts
from napari_nh2st.training.network.label_units import fold_labels
from napari_nh2st.training.network.lessons import lessons_of
from napari_nh2st.training.network.starting_point import FROM_CHANCE, StartingPoint, start_encoder, start_from_base
from napari_nh2st.training.objectives.table import OBJECTIVES
from napari_nh2st.training.sections.section import Section

# More directions between genes than this add nothing that a few hundred spots could tell.
KERNEL_RANK = 128

Embed = Callable[[NH2ST, Card], list[EmbeddedSection]]
"""Embeds the sections that are trained on with the network's encoder."""


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """Everything that is settled before the first step.

    Attributes
    ----------
    config : TrainingConfig
    seed : int
    sections : list of Section
        Trained on, but for their held-out spots.
    card : Card
        Geometry, panel and architecture as they are trained.
    scale : LabelScale
        Of the training labels, those not held out.
    net : NH2ST
    objectives : ModuleDict of Objective
        By name: losses beside the squared error.
    train : {"everything", "last-blocks", "head"}
        The part of the network that is trained.
    kernel : KernelPart or None
        The kernel head's buffers are set in the network already.
    embedded : list of EmbeddedSection or None
        The sections as the encoder sees them, where the head alone is trained.
    lessons : list of Section or None
        The sections with what the kernel head leaves for the learnt head; see `lessons_of`.
    """

    config: TrainingConfig
    seed: int
    sections: list[Section]
    card: Card
    scale: LabelScale
    net: NH2ST
    objectives: nn.ModuleDict
    train: Train
    kernel: KernelPart | None = None
    embedded: list[EmbeddedSection] | None = None
    lessons: list[Section] | None = None

    def data_module(self) -> SectionDataModule:
        """Make the data module."""
        return SectionDataModule(
            self.sections, self.card, self.scale, self.config, self.seed, embedded=self.embedded, lessons=self.lessons
        )

    def finish(self) -> NH2ST:
        """Let the network answer in label units, with all its parts; call once, after training."""
        if self.kernel is not None:
            join_parts(self.net, self.kernel)
        fold_labels(self.net, self.scale)
        return self.net.cpu().eval()


def set_up_training(
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    *,
    start: StartingPoint = FROM_CHANCE,
    embed: Embed | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainingSetup:
    """Settle everything for training on the spots of these sections that are not held out.

    Parameters
    ----------
    sections : sequence of Section
    card : Card
        Geometry, panel and architecture.
    config : TrainingConfig
    seed : int
        Of the weights; the caller's random state is used and moved on, as by any network that is built.
    start : StartingPoint
    embed : callable, optional
        Embeds the sections, where the head alone is trained; otherwise they are embedded here.
    cancelled : callable
        Asked while the encoder is pretrained and the tissue encoded.

    Raises
    ------
    ModelError
        If the encoder to start from has another shape.
    Nh2stError
        If the head cannot be trained with what the settings train.
    Cancelled
    """
    sections = list(sections)
    for number, section in enumerate(sections):
        section.number = number
    scale = LabelScale.of(sections)  # (G,)
    train: Train = config.train if card.architecture.row.dense else "everything"
    try:
        refuse_moving_encoder(card.architecture, train)
    except ValueError as error:  # of a base model, which the settings do not know
        raise Nh2stError(str(error)) from error
    spots = sum(int((~s.held_out).sum()) for s in sections)
    card = _trained_card(card, config, scale, spots, new=start.base is None)
    if config.gene_weight == "variance":
        scale = scale.one_unit()

    net = build(card.architecture, len(card.genes))
    objectives = make_objectives(config, card.architecture, len(card.genes))
    if start.base is not None:
        start_from_base(net, start.base, card, scale)
    else:
        start_encoder(net, sections, config, seed, encoder=start.encoder, cancelled=cancelled)

    embedded = None  # of each section (n, 9, C + S)
    if train == "head" and net.dense:
        embedded = embed(net, card) if embed else embed_sections(net, sections, card, config, seed, cancelled=cancelled)

    if net.inputs is not None and embedded is not None and start.base is None:
        plain = [e.plain[torch.from_numpy(~s.held_out), SELF] for e, s in zip(embedded, sections, strict=True)]
        net.inputs.fit(torch.cat(plain), STAIN_FEATURES)

    kernel, lessons = None, None
    if net.arch.kernel_share > 0 and net.dense:
        split_parts(net, 1.0)  # the head's columns, random so far, take no part in training
        device = choose_device(config.device)
        described = describe_all(net, sections, card, embedded, device=device)  # (n, dim)
        beside = outputs_of(card, sections)  # (n, outputs)
        own = LabelScale(beside.mean(axis=0), beside.std(axis=0).clip(min=1e-3))
        labels = scale.standardise(training_labels(sections))
        aims = np.concatenate([labels, own.standardise(beside)], axis=1)
        fit = fit_kernel(net, described, aims, seed, training_weights(sections, config.weigh_spots))
        genes, others = fit.columns[: len(card.genes)], fit.columns[len(card.genes) :]
        kernel = KernelPart(genes, net.arch.kernel_share, net.arch.learnt_part)
        if _learns_what_is_left(card):
            lessons = lessons_of(sections, scale, labels, fit.left[:, : len(card.genes)], kernel.share)
        card = card.model_copy(update={"outputs": _readouts(card, others, own, net.arch.hidden)})

    net.encoder.requires_grad_(train == "everything")
    net.encoder.layer4.requires_grad_(train != "head")
    return TrainingSetup(config, seed, sections, card, scale, net, objectives, train, kernel, embedded, lessons)


def make_objectives(config: TrainingConfig, arch: Architecture, n_genes: int) -> nn.ModuleDict:
    """Make the objectives of the settings, or of the head where they choose none, with first weights of their own."""
    made = {}
    for name, options in config.losses(arch).items():
        row = OBJECTIVES[name]
        made[name] = row.load()(row.options.model_validate(options), arch, n_genes)
    return nn.ModuleDict(made)


def outputs_of(card: Card, sections: Sequence[Section]) -> npt.NDArray[np.float32]:
    """Return what the target predicts beside the genes at all spots that are not held out, (n, outputs)."""
    depth = np.concatenate([s.depth[~s.held_out] for s in sections])
    made = [output.make(depth) for output in card.target.outputs]
    return np.stack(made, axis=1) if made else np.empty((len(depth), 0), dtype=np.float32)


def _readouts(card: Card, columns: torch.Tensor, scale: LabelScale, hidden: int) -> dict[str, Readout]:
    """Read the outputs from the kernel head's part of a hidden vector: the learnt part is trained on genes alone."""
    found = {}
    for output, row, mean, std in zip(card.target.outputs, columns.numpy(), scale.mean, scale.std, strict=True):
        weight = [0.0] * hidden + [float(v) for v in row * std]
        found[output.name] = Readout(unit=output.unit, weight=weight, bias=float(mean))
    return found


def _trained_card(card: Card, config: TrainingConfig, scale: LabelScale, spots: int, *, new: bool) -> Card:
    """Add to a card what follows from the training labels."""
    arch = _architecture(card, config, spots)
    if new:
        arch = arch.model_copy(update={"columns": _columns(arch, config, spots)})
    facts = {
        "architecture": arch,
        "gene_means": _rounded(scale.mean),
        "gene_stds": _rounded(scale.std),
    }
    if config.encoder_start is not None:
        facts["encoder_hash"] = encoder_hash(config.encoder_start)
    return card.model_copy(update=facts)


def _learns_what_is_left(card: Card) -> bool:
    """Tell whether the learnt head learns what the kernel head leaves; a deviance of counts needs whole answers."""
    return card.target.loss == "squared-error"


# How much of the kernel head's answer there is beside a learnt head that learns whole labels.
_BESIDE = 0.8


def _architecture(card: Card, config: TrainingConfig, spots: int) -> Architecture:
    """Make the kernel head as large as the settings and the spots allow."""
    arch, left = card.architecture, _learns_what_is_left(card)
    with_kernel = arch.row.dense and config.with_kernel
    share = config.kernel_share if config.kernel_share is not None else 1.0 if left else _BESIDE
    # A share of the learnt head that was chosen for the card stays.
    chosen = arch.learnt_share if config.kernel_share is None and arch.kernel_share == share else None
    return arch.model_copy(
        update={
            "landmarks": min(spots, config.landmarks) if with_kernel else 0,
            "kernel_rank": min(KERNEL_RANK, len(card.genes)) if with_kernel else 0,
            "kernel_share": share if with_kernel else 0.0,
            "learnt_share": (1.0 if chosen is None else chosen) if with_kernel and left else None,
            # An encoder that goes on learning is not what the kernel head was fitted to.
            "kernel_on": "stain" if config.train != "head" and with_kernel else "both",
        }
    )


def _columns(arch: Architecture, config: TrainingConfig, spots: int) -> int:
    """Return how many of the encoder's directions the learnt head of a new model sees; 0 where it sees them all."""
    frozen = arch.landmarks > 0 and config.train == "head"
    return min(config.components, 8 * arch.width, spots) if frozen else 0


def _rounded(values: npt.NDArray[np.float32]) -> list[float]:
    return [round(float(v), 6) for v in values]

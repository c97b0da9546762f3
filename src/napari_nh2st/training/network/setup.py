"""What is settled before the first step: statistics of the labels, the network, where it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device
from napari_nh2st.errors import ModelError
from napari_nh2st.model.card import Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import encoder_hash, load_encoder
from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST, build
from napari_nh2st.training.config import Train, TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_sections
from napari_nh2st.training.network.base_model import start_from_base
from napari_nh2st.training.network.kernel import describe_all, fit_kernel, join_parts, split_parts
from napari_nh2st.training.network.label_units import fold_labels
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.sections.section import Section

# More directions between genes than this add nothing that a few hundred spots could tell.
KERNEL_RANK = 128


@dataclass(eq=False)
class TrainingSetup:
    """Everything that is settled before the first step.

    Attributes
    ----------
    card : Card
        Geometry, panel and architecture as they are trained.
    mean, std : (G,) float32
        Of the training labels, those not held out.
    kernel : tuple of (G, rank) tensor and float, or None
        The kernel head's columns and share; its buffers are set in the network already.
    train : {"everything", "last-blocks", "head"}
        What of the network is trained.
    embedded : list of EmbeddedSection or None
        What the encoder sees of each section, where the head alone is trained.
    start : Path or None
        The model folder it started from.
    """

    config: TrainingConfig
    sections: list[Section]
    card: Card
    net: NH2ST
    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    kernel: tuple[torch.Tensor, float] | None
    train: Train
    embedded: list[EmbeddedSection] | None
    seed: int
    start: Path | None = None

    def module(self, steps: int, training: int = 0) -> NH2STModule:
        """Make the Lightning module; a run's second training, 1, has random numbers of its own."""
        names, seed = [s.name for s in self.sections], (self.seed, training)
        return NH2STModule(self.net, self.config, steps, self.mean, self.std, self.kernel, self.train, names, seed)

    def finish(self) -> NH2ST:
        """Let the network answer in label units, with all its parts; call once, after training."""
        if self.kernel is not None and isinstance(self.net, ContextNH2ST):
            join_parts(self.net, *self.kernel)
        fold_labels(self.net, self.mean, self.std)
        return self.net.cpu().eval()


def set_up_training(
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    start: Model | None = None,
    encoder: ResNet18 | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[ContextNH2ST, Card], list[EmbeddedSection]] | None = None,
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
    start : Model, optional
        To start from; its architecture is the card's.
    encoder : ResNet18, optional
        To start from, instead of what the settings say.
    cancelled : callable
        Asked while the encoder is pretrained.
    progress : callable, optional
        Called with the pretraining's steps done and in all.
    look : callable, optional
        Gives what the encoder sees of the sections, where the head alone is trained; otherwise they are looked at here.

    Raises
    ------
    ModelError
        If the encoder to start from has another shape.
    Cancelled
    """
    sections = list(sections)
    for number, section in enumerate(sections):
        section.number = number
    train = np.concatenate([s.labels[~s.held_out] for s in sections])
    mean, std = train.mean(axis=0), train.std(axis=0).clip(min=1e-3)
    arch = card.architecture
    context = arch.variant == "context"
    what: Train = config.train if context else "everything"
    with_kernel = context and config.kernel_share > 0
    arch = arch.model_copy(
        update={
            "landmarks": min(len(train), config.landmarks) if with_kernel else 0,
            "kernel_rank": min(KERNEL_RANK, train.shape[1]) if with_kernel else 0,
            "kernel_share": config.kernel_share if with_kernel else 0.0,
            # An encoder that goes on learning is not what the kernel head was fitted to.
            "kernel_on": "stain" if what != "head" and with_kernel else "both",
        }
    )
    facts = {"architecture": arch, "gene_means": _rounded(mean), "gene_stds": _rounded(std)}
    if config.encoder_start is not None:
        facts["encoder_hash"] = encoder_hash(config.encoder_start)
    card = card.model_copy(update=facts)
    if config.gene_weight == "variance":  # one unit for all genes: their variances then weigh them
        std = np.full_like(std, std.mean())
    net = build(arch, len(card.genes))
    if start is not None:
        start_from_base(net, start, card.genes, mean, std)
    else:
        _start_encoder(net, sections, config, seed, encoder, cancelled, progress)
    embedded = None
    if what == "head" and isinstance(net, ContextNH2ST):
        embedded = look(net, card) if look else embed_all(net, sections, card, config, seed, cancelled)
    kernel = None
    if with_kernel and isinstance(net, ContextNH2ST):
        split_parts(net, 0.0)  # the head's columns, random so far, take no part in training
        described = describe_all(net, sections, card, embedded)
        kernel = fit_kernel(net, described, (train - mean) / std, seed), config.kernel_share
    net.encoder.requires_grad_(what == "everything")
    net.encoder.layer4.requires_grad_(what != "head")
    begun = None if start is None else start.path
    return TrainingSetup(config, sections, card, net, mean, std, kernel, what, embedded, seed, begun)


def embed_all(
    net: ContextNH2ST,
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EmbeddedSection]:
    """Look at every section once, and as often again in other colours as the settings say."""
    device = choose_device(config.device)
    return embed_sections(net, sections, card, config.views, config.stain_jitter, seed, device, cancelled, progress)


def _rounded(values: npt.NDArray[np.float32]) -> list[float]:
    return [round(float(v), 6) for v in values]


def _start_encoder(
    net: NH2ST,
    sections: Sequence[Section],
    config: TrainingConfig,
    seed: int,
    encoder: ResNet18 | None,
    cancelled: Callable[[], bool],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Let the encoder start from the one given, the settings' file, or contrast on the sections' own tiles."""
    if encoder is None and config.encoder_start is not None:
        encoder = load_encoder(config.encoder_start)
        wanted, there = ((e.channels // 8, e.stride, e.blocks) for e in (net.encoder, encoder))
        if wanted != there:
            raise ModelError(
                f"{config.encoder_start} has width {there[0]}, stride {there[1]}, {there[2]} blocks a stage, the model "
                f"to be trained {wanted[0]}, {wanted[1]} and {wanted[2]}: give the same to nh2st pretrain"
            )
    if encoder is None and config.pretrain_steps and isinstance(net, ContextNH2ST):
        encoder = pretrain_on_sections(sections, net.arch, config, seed, cancelled, progress)
    if encoder is not None:
        net.encoder.load_state_dict(encoder.state_dict())

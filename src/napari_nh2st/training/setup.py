"""What is settled before the first step: statistics of the labels, the network, where it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device, computing
from napari_nh2st.errors import ModelError
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import encoder_hash, load_encoder
from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST, PaperNH2ST, build
from napari_nh2st.training.config import Train, TrainingConfig
from napari_nh2st.training.data import Section, WindowCutter, cover
from napari_nh2st.training.embedded import LOOK_WINDOW, Embedded, look_at_sections
from napari_nh2st.training.kernel import describe_all, fit_kernel, join_parts, part_again
from napari_nh2st.training.module import Fitter
from napari_nh2st.training.pretrain import BATCH, pretrain_on

# More directions between genes than this add nothing that a few hundred spots could tell.
KERNEL_RANK = 128


@dataclass(eq=False)
class Plan:
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
    embedded : list of Embedded or None
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
    embedded: list[Embedded] | None
    seed: int
    start: Path | None = None

    def fitter(self, steps: int, training: int = 0) -> Fitter:
        """Make the Lightning module; a run's second training, 1, has random numbers of its own."""
        names, seed = [s.name for s in self.sections], (self.seed, training)
        return Fitter(self.net, self.config, steps, self.mean, self.std, self.kernel, self.train, names, seed)

    def finish(self) -> NH2ST:
        """Let the network answer in label units, with all its parts; call once, after training."""
        if self.kernel is not None and isinstance(self.net, ContextNH2ST):
            join_parts(self.net, *self.kernel)
        fold_labels(self.net, self.mean, self.std)
        return self.net.cpu().eval()


def make_plan(
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    start: Model | None = None,
    encoder: ResNet18 | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[ContextNH2ST, Card], list[Embedded]] | None = None,
) -> Plan:
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
        _start_from(net, start, card.genes, mean, std)
    else:
        _start_encoder(net, sections, config, seed, encoder, cancelled, progress)
    embedded = None
    if what == "head" and isinstance(net, ContextNH2ST):
        embedded = look(net, card) if look else look_at_all(net, sections, card, config, seed, cancelled)
    kernel = None
    if with_kernel and isinstance(net, ContextNH2ST):
        part_again(net, 0.0)  # the head's columns, random so far, take no part in training
        described = describe_all(net, sections, card, embedded)
        kernel = fit_kernel(net, described, (train - mean) / std, seed), config.kernel_share
    net.encoder.requires_grad_(what == "everything")
    net.encoder.layer4.requires_grad_(what != "head")
    begun = None if start is None else start.path
    return Plan(config, sections, card, net, mean, std, kernel, what, embedded, seed, begun)


def look_at_all(
    net: ContextNH2ST,
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Embedded]:
    """Look at every section once, and as often again in other colours as the settings say."""
    device = choose_device(config.device)
    return look_at_sections(net, sections, card, config.views, config.stain_jitter, seed, device, cancelled, progress)


def pretrained(
    sections: Sequence[Section],
    arch: Architecture,
    config: TrainingConfig,
    seed: int,
    cancelled: Callable[[], bool],
    progress: Callable[[int, int], None] | None = None,
) -> ResNet18:
    """Pretrain an encoder by contrast on the tiles of sections, at their spots and the places round them.

    No label is looked at. Sections that are to be scored must not be among them, or it must be said.
    """
    # Neighbourhoods share places: each is taken once.
    tissue = [np.unique(np.round(s.centres[s.present]), axis=0) for s in sections]
    return pretrain_on(
        [s.pixels for s in sections],
        tissue,
        width=arch.width,
        stride=arch.stride,
        blocks=arch.blocks,
        wander=arch.patch / 2,
        steps=config.pretrain_steps,
        batch=min(BATCH, sum(len(at) for at in tissue)),
        seed=seed,
        device=config.device,
        precision=config.precision,
        cancelled=cancelled,
        progress=(lambda done, total: None) if progress is None else progress,
    )


def predict_section(net: NH2ST, section: Section, card: Card, config: TrainingConfig) -> npt.NDArray[np.float32]:
    """Predict every spot of a section from pixels in memory.

    Parameters
    ----------
    net : NH2ST
        Finished: it answers in label units.
    section : Section
        Its labels are not looked at.

    Returns
    -------
    (n, G) float32
        What the engine gives for the same slide in the precision of scores, within the rounding of its stored vectors.
    """
    zero = np.zeros(len(card.genes), dtype=np.float32)
    fitter = Fitter(net, config, 1, zero, zero + 1).eval()
    out = np.full((len(section.centres), len(card.genes)), np.nan, dtype=np.float32)
    blank = Section(**{**vars(section), "labels": np.zeros_like(out)})
    with torch.inference_mode(), computing(fitter.device):
        for window in cover(blank, np.arange(len(out)), WindowCutter(zero, zero + 1), card, LOOK_WINDOW):
            found = fitter.targets([window], window.pixels[None])
            target = found.embeddings[:, SELF]
            target = net.target_token(target) if isinstance(net, PaperNH2ST) else target
            hidden = net.look(target, found.embeddings, found.present)
            out[found.spots.numpy()] = net.decoder(hidden).float().numpy()
    return out


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
        encoder = pretrained(sections, net.arch, config, seed, cancelled, progress)
    if encoder is not None:
        net.encoder.load_state_dict(encoder.state_dict())


def _start_from(
    net: NH2ST, start: Model, genes: list[str], mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]
) -> None:
    """Copy a base model's weights; genes of a new panel take over the rows that the base knows, others start afresh.

    The kernel head is fitted anew on the new sections, whatever the base had.
    """
    target, fresh = net.state_dict(), [t.detach().clone() for t in (net.decoder.weight, net.decoder.bias)]
    rows = {g: i for i, g in enumerate(start.card.genes)}
    shared = [(i, rows[g]) for i, g in enumerate(genes) if g in rows]
    new, old = (torch.tensor([pair[k] for pair in shared], dtype=torch.long) for k in (0, 1))
    size = net.arch.hidden
    for name, values in start.net.state_dict().items():
        if name == "decoder.weight":
            target[name][new, :size] = values[old, :size]
        elif name == "decoder.bias":
            target[name][new] = values[old]
        elif name == "gene_encoder.0.weight":
            target[name][:, new] = values[:, old]
        elif not name.startswith("kernel_head."):
            target[name] = values
    net.load_state_dict(target)
    unfold_labels(net, mean, std)
    if isinstance(net, ContextNH2ST):
        part_again(net, start.card.architecture.kernel_share)
    unknown = torch.ones(len(genes), dtype=torch.bool)
    unknown[new] = False
    with torch.no_grad():
        net.decoder.weight[unknown], net.decoder.bias[unknown] = fresh[0][unknown], fresh[1][unknown]


def fold_labels(net: NH2ST, mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]) -> None:
    """Let the decoder answer in label units instead of standardised ones, in place."""
    with torch.no_grad():
        scale, shift = torch.from_numpy(std), torch.from_numpy(mean)
        net.decoder.weight.mul_(scale[:, None])
        net.decoder.bias.mul_(scale).add_(shift)


def unfold_labels(net: NH2ST, mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]) -> None:
    """Undo `fold_labels`, in place: a base model goes on learning in standardised units."""
    with torch.no_grad():
        scale, shift = torch.from_numpy(std), torch.from_numpy(mean)
        net.decoder.weight.div_(scale[:, None])
        net.decoder.bias.sub_(shift).div_(scale)

"""First weights of a new network: from a base model, a pretrained encoder, or chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from napari_nh2st.errors import ModelError
from napari_nh2st.model.card import Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import load_encoder
from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.network.kernel import split_parts
from napari_nh2st.training.network.label_units import unfold_labels
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.sections.section import Section


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """Weights to start from.

    Attributes
    ----------
    base : Model, optional
        All of its weights; its architecture is the card's.
    encoder : ResNet18, optional
        Without a base model: a pretrained encoder, instead of what the settings say.
    """

    base: Model | None = None
    encoder: ResNet18 | None = None


FROM_CHANCE = StartingPoint()


def start_encoder(
    net: NH2ST,
    sections: Sequence[Section],
    config: TrainingConfig,
    seed: int,
    *,
    encoder: ResNet18 | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Let the encoder start from the one given, the settings' file, or contrast on the sections' own tiles.

    Raises
    ------
    ModelError
        If the file's encoder has another shape.
    Cancelled
    """
    if encoder is None and config.encoder_start is not None:
        encoder = load_encoder(config.encoder_start)
        wanted, given = ((e.channels // 8, e.stride, e.blocks) for e in (net.encoder, encoder))
        if wanted != given:
            raise ModelError(
                f"{config.encoder_start} has width {given[0]}, stride {given[1]}, {given[2]} blocks a stage, the model "
                f"to be trained {wanted[0]}, {wanted[1]} and {wanted[2]}: give the same to nh2st pretrain"
            )
    if encoder is None and config.pretrain_steps and net.dense:
        encoder = pretrain_on_sections(sections, net.arch, config, seed, cancelled=cancelled)
    if encoder is not None:
        net.encoder.load_state_dict(encoder.state_dict())


def start_from_base(net: NH2ST, base: Model, card: Card, scale: LabelScale) -> None:
    """Copy a base model's weights; genes of a new panel take over the rows that the base knows, others start afresh.

    Where the base predicts another target, all genes start afresh: its rows are in another unit.
    The kernel head is fitted anew on the new sections, whatever the base had, and objectives start afresh.
    """
    target, fresh = net.state_dict(), [t.detach().clone() for t in (net.decoder.weight, net.decoder.bias)]
    rows = {g: i for i, g in enumerate(base.card.genes)}
    same_unit = base.card.target.name == card.target.name
    shared = [(i, rows[g]) for i, g in enumerate(card.genes) if same_unit and g in rows]
    new, old = (torch.tensor([pair[k] for pair in shared], dtype=torch.long) for k in (0, 1))
    size = net.arch.hidden
    for name, values in base.net.state_dict().items():
        if name == "decoder.weight":
            target[name][new, :size] = values[old, :size]
        elif name == "decoder.bias":
            target[name][new] = values[old]
        elif not name.startswith("kernel_head."):
            target[name] = values
    net.load_state_dict(target)
    unfold_labels(net, scale)
    if base.net.has_kernel:
        split_parts(net, base.card.architecture.learnt_part)
    unknown = torch.ones(len(card.genes), dtype=torch.bool)
    unknown[new] = False
    with torch.no_grad():
        net.decoder.weight[unknown], net.decoder.bias[unknown] = fresh[0][unknown], fresh[1][unknown]

"""A base model's weights in a new network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST
from napari_nh2st.training.network.kernel import split_parts
from napari_nh2st.training.network.label_units import unfold_labels


def start_from_base(
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
        split_parts(net, start.card.architecture.kernel_share)
    unknown = torch.ones(len(genes), dtype=torch.bool)
    unknown[new] = False
    with torch.no_grad():
        net.decoder.weight[unknown], net.decoder.bias[unknown] = fresh[0][unknown], fresh[1][unknown]

"""Small heads with weights that show what they do, and all that any head may ask to see."""

import dataclasses

import torch

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen, SlideSample
from napari_nh2st.model.heads.table import SAMPLE_PLACES
from napari_nh2st.model.nh2st import build

GENES, SLIDES = 6, 2


def net_of(name, **more):
    torch.manual_seed(0)
    arch = Architecture(variant=name, width=4, stride=16, dim=16, hidden=12, heads=4, dropout=0.0, **more)
    net = build(arch, GENES).eval()
    with torch.no_grad():  # norms and biases that start at 0 and 1 hide what they do
        for p in net.head.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    return net


def seen_by(net, n=7, seed=1):
    """Places of two slides: all that any head may ask for."""
    torch.manual_seed(seed)
    channels = net.encoder.channels
    present = torch.rand(n, 9) > 0.3
    present[:, SELF] = True
    there = torch.arange(SAMPLE_PLACES)[None] < torch.tensor([[SAMPLE_PLACES], [40]])
    sample = SlideSample(
        torch.randn(SLIDES, SAMPLE_PLACES, channels), there, 3000 * torch.rand(SLIDES, SAMPLE_PLACES, 2)
    )
    nine = torch.randn((n, 9, channels) if net.dense else (n, 9, channels, 7, 7))
    return Seen(nine, present, sample, torch.arange(n) % SLIDES, 3000 * torch.rand(n, 2))


def part_of(seen, rows):
    return dataclasses.replace(
        seen, nine=seen.nine[rows], present=seen.present[rows], slide=seen.slide[rows], centres=seen.centres[rows]
    )

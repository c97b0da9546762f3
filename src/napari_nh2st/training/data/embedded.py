"""Embedded sections: a frozen encoder's output at the spots' nine places, computed once and trained on many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device, computing
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.card import Card
from napari_nh2st.model.heads.seen import SlideSample
from napari_nh2st.model.heads.table import SAMPLE_PLACES
from napari_nh2st.model.nh2st import NH2ST, normalise
from napari_nh2st.model.stain import STAIN_FEATURES
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.data.targets import sample_cells
from napari_nh2st.training.data.windows import WindowCutter, cover, turn
from napari_nh2st.training.sections.section import Section, sample_window

# The larger the window, the less is read twice; this one fits into 2 GB.
EMBED_WINDOW = 3584
# Windows of a slide's sample that are encoded together.
SAMPLED_AT_ONCE = 16
# Views of turned and differently stained tissue are left out beyond this.
MAX_VIEWS_BYTES = 4 * 2**30


@dataclass(eq=False)
class EmbeddedSection:
    """The encoder's output at the nine places of every spot of a section.

    Attributes
    ----------
    plain : (n, 9, C + S) float32
        Of the tissue as it is.
    views : (K, n, 9, C) float16
        Of the tissue turned, mirrored and in other colours, K times: as much of it as the learnt head reads.
    centres : (n, 2) float32
        (x, y) of the spots on the slide, µm.
    sample : SlideSample or None
        Of the slide, as it is, (1, places, C); None where the head does not look at it.
    """

    plain: torch.Tensor
    views: torch.Tensor
    centres: torch.Tensor
    sample: SlideSample | None = None


@dataclass(frozen=True, eq=False)
class Variation:
    """Variation of tissue before it is encoded: turned and mirrored at random, its colours jittered by `spread`."""

    rng: np.random.Generator
    spread: float


def embed_spots(
    net: NH2ST,
    section: Section,
    spots: npt.NDArray[np.int64],
    card: Card,
    *,
    device: torch.device | str = "cpu",
    vary: Variation | None = None,
    for_kernel: bool = False,
) -> torch.Tensor:
    """Encode the nine places of spots, (k, 9, C + S).

    Parameters
    ----------
    vary : Variation, optional
        Encode varied tissue, as far as the learnt head reads it: (k, 9, C) or (k, 9, C + S).
    for_kernel : bool
        Only what the kernel head reads: (k, 9, S) if that is the stain statistics alone.
    """
    cutter = WindowCutter(LabelScale.none(section.labels.shape[1]))
    width, encode = net.embedding_dim, net.encode
    if vary is not None:
        width, encode = net.head_width, net.encode_for_head
    elif for_kernel and net.arch.kernel_on == "stain":
        width, encode = STAIN_FEATURES, net.encode_stain
    out = torch.zeros((len(section.labels), 9, width))
    training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    with torch.inference_mode(), computing(torch.device(device)):
        for window in cover(section, spots, cutter, card, EMBED_WINDOW):
            if vary is not None:
                window = turn(window, int(vary.rng.integers(4)), bool(vary.rng.integers(2)))
            pixels = window.pixels[None].to(device)  # (1, H, W, 3)
            if vary is not None:
                pixels = stain_jitter(pixels, vary.spread, vary.rng)
            maps = encode(normalise(pixels))  # (1, C, h, w)
            cells = (window.centres / card.architecture.stride - 3).to(device)  # (m, 9, 2)
            sampled = sample_cells(maps, cells.reshape(1, -1, 2))[0]
            out[window.spots] = sampled.view(-1, 9, maps.shape[1]).float().cpu()
    net.to(home).train(training)
    return out[torch.from_numpy(spots)].clone()


def embed_sample(net: NH2ST, section: Section, card: Card, *, device: torch.device | str = "cpu") -> SlideSample:
    """Encode the sample of a section's slide as the engine does, on the processor afterwards: (1, places, C)."""
    before, side = sample_window(card)
    centres, count = section.sample.centres, len(section.sample.centres)
    out = SlideSample.none(SAMPLE_PLACES, net.head_width)
    cell = before // net.arch.stride - 3
    training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    with torch.inference_mode(), computing(torch.device(device)):
        for start in range(0, count, SAMPLED_AT_ONCE):
            some = range(start, min(start + SAMPLED_AT_ONCE, count))
            pixels = np.stack([_sample_pixels(section, i, before, side) for i in some])
            maps = net.encode_for_head(normalise(torch.from_numpy(pixels).to(device)))  # (k, C, h, w)
            out.embeddings[0, some.start : some.stop] = maps[:, :, cell, cell].float().cpu()
    net.to(home).train(training)
    out.present[0, :count] = True
    out.centres[0, :count] = torch.from_numpy((centres + section.corner) * card.mpp)
    return out


def _sample_pixels(section: Section, i: int, before: int, side: int) -> npt.NDArray[np.uint8]:
    if i in section.sample.beyond:
        return section.sample.beyond[i]
    x, y = np.round(section.sample.centres[i] - before).astype(np.int64).tolist()
    return section.cut(x, y, side, side)


def embed_sections(
    net: NH2ST,
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EmbeddedSection]:
    """Encode every spot of every section, and again in other colours as often as the settings say.

    Parameters
    ----------
    cancelled : callable
        Asked before a section is encoded once more.
    progress : callable
        Called with the views that are done, and all of them.

    Raises
    ------
    Cancelled
    """
    device = choose_device(config.device)
    size = sum(len(s.labels) for s in sections) * 9 * net.head_width * 2
    views = min(config.views, MAX_VIEWS_BYTES // max(size, 1))
    out = []
    for i, section in enumerate(sections):
        spots = np.arange(len(section.labels))
        views_seen = []
        for view in range(views + 1):
            if cancelled():
                raise Cancelled("stopped while the tissue was being encoded")
            vary = Variation(np.random.default_rng([seed, 6, i, view]), config.stain_jitter) if view else None
            views_seen.append(embed_spots(net, section, spots, card, device=device, vary=vary))
            progress(i * (views + 1) + view + 1, len(sections) * (views + 1))
        none = torch.zeros((0, len(spots), 9, net.head_width), dtype=torch.float16)
        varied = torch.stack([v.half() for v in views_seen[1:]]) if views else none
        sample = embed_sample(net, section, card, device=device) if "sample" in net.needs else None
        centres = torch.from_numpy(section.micrometres(card.mpp)).float()
        out.append(EmbeddedSection(views_seen[0], varied, centres, sample))
    return out

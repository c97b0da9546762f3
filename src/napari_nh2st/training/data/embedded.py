"""What a frozen encoder sees at the spots' nine places: looked at once, then trained on as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.device import computing
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import ContextNH2ST, normalise
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.data.targets import sample_cells
from napari_nh2st.training.data.windows import WindowCutter, cover, turn
from napari_nh2st.training.sections.section import Section

# The larger the window, the less is read twice; this one fits into 2 GB.
EMBED_WINDOW = 3584


# Views of turned and differently stained tissue are left out beyond this.
MAX_VIEWS_BYTES = 4 * 2**30


@dataclass(eq=False)
class EmbeddedSection:
    """What the encoder sees at the nine places of every spot of a section.

    Attributes
    ----------
    plain : (n, 9, C + S) float32
        Of the tissue as it is.
    views : (K, n, 9, C) float16
        Of the tissue turned, mirrored and in other colours, K times; without stain statistics.
    """

    plain: torch.Tensor
    views: torch.Tensor


def embed_spots(
    net: ContextNH2ST,
    section: Section,
    spots: npt.NDArray[np.int64],
    card: Card,
    device: torch.device | str = "cpu",
    vary: tuple[np.random.Generator, float] | None = None,
) -> torch.Tensor:
    """Encode the nine places of spots, (k, 9, C + S); (k, 9, C) where the tissue is varied.

    Parameters
    ----------
    vary : tuple of Generator and float, optional
        Where given, each window is turned and mirrored at random, and its colours jittered by so much.
    """
    blank = np.zeros(section.labels.shape[1], dtype=np.float32)
    cutter = WindowCutter(blank, blank + 1)
    out = torch.zeros((len(section.labels), 9, net.encoder.channels if vary else net.embedding_dim))
    training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    with torch.inference_mode(), computing(torch.device(device)):
        for window in cover(section, spots, cutter, card, EMBED_WINDOW):
            if vary is not None:
                window = turn(window, int(vary[0].integers(4)), bool(vary[0].integers(2)))
            pixels = window.pixels[None].to(device)
            if vary is not None:
                pixels = stain_jitter(pixels, vary[1], vary[0])
            maps = (net.encode if vary is None else net.encode_learnt)(normalise(pixels))
            cells = (window.centres / card.architecture.stride - 3).to(device)
            found = sample_cells(maps, cells.reshape(1, -1, 2))[0]
            out[window.spots] = found.view(-1, 9, maps.shape[1]).float().cpu()
    net.to(home).train(training)
    return out[torch.from_numpy(spots)].clone()


def embed_sections(
    net: ContextNH2ST,
    sections: Sequence[Section],
    card: Card,
    views: int,
    spread: float,
    seed: int,
    device: torch.device | str = "cpu",
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EmbeddedSection]:
    """Encode every spot of every section, and `views` times more in other colours; asked before each.

    Raises
    ------
    Cancelled
    """
    size = sum(len(s.labels) for s in sections) * 9 * net.encoder.channels * 2
    views = min(views, MAX_VIEWS_BYTES // max(size, 1))
    out = []
    for i, section in enumerate(sections):
        spots = np.arange(len(section.labels))
        seen = []
        for view in range(views + 1):
            if cancelled():
                raise Cancelled("stopped while the tissue was being encoded")
            vary = (np.random.default_rng([seed, 6, i, view]), spread) if view else None
            seen.append(embed_spots(net, section, spots, card, device, vary))
            progress(i * (views + 1) + view + 1, len(sections) * (views + 1))
        none = torch.zeros((0, len(spots), 9, net.encoder.channels), dtype=torch.float16)
        out.append(EmbeddedSection(seen[0], torch.stack([v.half() for v in seen[1:]]) if views else none))
    return out


def save_embedded(embedded: Sequence[EmbeddedSection], path: Path, belongs_to: str) -> None:
    """Write what was seen; `belongs_to` names the encoder and the sections."""
    tensors = {f"{i}.{name}": t for i, e in enumerate(embedded) for name, t in vars(e).items()}
    with finished_file(path) as draft:
        draft.write_bytes(save(tensors, {"belongs_to": belongs_to}))


def load_embedded(path: Path, belongs_to: str) -> list[EmbeddedSection] | None:
    """Read what was seen; None where there is no such file or it belongs to something else."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("belongs_to") != belongs_to:
                return None
            count = 1 + max((int(key.split(".")[0]) for key in file.keys()), default=-1)  # noqa: SIM118 (it is no dict)
            return [EmbeddedSection(file.get_tensor(f"{i}.plain"), file.get_tensor(f"{i}.views")) for i in range(count)]
    except (SafetensorError, OSError):
        return None

"""The head as the engine runs it: batches that fit a processor's cache, a thread for each, or one batch on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_nh2st.engine.compute_threads import compute_threads
from napari_nh2st.engine.out_of_memory import Halving
from napari_nh2st.model.folded_head import FoldedHead
from napari_nh2st.model.heads.seen import Seen, SlideSample
from napari_nh2st.model.nh2st import NH2ST

F32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer[Any]]

# Places and cells of a batch on a processor: fewer, and weights are read from memory too often; more, and what is
# computed no longer fits its cache.
PLACES_AT_ONCE, CELLS_AT_ONCE = 192, 512
FEW = 32


@dataclass(frozen=True, eq=False)
class SeenSlide:
    """A slide's sample on the device, and what the head makes of it."""

    sample: SlideSample
    digest: object


class HeadRunner:
    """Embeddings to hidden vectors, on the network's device.

    Parameters
    ----------
    net : NH2ST
    device : torch.device
    precision : {"fp32", "bf16"}
        Of the largest product; all else is float32.
    """

    def __init__(self, net: NH2ST, device: torch.device, precision: str = "fp32") -> None:
        self.net, self.device = net, device
        self.width = int(net.decoder.in_features)
        self._head = FoldedHead(net, half=precision == "bf16") if net.arch.row.folded else None
        self._halving = Halving(device)

    def see_slide(self, sample: SlideSample) -> SeenSlide:
        """Let the head look at a slide's sample, (1, K, d), once for all places of the slide."""
        with torch.inference_mode():
            return SeenSlide(*self.net.digest(sample.to(self.device)))

    def __call__(
        self,
        cells: F32,
        own: Indices,
        nine: Indices,
        present: npt.NDArray[np.bool_],
        slide: SeenSlide | None = None,
        centres: F32 | None = None,
    ) -> F32:
        """Look at places that share embeddings.

        Parameters
        ----------
        cells : (M, d)
        own, nine, present
            As in `FoldedHead.look`.
        slide : SeenSlide, optional
            For a head that needs its sample; by default nothing is known of the slide.
        centres : (B, 2), optional
            (x, y) on the slide, µm, for a head that needs places.

        Returns
        -------
        (B, h) float32

        Raises
        ------
        Nh2stError
            If there is not enough memory for a single place.
        """

        def look(part: slice) -> F32:
            seen = cells, own[part], nine[part], present[part]
            if part != slice(0, len(own)):
                seen = _only_seen(*seen)
            at = None if centres is None else torch.from_numpy(centres[part]).to(self.device)
            with torch.inference_mode():
                a, b, c, d = (torch.from_numpy(np.ascontiguousarray(x)).to(self.device) for x in seen)
                return self._look(a, b, c, d, slide, at)

        return self._halving(look, len(own), self.width)

    def _look(
        self,
        cells: Tensor,
        own: Tensor,
        nine: Tensor,
        present: Tensor,
        slide: SeenSlide | None,
        centres: Tensor | None,
    ) -> F32:
        if self._head is None:
            hidden = self._plainly(cells, own, nine, present, slide, centres)
        elif self.device.type == "cpu":
            hidden = self._in_batches(self._head, cells, own, nine, present)
        else:
            hidden = self._head.look(self._head.prepare(cells), own, nine, present)
        out: F32 = hidden.float().cpu().numpy()
        return out

    def _plainly(
        self, cells: Tensor, own: Tensor, nine: Tensor, present: Tensor, slide: SeenSlide | None, centres: Tensor | None
    ) -> Tensor:
        """Look with the network itself, in batches on a processor."""
        hidden = torch.empty((len(own), self.width), device=cells.device)
        if not self.net.dense:
            nine, present = own[:, None], torch.ones_like(own[:, None], dtype=torch.bool)

        def look(part: slice) -> None:
            at = None if centres is None else centres[part]
            sample, digest = (None, None) if slide is None else (slide.sample, slide.digest)
            seen = Seen(cells[nine[part].long()], present[part], sample, None, at, digest)
            hidden[part] = self.net.hidden_vectors(seen).float()

        if cells.device.type == "cpu":
            _in_threads(look, batches(len(own), PLACES_AT_ONCE))
        else:
            look(slice(0, len(own)))
        return hidden

    def _in_batches(self, head: FoldedHead, cells: Tensor, own: Tensor, nine: Tensor, present: Tensor) -> Tensor:
        prepared, hidden = head.empty(cells), torch.empty(len(own), self.width)
        _in_threads(lambda part: head.fill(prepared, cells, part), batches(len(cells), CELLS_AT_ONCE))

        def look(part: slice) -> None:
            hidden[part] = head.look(prepared, own[part], nine[part], present[part])

        _in_threads(look, batches(len(own), PLACES_AT_ONCE))
        return hidden


def batches(count: int, most: int) -> list[slice]:
    """Cut so many rows into batches of about the same size: at least two, for two threads, unless they are few."""
    number = max(-(-count // most), min(2, count // FEW))
    bounds = [count * i // number for i in range(number + 1)] if number else []
    return [slice(a, b) for a, b in pairwise(bounds)]


def _only_seen(
    cells: F32, own: Indices, nine: Indices, present: npt.NDArray[np.bool_]
) -> tuple[F32, Indices, Indices, npt.NDArray[np.bool_]]:
    """Drop the cells that none of these places sees."""
    used, number = np.unique(np.concatenate([own[:, None], nine], axis=1), return_inverse=True)
    number = number.reshape(len(own), -1).astype(own.dtype)
    return cells[used], number[:, 0], number[:, 1:], present


def _in_threads(work: Callable[[slice], None], parts: Sequence[slice]) -> None:
    """Do parts of some work, as many at once as torch has threads: waking threads for each product costs more."""
    count = torch.get_num_threads()
    if count == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return

    def alone(part: slice) -> None:
        with torch.inference_mode():
            work(part)

    jobs = [compute_threads("look", count).submit(alone, part) for part in parts]
    wait(jobs)
    for job in jobs:
        job.result()

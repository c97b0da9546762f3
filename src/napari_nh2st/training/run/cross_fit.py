"""Residuals of spots that a model has not learnt from: each part of the sections predicted by a model of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device
from napari_nh2st.expression.patients import patient_key
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.intervals import fit_intervals
from napari_nh2st.training.data.data_module import to_device
from napari_nh2st.training.network.network_module import HeldOutBlock, NH2STModule
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.preparation import Preparation
from napari_nh2st.training.sections.section import Section

MOST_TRAININGS = 4
STAGE = "working out intervals"

Masks = list[npt.NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class HeldOutSpots:
    """Spots as they were measured, and as models predict them that have not learnt from them.

    Attributes
    ----------
    what : {"patients", "sections", "blocks"}
        What each model had not learnt from.
    blocks : list of HeldOutBlock
        Of each section that counts.
    depth : float or None
        Counts in the median spot of these sections.
    """

    what: Literal["patients", "sections", "blocks"]
    blocks: list[HeldOutBlock]
    depth: float | None = None

    def calibrate(self, card: Card) -> Card:
        """Put intervals on a card, where there are spots enough."""
        measured, predicted = [b.measured for b in self.blocks], [b.predicted for b in self.blocks]
        found = fit_intervals(card, measured, predicted, self.what, depth=self.depth)
        return card.model_copy(update={"intervals": found})


def parts_of(sections: Sequence[Section]) -> tuple[Literal["patients", "sections", "blocks"], list[Masks]]:
    """Divide the spots of sections into parts that are predicted by models of the others.

    Whole patients where there are several, else whole sections, else the quarters of the section.

    Returns
    -------
    what : {"patients", "sections", "blocks"}
    parts : list of lists of (n,) bool
        At most `MOST_TRAININGS`; each has a mask of every section's spots.
    """
    if len(sections) == 1:
        quarter = _quarters(sections[0].centres[:, SELF])
        return "blocks", [[quarter == i] for i in range(4)]
    patients = [patient_key(section.patient) for section in sections]
    several = len(set(patients)) > 1
    owners = patients if several else [str(i) for i in range(len(sections))]
    spots = {owner: sum(len(s.labels) for s, o in zip(sections, owners, strict=True) if o == owner) for owner in owners}
    part: dict[str, int] = {}
    sizes = np.zeros(min(MOST_TRAININGS, len(spots)), dtype=np.int64)
    for owner in sorted(spots, key=lambda o: (-spots[o], o)):
        part[owner] = int(np.argmin(sizes))
        sizes[part[owner]] += spots[owner]
    masks = [
        [np.full(len(s.labels), part[o] == i) for s, o in zip(sections, owners, strict=True)] for i in range(len(sizes))
    ]
    return "patients" if several else "sections", masks


def _quarters(spots: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the quarter (n,) that each of the spots (n, 2) lies in; all have as many spots, or nearly."""
    right = _upper_half(spots[:, 0])
    lower = np.zeros(len(spots), dtype=np.int64)
    for half in (0, 1):
        lower[right == half] = _upper_half(spots[right == half, 1])
    return 2 * right + lower


def _upper_half(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    ranks: npt.NDArray[np.int64] = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (2 * ranks >= len(values)).astype(np.int64)


@contextmanager
def held_out_meanwhile(sections: Sequence[Section]) -> Iterator[list[npt.NDArray[np.bool_]]]:
    """Let what is held out be changed; at the end it is as it was. Gives each section's `held_out` of before, (n,)."""
    before = [(section.held_out.copy(), section.inner.copy()) for section in sections]
    try:
        yield [held_out for held_out, _ in before]
    finally:
        for section, (held_out, inner) in zip(sections, before, strict=True):
            section.held_out[:], section.inner[:] = held_out, inner


def cross_fit(
    preparation: Preparation, card: Card, *, last_epoch: int | None, learnt_before: Sequence[str]
) -> HeldOutSpots:
    """Train without each part of the sections in turn, and predict it.

    The encoder is that of the first training, pretrained without labels on tissue of all sections. Sections that the
    base model has learnt from, `learnt_before`, do not count.

    Raises
    ------
    Cancelled
    """
    sections, control = preparation.sections, preparation.control
    what, parts = parts_of(sections)
    told = control.stage(STAGE, "trainings")
    found: list[HeldOutBlock] = []
    with held_out_meanwhile(sections):
        for number, masks in enumerate(parts):
            told(number, len(parts))
            for section, mask in zip(sections, masks, strict=True):
                section.held_out[:], section.inner[:] = mask, False
            L.seed_everything(preparation.settings.seed, verbose=False)
            setup = preparation.set_up(card)
            module = train_aside(setup, control.requests.should_stop, last_epoch=last_epoch)
            blocks = predict_held_out(module, setup.data_module().to_score(), setup.config.device)
            found += [block for i, block in blocks.items() if sections[i].name not in learnt_before]
        told(len(parts), len(parts))
    return HeldOutSpots(what, found, median_depth(sections, learnt_before))


def median_depth(sections: Sequence[Section], learnt_before: Sequence[str] = ()) -> float | None:
    """Return the counts in the median spot of sections that a base model has not learnt from; None without counts."""
    depths = [section.depth for section in sections if section.name not in learnt_before]
    return (float(np.median(np.concatenate(depths))) or None) if depths else None


def predict_held_out(
    module: NH2STModule, held_out: Sequence[tuple[int, Any]], device_name: str
) -> dict[int, HeldOutBlock]:
    """Predict held-out spots, as `SectionDataModule.inner` or `to_score` gives them, by the number of their section."""
    device = choose_device(device_name)
    module.to(device).eval()
    module.on_validation_epoch_start()
    with torch.inference_mode():
        for section, parts in held_out:
            module.validation_step((section, to_device(parts, device)), section)
    module.cpu()
    return module.held_out()

"""The stain and the pixel size of a slide, compared with those of the training sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.model.reference import Reference
    from napari_nh2st.slides import Slide

# Hue is the share of each colour in what the tissue absorbs. Between the sections of both patients of her2st it differs
# by 0.04 at most; slides of another laboratory and stains that were shifted on purpose by 0.075 and more.
OTHER_HUE = 0.06
# Between the same sections the strength of the stain differs by a factor of 1.5.
OTHER_STRENGTH = 1.6
# Of the finest and coarsest training slide: what a pixel size that was typed in may differ from them.
OTHER_MPP = 2.0
_SIDE = 800  # of the view in which the colour is measured
_DARK = 40  # of 255
_COLOURLESS = 0.02  # of what tissue absorbs: H&E absorbs colours more unequally
# Of tissue that absorbs less, or more, of red, green and blue.
_LESS, _MORE = ("redder", "greener", "bluer"), ("bluer", "more purple", "yellower")

_STAINS: dict[str, SlideStain] = {}


@dataclass(frozen=True, eq=False)
class SlideStain:
    """The stain of a whole slide, seen from afar.

    Attributes
    ----------
    colour : (3,) float32 or None
        Mean optical density of its tissue in red, green and blue, None where there is no tissue.
    dark : bool
        Its background is dark, as in fluorescence.
    """

    colour: npt.NDArray[np.float32] | None
    dark: bool


def measure_stain(slide: Slide) -> SlideStain:
    """Measure the stain of a slide: a fraction of a second the first time, then at once."""
    earlier = _STAINS.get(slide.fingerprint)
    if earlier is not None:
        return earlier
    mask = slide.tissue()
    height, width = slide.shape
    step = max(mask.step, max(height, width) / _SIDE)
    rows, columns = int(np.ceil(height / step)), int(np.ceil(width / step))
    pixels = slide.read(0, 0, columns, rows, step)
    y, x = (
        np.minimum(((np.arange(n) + 0.5) * step / side).astype(np.int64), limit - 1)
        for n, side, limit in zip((rows, columns), mask.steps, mask.mask.shape, strict=True)
    )
    tissue = pixels[mask.mask[np.ix_(y, x)]]
    density = -np.log((tissue.astype(np.float32) + 1) / 256)
    colour = density.mean(axis=0) if len(tissue) else None
    dark = bool(np.median(pixels.max(axis=2)) < _DARK)
    _STAINS[slide.fingerprint] = SlideStain(colour, dark)
    return _STAINS[slide.fingerprint]


def stain_if_measured(slide: Slide) -> SlideStain | None:
    """Return the stain that `measure_stain` measured before, None where it has not; at once."""
    return _STAINS.get(slide.fingerprint)


def not_h_and_e(stain: SlideStain) -> str:
    """Say in what a slide is no H&E in bright light, and what to do; empty where nothing speaks against it."""
    if stain.dark:
        return (
            "This slide is dark, as in fluorescence. The models read H&E in bright light: open the H&E scan of this "
            "section."
        )
    if stain.colour is not None and np.ptp(stain.colour) < _COLOURLESS * stain.colour.mean():
        return "This slide has no colour. The models read H&E: open the scan in colour."
    return ""


def stain_problems(stain: SlideStain, card: Card, reference: Reference) -> list[str]:
    """Return what is unusual about the stain of a whole slide, a sentence each."""
    if stain.dark:
        return [
            f"The background of this slide is dark, as in fluorescence: the model {card.name!r} was trained on stained "
            "tissue in bright light, and what it draws here means nothing."
        ]
    if stain.colour is None or not len(reference.colours):
        return []
    doubt = "Accuracy on this stain is unknown."
    shares = reference.colours / reference.colours.sum(axis=1, keepdims=True)
    off = stain.colour / stain.colour.sum() - shares
    away = np.linalg.norm(off, axis=1)
    out = []
    if away.min() > OTHER_HUE:
        nearest = off[np.argmin(away)]
        most = int(np.argmax(np.abs(nearest)))
        tint = (_LESS if nearest[most] < 0 else _MORE)[most]
        out.append(
            f"The stain of this slide is {tint} than in any section that the model {card.name!r} was trained on. "
            f"{doubt}"
        )
    strength, trained = float(stain.colour.sum()), reference.colours.sum(axis=1)
    if strength < trained.min() / OTHER_STRENGTH or strength > trained.max() * OTHER_STRENGTH:
        how = "paler" if strength < trained.min() else "darker"
        out.append(
            f"This slide is much {how} than any section that the model {card.name!r} was trained on. {doubt}"
        )  # fmt: skip
    return out


def mpp_problems(slide: Slide, card: Card) -> list[str]:
    """Return, as sentences, why the pixel size is too coarse for the model or hard to believe."""
    if slide.mpp is None:
        return []
    if card.mpp < 0.67 * slide.mpp:
        return [
            f"The slide is coarser ({slide.mpp:.3g} um per pixel) than what the model was trained on "
            f"({card.mpp:.3g}): detail it looks for is not there."
        ]
    if not card.training_mpp:
        return []
    low, high = min(card.training_mpp), max(card.training_mpp)
    trained = f"{low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g}"
    if slide.mpp > OTHER_MPP * high:
        return [
            f"The slide is coarser ({slide.mpp:.3g} um per pixel) than those that the model {card.name!r} was trained "
            f"on ({trained}): it may lack detail that the model looks for."
        ]
    # A finer scan is no harm, it is read as coarse as the model wants it; a number that somebody typed may be wrong.
    if slide.mpp_source == "user" and slide.mpp < low / OTHER_MPP:
        return [
            f"The pixel size that was typed in ({slide.mpp:.3g} um) is less than half of that of the training slides "
            f"({trained}). Is it right? With a wrong one the model sees tissue at the wrong size."
        ]
    return []

"""The pixel size of the chosen slide as a person gives it: typed, by the objective, or measured. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.slides.mpp import HIGHEST, LOWEST, MEASURED, NOMINAL, TYPED
from napari_nh2st.viewer.predict.messages import mpp_words

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

USUAL = (0.1, 2.0)  # µm: from oil immersion to an overview
GLASS = 80.0  # mm: what the longer side of a glass slide leaves for tissue, and a little more
UNITS = {"µm": 1.0, "mm": 1000.0}

Known = tuple[float, str]


class PixelSizeView(Protocol):
    """Shows the pixel size and the ways to give it."""

    def show_size(self, text: str, *, editable: bool) -> None:
        """Show the size in words, and whether it can be corrected."""

    def show_fields(self, on: bool, value: str = "") -> None:
        """Offer the fields, with this value in them."""

    def show_former(self, text: str) -> None:
        """Offer to take back the last change; nothing to take back where this is empty."""

    def say(self, text: str) -> None:
        """Say why a value is not taken."""

    def show_measured(self, text: str) -> None:
        """Say what the drawn line and its length come to."""


class PixelSize:
    """Takes a pixel size that is plausible, asks about one that is not, and knows the one of before.

    Parameters
    ----------
    view : PixelSizeView
    give : callable
        ``give(mpp, source)`` puts the size behind the slide.
    """

    def __init__(self, view: PixelSizeView, give: Callable[[float, str], object]) -> None:
        self._view, self._give = view, give
        self._slide: Slide | None = None
        self._former: dict[str, Known] = {}  # by fingerprint
        self._doubted: Known | None = None
        self._line = 0.0  # level-0 pixels

    def show(self, slide: Slide | None) -> None:
        """Show the pixel size of another slide; ask for it where it is not known."""
        self._slide, self._doubted = slide, None
        known = slide is not None and slide.mpp is not None
        self._view.say("")
        self._view.show_size("" if slide is None else mpp_words(slide.mpp, slide.mpp_source), editable=known)
        self._view.show_fields(slide is not None and not known)
        former = None if slide is None else self._former.get(slide.fingerprint)
        self._view.show_former("" if former is None else mpp_words(*former))

    def edit(self) -> None:
        """Offer to correct the size that is known."""
        if self._slide is not None and self._slide.mpp is not None:
            self._view.show_fields(True, f"{self._slide.mpp:.4g}")

    def enter(self, text: str) -> None:
        """Take what was typed, in micrometres."""
        mpp = number(text)
        if mpp is None:
            self._view.say("Type how many micrometres a pixel is wide, such as 0.25.")
        else:
            self._consider(mpp, TYPED)

    def choose_objective(self, name: str) -> None:
        """Take the size that scanners give at an objective, roughly."""
        self._consider(NOMINAL[name], f"nominal {name}")

    def take_back(self) -> None:
        """Go back to the size of before the last change."""
        former = None if self._slide is None else self._former.get(self._slide.fingerprint)
        if former is not None:
            self._take(*former)

    # measuring

    def draw(self, pixels: float) -> None:
        """Take the length of the line that was drawn, in level-0 pixels; 0 where there is none."""
        self._line = pixels

    def work_out(self, text: str, unit: str) -> float | None:
        """Say what the line comes to when it is so long, and return it in micrometres per pixel."""
        length = number(text)
        if not self._line:
            self._view.show_measured("Draw a line along the scale bar: press at one end, let go at the other.")
            return None
        if not length:
            self._view.show_measured(f"The line is {self._line:z,.0f} pixels long. How long is the scale bar?")
            return None
        mpp = length * UNITS[unit] / self._line
        self._view.show_measured(f"The line is {self._line:z,.0f} pixels long: {mpp:.4g} µm/px.")
        return mpp

    def enter_length(self, text: str, unit: str) -> None:
        """Take the size that follows from the line and its length."""
        mpp = self.work_out(text, unit)
        if mpp is not None:
            self._consider(mpp, MEASURED)

    # what is decided

    def _consider(self, mpp: float, source: str) -> None:
        if self._slide is None:
            return
        refusal = refused(mpp, source)
        doubt = "" if refusal or self._doubted == (mpp, source) else doubted(mpp, self._slide.shape)
        self._doubted = (mpp, source) if doubt else None
        self._view.say(refusal or doubt)
        if not refusal and not doubt:
            self._take(mpp, source)

    def _take(self, mpp: float, source: str) -> None:
        slide = self._slide
        if slide is None:
            return
        if slide.mpp is not None and (slide.mpp, slide.mpp_source) != (mpp, source):
            self._former[slide.fingerprint] = (slide.mpp, slide.mpp_source)
        self._give(mpp, source)


def number(text: str) -> float | None:
    """Read a positive number as people type it: 0.25, 0,25 or 0.25 µm; None where it is none."""
    words = text.strip().removesuffix("/px").removesuffix("µm").removesuffix("um").strip().replace(",", ".")
    try:
        value = float(words)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def refused(mpp: float, source: str = TYPED) -> str:
    """Say why a pixel size is impossible; empty where it is not."""
    if LOWEST <= mpp <= HIGHEST:
        return ""
    wrong = f"{mpp:.4g} µm is too {'wide' if mpp > HIGHEST else 'small'} for a pixel."
    if source == MEASURED:
        return f"{wrong} Check the length and its unit."
    if f"{mpp:g}x" in NOMINAL:
        return f"{wrong} For a scan at {mpp:g}x, press “{mpp:g}x”."
    if LOWEST <= mpp / 1000 <= HIGHEST:
        return f"{wrong} Did you mean {mpp:g} nm? Then type {mpp / 1000:g}."
    return f"{wrong} Give a number from {LOWEST:g} to {HIGHEST:g}."


def doubted(mpp: float, shape: tuple[int, int]) -> str:
    """Say why a pixel size is hard to believe for a slide of so many pixels (height, width); empty where it is not."""
    length = max(shape) * mpp / 1000
    if length > GLASS:
        why = f"With {mpp:.4g} µm/px this slide is {length:z,.0f} mm long, longer than a glass slide."
    elif not USUAL[0] <= mpp <= USUAL[1]:
        why = f"{mpp:.4g} µm/px is unusual: most scans have {USUAL[0]:g} to {USUAL[1]:g}."
    else:
        return ""
    return f"{why} If it is right, set it once more."

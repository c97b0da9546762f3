"""Spots on tissue: how well they lie, and whether they would lie better exchanged, mirrored, scaled or moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_nh2st.geometry import Box
from napari_nh2st.slides import TissueMask

FloatArray = npt.NDArray[np.float64]
Spots = npt.NDArray[np.bool_]

# Part of the square round a spot, half a pitch wide, from which it lies over tissue.
ON_TISSUE = 0.25
# On the five sections of her2st 0.98 of the spots or more lie over tissue. Exchanged, mirrored or turned, 0.13 to 0.82
# do; the spots of another section, 0.16 to 0.86.
GOOD_SHARE = 0.9
_BETTER = 0.15  # by which share and match must grow until another placement fits clearly better
_NUDGE, _OUTLINE = 0.05, 0.6  # by which, and to which, the match must grow until a small move is worth a word
_LARGEST_MOVE = 12  # pitches
_COPY = 1.2  # a copy of a picture is smaller or larger by more; less looks as a move does


@dataclass(frozen=True)
class Fit:
    """The fit of spots to the tissue.

    Attributes
    ----------
    on_slide, on_tissue : (n,) bool
    match : float
        Correlation, over the area of the spots, of being near a spot and being tissue; 0 where all or nothing is.
    """

    on_slide: Spots
    on_tissue: Spots
    match: float

    @property
    def share(self) -> float:
        """Part of the spots over tissue."""
        return float(self.on_tissue.mean())

    @property
    def value(self) -> float:
        """A number that grows with share and match."""
        return self.share + self.match


@dataclass(frozen=True)
class Placement:
    """Another placement of the spots, and how well they would lie then.

    Attributes
    ----------
    words : str
        "with x and y exchanged", ...
    fit : Fit
    frame : (float, float, float) or None
        ``scale``, ``x`` and ``y`` of a sample sheet that place the spots so; None where they cannot.
    """

    words: str
    fit: Fit
    frame: tuple[float, float, float] | None = None


class Ground:
    """A slide's tissue, on which spots are laid.

    Parameters
    ----------
    tissue : TissueMask
    shape : (height, width)
        Of the slide, level-0 pixels.
    pitch : float
        Between neighbouring spots, level-0 pixels.
    """

    def __init__(self, tissue: TissueMask, shape: tuple[int, int], pitch: float) -> None:
        self.tissue, self.shape, self.pitch = tissue, shape, max(pitch, 2.0)
        self.whole = Box(0, 0, shape[1], shape[0])

    def fit(self, spots: FloatArray, scale: float = 1.0) -> Fit:
        """Lay spots (n, 2), level-0 pixels, whose pitch is `scale` times that of the ground."""
        inside = self.whole.contains(spots)
        pitch = self.pitch * scale
        over = inside & (self.tissue.fraction_at(spots, max(pitch / 2, 1.0)) > ON_TISSUE)
        return Fit(inside, over, self._match(spots, pitch))

    def _match(self, spots: FloatArray, pitch: float) -> float:
        low, high = spots.min(axis=0) - pitch / 2, spots.max(axis=0) + pitch / 2
        step = max(pitch / 2, float((high - low).max()) / 300)
        axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
        places = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        places = places[self.whole.contains(places)]
        if not len(places):
            return 0.0
        near = cKDTree(spots).query(places)[0] < 0.75 * pitch
        tissue = self.tissue.fraction_at(places, pitch / 2) > 0.5
        if near.all() or tissue.all() or not near.any() or not tissue.any():
            return 0.0
        return float(np.corrcoef(near, tissue)[0, 1])


def turned(ground: Ground, spots: FloatArray) -> list[Placement]:
    """Lay spots exchanged, mirrored and turned."""
    height, width = ground.shape
    x, y = spots[:, 0], spots[:, 1]
    ways = {
        "with x and y exchanged": (y, x),
        "mirrored left to right": (width - x, y),
        "mirrored top to bottom": (x, height - y),
        "turned by 180°": (width - x, height - y),
        "turned by 90°": (width - y, x),
        "turned by 270°": (y, height - x),
        "turned by 90° and mirrored": (width - y, height - x),
    }
    return [Placement(words, ground.fit(np.stack(place, axis=1))) for words, place in ways.items()]


def better(ground: Ground, spots: FloatArray, as_is: Fit, scale: float | None = None) -> Placement | None:
    """Return the placement that fits clearly better than that of the spots as they are, None where there is none.

    Parameters
    ----------
    ground : Ground
    spots : (n, 2) float64
        Level-0 pixels.
    as_is : Fit
    scale : float, optional
        The only one that can be right, where the array tells; any by default.
    """
    fitting = [p for p in turned(ground, spots) if _clearly(p.fit, as_is)]
    if not fitting:
        scaled = _scaled(ground, spots) if scale is None else _at_scale(ground, spots, scale)
        fitting = [p for p in (*scaled, *_moved(ground, spots)) if _clearly(p.fit, as_is)]
    return max(fitting, key=lambda p: p.fit.value, default=None)


def clearly_better(there: Fit, here: Fit) -> bool:
    """Return True if spots lie clearly better on another slide than on this one.

    On her2st, spots lie over their own slide's tissue by 0.98 or more with a match of 0.86 or more; over that of
    another one by 0.86 or less with a match of 0.64 or less.
    """
    if there.share < GOOD_SHARE or not there.match:
        return False
    if here.share < GOOD_SHARE:
        return there.value >= here.value + _BETTER
    return bool(here.match) and there.match >= here.match + _BETTER


def outlined_better(ground: Ground, spots: FloatArray, as_is: Fit) -> Placement | None:
    """Return the move by about a pitch after which spots follow the outline of the tissue better, None without one.

    On the five sections of her2st, every such move makes the match worse, by 0.05 or more.
    """
    if not as_is.match:
        return None
    moves = _square(1, ground.pitch)
    best = max(moves, key=lambda move: ground.fit(spots + move).match)
    fit = ground.fit(spots + best)
    if fit.match < max(_OUTLINE, as_is.match + _NUDGE) or fit.share < GOOD_SHARE:
        return None
    return _placed_at(
        ground, spots, max(best + _square(2, ground.pitch / 4), key=lambda m: ground.fit(spots + m).match)
    )


def all_on_slide(ground: Ground, spots: FloatArray, as_is: Fit, most_off: float) -> Placement | None:
    """Return the turn that brings spots onto slide and tissue, of which too many lie off the slide as they are."""
    fitting = [
        p
        for p in turned(ground, spots)
        if (~p.fit.on_slide).mean() <= most_off and p.fit.share >= max(GOOD_SHARE, as_is.share + _BETTER)
    ]
    return max(fitting, key=lambda p: p.fit.value, default=None)


def _clearly(fit: Fit, as_is: Fit) -> bool:
    enough = max(GOOD_SHARE, as_is.share + _BETTER)
    return fit.share >= enough and fit.match >= max(2 * _BETTER, as_is.match + _BETTER)


def _scaled(ground: Ground, spots: FloatArray) -> list[Placement]:
    """Lay spots at other scales, as those of a smaller or larger copy of the picture are."""
    coarse = np.geomspace(0.05, 20, 121)  # steps of 5%
    coarse = coarse[np.abs(np.log(coarse)) > np.log(_COPY)]

    def share(scale: float) -> float:
        placed = scale * spots
        side = max(ground.pitch * scale / 2, 1.0)
        over = ground.whole.contains(placed) & (ground.tissue.fraction_at(placed, side) > ON_TISSUE)
        return float(over.mean())

    good = [float(s) for s in coarse if share(s) >= GOOD_SHARE]
    if not good:
        return []
    near = _best(ground, spots, good)
    scale = _best(ground, spots, [near * k for k in np.linspace(0.92, 1.08, 33)])
    return _at_scale(ground, spots, scale) if abs(np.log(scale)) > np.log(_COPY) else []


def _at_scale(ground: Ground, spots: FloatArray, scale: float) -> list[Placement]:
    said = f"{scale:.3g}"
    return [Placement(f"at about scale {said}", ground.fit(scale * spots, scale), (float(said), 0.0, 0.0))]


def _best(ground: Ground, spots: FloatArray, scales: list[float]) -> float:
    """Return the scale that fits best, the middle one of those that fit as well."""
    values = np.array([ground.fit(scale * spots, scale).value for scale in scales])
    return float(np.median(np.asarray(scales)[values >= values.max() - 0.02]))


def _moved(ground: Ground, spots: FloatArray) -> list[Placement]:
    """Lay spots elsewhere on the slide."""
    moves = _square(_LARGEST_MOVE, ground.pitch)
    shares = np.array([_share(ground, spots + move) for move in moves])
    good = np.flatnonzero(shares >= GOOD_SHARE)
    if not len(good):
        return []
    likely = good[np.lexsort((np.abs(moves[good]).sum(axis=1), -shares[good]))][:20]
    near = max((moves[i] for i in likely), key=lambda move: ground.fit(spots + move).value)
    move = max(near + _square(2, ground.pitch / 4), key=lambda move: ground.fit(spots + move).value)
    return [_placed_at(ground, spots, move)]


def _placed_at(ground: Ground, spots: FloatArray, move: FloatArray) -> Placement:
    x, y = (round(float(v)) for v in move)
    return Placement(f"moved by x {x:+d}, y {y:+d} px", ground.fit(spots + move), (1.0, x, y))


def _square(reach: int, step: float) -> FloatArray:
    """Return moves (k, 2) of up to `reach` steps in x and in y."""
    steps = step * np.arange(-reach, reach + 1)
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def _share(ground: Ground, spots: FloatArray) -> float:
    side = max(ground.pitch / 2, 1.0)
    return float((ground.whole.contains(spots) & (ground.tissue.fraction_at(spots, side) > ON_TISSUE)).mean())

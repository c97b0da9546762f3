"""The places to predict on a slide, and the warnings that a person must read before believing the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.stain_check import measure_stain, mpp_problems, stain_if_measured, stain_problems
from napari_nh2st.errors import Nh2stError, NoTissue
from napari_nh2st.geometry import SELF, Box, FloatArray, TileSet
from napari_nh2st.model.card import NO_ACCURACY
from napari_nh2st.slides.artefacts import CleanTissue

if TYPE_CHECKING:
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.model.card import Card
    from napari_nh2st.model.reference import Reference
    from napari_nh2st.slides import Ground, Slide

# A patch with less tissue than this is background: not predicted, and absent as a neighbour.
MIN_TISSUE = 0.25


def slide_box(slide: Slide) -> Box:
    """Return the whole slide as a box, level-0 pixels."""
    height, width = slide.shape
    return Box(0, 0, width, height)


def lattice_for(
    slide: Slide,
    card: Card,
    region: Box | None = None,
    pitch: int | None = None,
    tissue: Ground | None = None,
) -> TileSet:
    """Choose the lattice tiles of a region that show tissue.

    Parameters
    ----------
    slide : Slide
        Its mpp must be known.
    card : Card
        The model's card: mpp and patch size.
    region : Box, optional
        Level-0 pixels; the whole slide by default. Every tile whose centre lies in it is taken.
    pitch : int, optional
        Distance between tiles in model pixels; the patch size by default (tiles touch, none overlap).
    tissue : Ground, optional
        The slide's own by default.

    Returns
    -------
    TileSet
        Row by row.

    Raises
    ------
    MppNeeded
        If the slide does not say how large its pixels are.
    ValueError
        If the pitch is not a multiple of the encoder's stride.
    """
    scale = card.scale_on(slide.require_mpp())
    pitch = card.patch if pitch is None else pitch
    if pitch <= 0 or pitch % card.step:
        raise ValueError(f"the pitch must be a multiple of {card.step} model pixels, got {pitch}")
    whole = slide_box(slide)
    box = whole if region is None else whole.intersect(region)
    tiles = TileSet.lattice(box, scale=scale, pitch=pitch, patch=card.patch)
    if not len(tiles):
        return tiles
    tissue = slide.tissue() if tissue is None else tissue
    return tiles.select(tissue.fraction_at(tiles.centres, card.patch * scale) >= MIN_TISSUE)


def ground_of(slide: Slide, options: PredictionOptions) -> Ground:
    """Return where tissue is to be predicted: without what artefacts cover, if the options leave that out.

    Raises
    ------
    Cancelled
        If the options' cancel turns true while artefacts are looked for.
    """
    tissue = slide.tissue() if options.tissue is None else options.tissue
    if options.skip_artefacts is None:
        return tissue
    return CleanTissue(tissue, slide.artefacts(cancelled=options.cancelled), options.skip_artefacts)


def tissue_places(
    slide: Slide, card: Card, region: Box | None = None, pitch: int | None = None, tissue: Ground | None = None
) -> TileSet:
    """Choose places as `lattice_for` does; there is at least one.

    Raises
    ------
    NoTissue
        If there is none; the line says where.
    Nh2stError
        If the pitch is not a multiple of the encoder's stride.
    """
    try:
        places = lattice_for(slide, card, region, pitch, tissue)
    except ValueError as error:
        raise Nh2stError(str(error)) from error
    if not len(places):
        what = "tissue free of artefacts" if isinstance(tissue, CleanTissue) else "tissue"
        raise NoTissue(f"{slide.path}: there is no {what} {'on this slide' if region is None else 'in this region'}")
    return places


def neighbourhood(
    places: TileSet, card: Card, whole: Box, tissue: Ground
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Find the nine places of every neighbourhood, and which of them are there.

    Prediction and training ask the same question here, so that a model meets what it was trained on.

    Returns
    -------
    centres : (n, 9, 2) float64
        Level-0 pixels; index ``SELF`` is the place itself.
    present : (n, 9) bool
        False off the slide and on background; the place itself always counts as present.
    """
    centres = places.neighbours(card.pitch)
    flat = centres.reshape(-1, 2)
    present = _shows_tissue(flat, card.patch * places.scale, whole, tissue).reshape(-1, 9)
    present[:, SELF] = True
    return centres, present


def shows_tissue(slide: Slide, card: Card, centres: FloatArray, tissue: Ground) -> npt.NDArray[np.bool_]:
    """Tell which places (n, 2) lie on the slide and show enough tissue."""
    return _shows_tissue(centres, card.patch * card.scale_on(slide.require_mpp()), slide_box(slide), tissue)


def _shows_tissue(centres: FloatArray, side: float, whole: Box, tissue: Ground) -> npt.NDArray[np.bool_]:
    enough: npt.NDArray[np.bool_] = tissue.fraction_at(centres, side) >= MIN_TISSUE
    return whole.contains(centres) & enough


def damaged_at(slide: Slide, centres: FloatArray, patch: int, scale: float) -> npt.NDArray[np.bool_]:
    """Tell which places (n, 2) have a damaged part of the file under their patch, read at a scale."""
    damaged = np.zeros(len(centres), dtype=bool)
    if not slide.damaged(slide_box(slide)):
        return damaged
    half = patch * scale / 2
    for i, (x, y) in enumerate(centres):
        damaged[i] = slide.damaged(Box(x - half, y - half, x + half, y + half), scale)
    return damaged


def warnings_for(slide: Slide, card: Card, reference: Reference | None = None) -> list[str]:
    """Return, in sentences, all that a person must know before they believe this model on this slide.

    With the reference of the training tissue (`model.folder.load_reference`) the slide's stain is measured.
    """
    if reference is not None:
        measure_stain(slide)
    return [*problems_of(slide, card, reference), *limits_of(slide, card)]


def problems_of(slide: Slide, card: Card, reference: Reference | None = None) -> list[str]:
    """Return the problems of the slide, or of this model on it, as sentences; quick.

    Says nothing about the stain before `measure_stain` has measured the slide.
    """
    out = list(slide.warnings)
    out += mismatch(card, synthetic=slide.synthetic)
    stain = stain_if_measured(slide)
    if reference is not None and stain is not None and card.synthetic == slide.synthetic:
        out += stain_problems(stain, card, reference)
    out += mpp_problems(slide, card)
    return out


def mismatch(card: Card, *, synthetic: bool) -> list[str]:
    """Say that a model of invented genes meets a real slide, or a model of real tissue a synthetic one."""
    if card.synthetic and not synthetic:
        return [
            f"The model {card.name!r} was trained on procedural tissue with invented genes: "
            "what it draws on this slide means nothing."
        ]
    if synthetic and not card.synthetic and card.predictor is None:
        return ["This slide is procedural tissue: a model of real tissue says nothing about it."]
    return []


def limits_of(slide: Slide, card: Card) -> list[str]:
    """Return the limits of the model's training, as sentences: its figures do not cover this slide."""
    if card.predictor is not None:
        tissue = f" It was trained on {card.tissue}." if card.tissue else ""
        return [f"{NO_ACCURACY.capitalize()}: {card.name} {card.predictor.version}, not a model of NH2ST.{tissue}"]
    if card.synthetic or slide.synthetic or not card.training:  # then the problems say more, or nothing is known
        return []
    own = next((t.sample for t in card.seen if t.fingerprint and t.fingerprint == slide.fingerprint), None)
    if own is not None:
        return [
            f"This slide ({own}) was among the training sections of the model {card.name!r}: "
            "you see what the model has learnt, not a prediction of something new."
        ]
    tissue = "" if card.tissue is None else f" ({card.tissue})"
    return [
        f"The model {card.name!r} was trained on {card.trained_on}{tissue}: "
        "accuracy on any other tissue, stain or scanner is unknown."
    ]

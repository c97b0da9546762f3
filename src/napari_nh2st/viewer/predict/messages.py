"""Sentences about the slide, the model and the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_nh2st.errors import SlideAway
from napari_nh2st.model.card import Card
from napari_nh2st.model.trust_words import figures_explained, held_out_words
from napari_nh2st.slides.mpp import SOURCES
from napari_nh2st.slides.picture import left_out_words
from napari_nh2st.viewer.kit.phrases import clock, count, error_words, sentence
from napari_nh2st.viewer.predict.events import State, Status
from napari_nh2st.viewer.predict.model_names import folder_name

if TYPE_CHECKING:
    from napari_nh2st.model.predictors import ListedPredictor
    from napari_nh2st.slides import Picture, Slide
    from napari_nh2st.viewer.state.predicted_map import MadeWith

OTHER_PICTURE = (
    "This layer is not the picture of its file that is predicted. Remove it, and open the file with the reader "
    "napari-nh2st."
)
NOTHING_OPEN = "To predict, open a slide: drop its file into the window."
NO_MPP = "This file does not say how large its pixels are. Type it above, press 20x or 40x, or measure a scale bar."
ADD_FILE_WARNING = "A model’s Python file runs with your rights: it can do whatever you can. Add only files you trust."
NO_MODEL = "Choose a model. “add…” takes one that a fine-tuning run left."
READY = "Ready: press Predict."
NO_TISSUE = "No tissue found here. Move the view, or edit the tissue mask."
ALL_PREDICTED = "All of the tissue is predicted."
_ALL = 0.995  # of the tissue: its tiles are counted roughly where they are very many
_CAUSES = ("does not say how large its pixels are", "dark, as in fluorescence")  # told once
_SHOWN = 12  # sections named before the rest is counted


def mpp_words(mpp: float | None, source: str) -> str:
    """Write a pixel size and where it comes from."""
    if mpp is None:
        return "pixel size unknown"
    return f"{mpp:.4g} µm/px ({SOURCES.get(source, source)})"


def pictures_to_choose(slide: Slide) -> list[Picture]:
    """Return the pictures of a slide's file, without its label and the like; none if there is only the open one."""
    listed = [p for p in slide.pictures if not p.associated or p.number == slide.picture]
    return listed if len(listed) > 1 else []


def picture_words(picture: Picture) -> str:
    """Write number, name and size of a picture in a slide's file."""
    name = f"{picture.name}, " if picture.name else ""
    return f"{picture.number}: {name}{picture.shape[1]:,} x {picture.shape[0]:,} px"


def model_words(card: Card) -> str:
    """Say in one line what a model predicts and what it was trained on."""
    tissue = "synthetic tissue" if card.synthetic else card.tissue or ""
    if card.predictor is not None:
        version = f"version {card.predictor.version}, not a model of NH2ST"
        return ", ".join(part for part in (count(len(card.genes), "gene"), version, tissue) if part)
    parts = (count(len(card.genes), "gene"), card.trained_on or "training not recorded", tissue)
    return ", ".join(part for part in parts if part)


def suited_words(synthetic: bool) -> str:
    """Say, behind `model_words`, that the slide decided on the model."""
    return f". Chosen for {'the demo' if synthetic else 'real'} tissue."


def broken_words(broken: Sequence[ListedPredictor]) -> str:
    """Say which models of other people do not work, and why: the first one, and how many more."""
    if not broken:
        return ""
    first, more = f"{broken[0].name} does not work: {broken[0].why_not.rstrip('.')}.", len(broken) - 1
    return f"{first} {'One more does' if more == 1 else f'{more} more do'} not work." if more else first


def model_details(card: Card) -> list[str]:
    """Say all that a person may want to know of a model before they choose it, a paragraph each."""
    samples = [t.sample for t in card.training]
    shown = ", ".join(samples[:_SHOWN]) + (f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else "")
    said = (
        card.description,
        f"Trained on {shown}." if samples else "",
        held_out_words(card),
        *figures_explained(card),
        f"{'Data' if card.predictor is None else 'Cite'}: {card.citation}" if card.citation else "",
        f"Licence: {card.licence}. Predictions, not measurements: for research use only.",
    )
    return [paragraph for paragraph in said if paragraph]


def dock_warnings(warnings: Sequence[str], slide: Slide | None, said: str = "") -> list[str]:
    """Write warnings as sentences for the dock, where further pictures of a file are chosen from a list.

    Parameters
    ----------
    said : str
        The sentence above them: they do not say the same again.
    """
    causes = [cause for cause in _CAUSES if cause in said]
    warnings = [text for text in warnings if not any(cause in text for cause in causes)]
    left_out = "" if slide is None else left_out_words(slide.pictures, _opened(slide))
    there = f"{sentence(left_out)} Choose one from the list Picture."
    return [there if left_out and text.startswith(left_out) else sentence(text) for text in warnings]


def _opened(slide: Slide) -> Picture:
    return next(p for p in slide.pictures if p.number == slide.picture)


def ready_sentence(tiles: int, share: float | None) -> str:
    """Say what is predicted on a slide where no job runs, and what to do.

    Parameters
    ----------
    tiles : int
        That are predicted.
    share : float or None
        Of the slide's tissue, 0 to 1, None where that is not known.
    """
    if not tiles:
        return READY
    if share is None:
        return f"{count(tiles, 'tile')} {'is' if tiles == 1 else 'are'} predicted. Press Predict to go on."
    if share >= _ALL:
        return f"{ALL_PREDICTED} Choose a gene, or export."
    return f"{_percent(share)}% of the tissue is predicted. Press Predict to go on."


def left_sentence(made_with: MadeWith | None, model: str | None) -> str:
    """Say that what is seen is not what is chosen, and how to go on with either.

    Parameters
    ----------
    made_with : MadeWith or None
        What the map in sight was made with, None where it was opened from a file.
    model : str or None
        The one that is chosen.
    """
    if made_with is None:
        return "The map in sight is from a file. Select its layer to explore it, or press Predict."
    if made_with.model != model:
        name = folder_name(made_with.model)
        return f"The map in sight is from {name}. Press Predict, or choose {name} to go on with it."
    here, other = ("coarse", "fine") if made_with.pitch is None else ("fine", "coarse")
    return f"The map in sight is {here}. Press Predict for {other}, or choose {here} to go on with it."


def status_sentence(status: Status) -> str:
    """Say which slide a job is for, where it stands, and what to do next where that is not plain."""
    if status.closed:
        return f"{status.name} was closed: its prediction has stopped."
    if status.follow:
        return _following(status)
    if status.state is State.IDLE:
        return READY
    words = {State.RUNNING: _running, State.DONE: _done, State.CANCELLED: _stopped, State.FAILED: _failed}
    said = words[status.state](status)
    return f"{status.name}: {said}" if status.name else said[:1].upper() + said[1:]


def _running(status: Status) -> str:
    if status.step == "predicting":
        known = f" ({status.known:,} were there already)" if status.known else ""
        return f"{status.done:,} of {count(status.total, 'tile')}{known}."
    return f"{status.step}…"


def _done(status: Status) -> str:
    if status.known == status.total:
        text = "everything here is already predicted."
    else:
        took = clock(status.seconds) if status.seconds >= 1 else "less than a second"
        text = f"done, {count(status.total - status.known, 'tile')} in {took}."
    if status.share < _ALL:
        text += f" {_percent(status.share)}% of the slide's tissue is predicted."
    return text


def _stopped(status: Status) -> str:
    if not status.done:
        return "stopped."
    return f"stopped at {status.done:,} of {count(status.total, 'tile')}. Press Predict to go on."


def _failed(status: Status) -> str:
    return f"that did not work: {error_words(status.error)}"


def _percent(share: float) -> int:
    return max(1, int(100 * share))


def _following(status: Status) -> str:
    """Say where a view that is followed stands."""
    so_far = ALL_PREDICTED if status.share >= _ALL else f"{_percent(status.share)}% of the tissue is predicted"
    whole = status.share >= _ALL
    if status.state is State.RUNNING:
        if status.step == "around":
            return so_far if whole else f"{so_far}; going on around what you see."
        if status.step != "predicting":
            return f"{status.step.capitalize()}…"
        quick = "Quick preview, refining" if status.preview else "Predicting what you see"
        return f"{quick}: {status.done:,} of {count(status.total, 'tile')}."
    if status.state is State.DONE:
        if not status.total:
            return NO_TISSUE
        return so_far if whole else f"{so_far}; move the view to predict the rest."
    if status.state is State.FAILED:
        why = error_words(status.error)
        then = "The view is no longer followed."
        if isinstance(status.error, SlideAway):
            then = "When it is back, move the view to go on."
        return f"That did not work: {why}{'' if why[-1] in '.?!' else '.'} {then}"
    kept = "" if not status.share else f" {so_far}" if whole else f" {so_far}."
    return f"Stopped.{kept} Press Predict to follow the view again."

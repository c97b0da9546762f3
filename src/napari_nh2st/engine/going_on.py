"""Going on with a prediction folder: what it has wins over every choice that was left open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.embeddings import PREPROCESSING_VERSION
from napari_nh2st.engine.options import PRECISIONS, PredictionOptions
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.engine.result_header import read_header
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import option

if TYPE_CHECKING:
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide


@dataclass(frozen=True)
class Settled:
    """Choices for a prediction that is kept in a folder.

    Attributes
    ----------
    pitch : int
        Model pixels.
    options : PredictionOptions
    notes : list of str
        What the folder has decided, as sentences; empty where it has not changed anything.
    """

    pitch: int
    options: PredictionOptions
    notes: list[str] = field(default_factory=list)


def settle(path: Path, slide: Slide, model: AnyModel, pitch: int | None, options: PredictionOptions) -> Settled:
    """Settle pitch, device and precision by what a folder has, where they were left open.

    Parameters
    ----------
    path : Path
        The prediction folder; it need not exist.
    slide : Slide
    model : Model
    pitch : int or None
        None where it was left open.
    options : PredictionOptions
        Its device and precision are left open where they are "auto".
    """
    there = _signature(path, slide, model)
    wanted, notes = model.card.patch if pitch is None else pitch, []
    stored_pitch, stored_precision = there.get("pitch"), there.get("precision")
    if pitch is None and isinstance(stored_pitch, int) and stored_pitch not in (0, wanted):
        wanted = stored_pitch
        notes.append(
            f"{path} has a pitch of {wanted} model pixels: going on with it ({option('pitch')} chooses another)"
        )
    if options.device == "auto" and there.get("device") == "cpu" and choose_device().type != "cpu":
        options = replace(options, device="cpu")
        other = option("device", "PredictionOptions(device=...)")
        notes.append(f"{path} was predicted on the processor: going on there ({other} chooses another)")
    if options.precision == "auto" and stored_precision in PRECISIONS[1:]:
        device = choose_device(options.device)
        if there.get("device") == device.type and choose_precision("auto", device) != stored_precision:
            other = option("precision", "PredictionOptions(precision=...)")
            notes.append(f"{path} was predicted in {stored_precision}: going on in it ({other} chooses another)")
            options = replace(options, precision=stored_precision)
    return Settled(wanted, options, notes)


def _signature(path: Path, slide: Slide, model: AnyModel) -> dict[str, Any]:
    """Return a sound folder's signature where it is of this slide and this model; else empty."""
    try:
        signature: dict[str, Any] = read_header(path)[0]["signature"]
    except (Nh2stError, OSError):
        return {}
    asked = {"slide": slide.fingerprint, "mpp": slide.mpp, "model": model.hash, "preprocessing": PREPROCESSING_VERSION}
    return signature if all(signature.get(name) == value for name, value in asked.items()) else {}

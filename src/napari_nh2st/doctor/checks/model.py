"""Checks of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.doctor.known_answers import SAME
from napari_nh2st.errors import Nh2stError

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card

SECONDS = 180.0
_AGAIN = "copy the folder again from where it came, or train the model again"


def _answer(probes: Probes, name: str, device: str) -> Answer:
    return probes.answer("model", name, device, seconds=SECONDS)


def _card(name: str) -> Card | None:
    from napari_nh2st.model.models import load_card

    try:
        return load_card(name)
    except (Nh2stError, OSError, ValueError):
        return None  # said by `card`


def card(probes: Probes, name: str, device: str) -> Finding:
    """Read the folder's card."""
    from napari_nh2st.model.models import load_card

    try:
        card = load_card(name)
    except (Nh2stError, OSError, ValueError, RecursionError) as error:
        return fault(str(error), _AGAIN)
    if card.predictor is not None:
        return ok(f"it describes itself: {len(card.genes)} genes, version {card.predictor.version}, in {card.unit}")
    more = ", synthetic: not for real slides" if card.synthetic else ""
    return ok(
        f"the card is valid: {len(card.genes)} genes, {card.architecture.variant}, {card.mpp:.4g} um per pixel{more}",
        f"encoder {card.architecture.encoder}, width {card.architecture.width}, stride {card.architecture.stride}, "
        f"dim {card.architecture.dim}, hidden {card.architecture.hidden}, schema {card.schema_version}",
    )


def weights(probes: Probes, name: str, device: str) -> Finding | None:
    """Load the weights, which looks whether they fit the card and are numbers."""
    if _card(name) is None:
        return None
    answer = _answer(probes, name, device)
    if "loaded" not in answer.facts:
        return fault(f"the weights cannot be loaded: {answer.why}", _AGAIN)
    if "weights" not in answer.facts:
        return ok("it can be loaded")
    return ok(f"{answer.facts.get('weights', 0):,} weights, all of them numbers")


def gene_ids(probes: Probes, name: str, device: str) -> Finding | None:
    """Look for Ensembl ids, by which a panel can be matched whatever symbols a measurement has."""
    card = _card(name)
    if card is None or card.synthetic or card.predictor is not None:
        return None
    known = sum(bool(i) for i in card.ensembl or ())
    if not known:
        return warning(
            "the card has no Ensembl ids: measurements are matched by symbols alone", "train again from data with ids"
        )
    return ok(f"{known} of {len(card.genes)} genes have an Ensembl id")


def trust(probes: Probes, name: str, device: str) -> Finding | None:
    """Look whether the card says how far to trust the model, and has a record of its training tissue."""
    card = _card(name)
    if card is None:
        return None
    if card.predictor is not None:
        return warning(card.accuracy, "nh2st evaluate SAMPLES.csv --model M says how well it predicts your sections")
    if card.evaluation is None:
        return warning(
            "nobody has scored it: no gene says how far to trust it",
            "nh2st evaluate SAMPLES.csv --model M --update-card",
        )
    answer = _answer(probes, name, device)
    if "reference" in answer.facts and answer.facts["reference"] is None:
        return warning(
            "it has no record of its training tissue: unlike tissue is not marked", "train it again to get one"
        )
    return ok(f"scored: mean PCC {card.evaluation.pcc_mean:.2f} ({card.evaluation.kind_words})")


def predicts(probes: Probes, name: str, device: str) -> Finding | None:
    """Predict the same patches twice, and hold them against the known answer of a bundled model."""
    answer = _answer(probes, name, device)
    facts = answer.facts
    if "loaded" not in facts:
        return None
    if "contract" in facts:
        if facts["contract"]:
            return fault(facts["contract"], "tell its author: napari_nh2st.testing.check_predictor says the same")
        return ok("it keeps to the contract of other people's models")
    if "size" not in facts:
        return fault(f"it cannot predict: {answer.why}", "update torch; " + _AGAIN)
    if not facts["predicted"]:
        return fault("its predictions are not numbers", _AGAIN)
    allowed = SAME * max(1.0, facts["size"])
    if facts["repeats"] > allowed:
        return fault(
            "the same patches give other values when they are predicted again",
            "update torch: this processor computes wrongly",
        )
    if facts.get("known", 0.0) > allowed:
        return fault(
            "its predictions differ from those recorded when it was shipped",
            "update torch: this machine computes wrongly",
        )
    more = ", as it was shipped" if "known" in facts else ""
    return ok(f"it predicts the same twice{more}")


def device_agrees(probes: Probes, name: str, device: str) -> Finding | None:
    """Hold the predictions of the graphics card against the processor's; None where there is only the processor."""
    answer = _answer(probes, name, device)
    facts = answer.facts
    if "size" not in facts:
        return None
    if "device" not in facts:
        return fault(f"the device {device!r} cannot be used: {answer.why}", "choose --device cpu or auto")
    if facts["device"] == "cpu":
        return None
    if "device_differs" not in facts:
        return fault(
            f"it cannot predict on {facts['device']}: {answer.why}", "choose --device cpu; update the driver and torch"
        )
    if facts["device_differs"] > SAME * max(1.0, facts["size"]):
        return fault(
            f"{facts['device']} and the processor disagree", "choose --device cpu; update the driver and torch"
        )
    return ok(f"{facts['device']} and the processor agree")


def folder_name(name: str) -> str:
    """Return the name of a model for a title: that of a bundled model, or of its folder."""
    return Path(name).name or name

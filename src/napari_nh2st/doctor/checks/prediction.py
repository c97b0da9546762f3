"""Checks of the folder of a prediction."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.doctor.system import free_bytes

SECONDS = 120.0
_FULL = 2 * 10**8


def _answer(probes: Probes, folder: Path) -> Answer:
    return probes.answer("prediction", str(folder), seconds=SECONDS)


def readable(probes: Probes, folder: Path) -> Finding:
    """Read the whole folder as an export does."""
    answer = _answer(probes, folder)
    facts = answer.facts
    again = (
        f"run the command that made it again: {facts['command']}" if facts.get("command") else "run nh2st predict again"
    )
    if "tiles" not in facts:
        return fault(f"it cannot be read: {answer.why}", again)
    if facts["not_finite"]:
        return fault(f"{facts['not_finite']} of {facts['tiles']} tiles hold values that are not numbers", again)
    if not facts["tiles"]:
        return warning("nothing is predicted in it yet", again)
    return ok(f"{facts['tiles']} tiles of {facts['genes']} genes can be read")


def complete(probes: Probes, folder: Path) -> Finding | None:
    """Look for tiles that could not be predicted."""
    facts = _answer(probes, folder).facts
    if "damaged" not in facts:
        return None
    if facts["damaged"]:
        return warning(
            f"{facts['damaged']} tiles were left out because the slide is damaged there",
            "copy the slide again, and predict again",
        )
    return ok("no tile was left out because of damage")


def its_slide(probes: Probes, folder: Path) -> Finding | None:
    """Look whether its slide is where it was, and still the same."""
    facts = _answer(probes, folder).facts
    if "slide" not in facts:
        return None
    if facts["slide"] == "gone":
        return warning(
            "its slide has moved or gone: you can export values, but there is no tissue to draw them on",
            "bring the slide back, or say where it is: nh2st figure --slide SLIDE",
        )
    if facts["slide"] == "other":
        return fault(
            "another slide now has the name of its slide",
            "bring the right slide back, or predict this one into another folder",
        )
    if facts["slide"] != "same":
        return warning(f"its slide cannot be opened: {facts['slide']}", "nh2st doctor SLIDE says more")
    return ok("its slide is there, and the same")


def writer(probes: Probes, folder: Path) -> Finding | None:
    """Look whether a process writes into it, and whether that can go on."""
    facts = _answer(probes, folder).facts
    free = free_bytes(folder)
    if free is not None and free < _FULL:
        return fault(f"its disk has only {free / 1e6:.0f} MB free", "free some space, then repeat the command")
    if "written_by" not in facts:
        return None
    if facts["written_by"]:
        return ok(f"a process is writing into it: {facts['written_by']}")
    return ok("no process is writing into it")

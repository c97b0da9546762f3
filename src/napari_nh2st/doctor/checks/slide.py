"""Checks of a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.doctor.system import network_kind
from napari_nh2st.slide_path import address_of, is_there, slide_file

SECONDS = 120.0
FEW = 5e5  # bytes of pixels, too few to time
SLOW = 20e6  # bytes of pixels a second, below which a whole slide takes an evening
_COPY_AGAIN = "copy or download the file again; if it is as bad at its source, scan or convert it again"


def _answer(probes: Probes, path: Path, mpp: float | None) -> Answer:
    return probes.answer("slide", str(path), *([] if mpp is None else [repr(mpp)]), seconds=SECONDS)


def opens(probes: Probes, path: Path, mpp: float | None) -> Finding:
    """Open the slide."""
    answer = _answer(probes, path, mpp)
    if "format" not in answer.facts:
        if answer.ended:
            return fault(f"opening it {answer.why}", _COPY_AGAIN)
        there = is_there(path)
        mend = "if other programs open it, report that: nh2st doctor SLIDE --report FILE"
        return fault(
            f"it cannot be opened: {answer.error}", mend if there else "look where the file is and how it is named"
        )
    facts = answer.facts
    shapes = [f"{width} x {height}" for height, width in facts["levels"]]
    count = len(shapes)
    return ok(
        f"{facts['format']}, {shapes[0]} pixels, {count} level{'s' * (count != 1)}", f"levels {', '.join(shapes)}"
    )


def pixel_size(probes: Probes, path: Path, mpp: float | None) -> Finding | None:
    """Look for a believable pixel size."""
    facts = _answer(probes, path, mpp).facts
    if "mpp" not in facts or "mpp_source" not in facts:
        return None
    if facts["mpp"] is None:
        return fault(
            "it does not say how large its pixels are",
            "give the right value with --mpp (ask who scanned it: 0.25 is usual at 40x, 0.5 at 20x)",
        )
    return ok(f"a pixel is {facts['mpp']:.4g} um ({facts['mpp_source']})")


def reads(probes: Probes, path: Path, mpp: float | None) -> Finding | None:
    """Read a few blocks of every level, and time them."""
    answer = _answer(probes, path, mpp)
    if "levels" not in answer.facts:
        return None
    levels: list[Any] = [answer.facts.get(f"level {i}") for i in range(len(answer.facts["levels"]))]
    for i, level in enumerate(levels):
        if level == "begun":
            return fault(f"reading level {i} {answer.why or 'did not end'}", _COPY_AGAIN)
        if level is None:
            return fault(f"level {i} was not read: {answer.why}", _COPY_AGAIN)
        if level["error"]:
            return fault(f"level {i} cannot be read: {level['error']}", _COPY_AGAIN)
    speed = [level["bytes"] / max(level["seconds"], 1e-6) for level in levels]
    lines = [f"level {i}: {v / 1e6:.0f} MB/s" for i, v in enumerate(speed)]
    if speed[0] < SLOW and levels[0]["bytes"] > FEW and levels[0]["seconds"] > 0.1:
        return warning(
            f"it is read slowly: {speed[0] / 1e6:.0f} MB of pixels a second",
            "copy it to a disk of this machine, or wait until others let go of the disk", *lines,
        )  # fmt: skip
    pace = f", {speed[0] / 1e6:.0f} MB of pixels a second" if levels[0]["bytes"] > FEW else ""
    return ok(f"every level can be read{pace}", *lines)


def sound(probes: Probes, path: Path, mpp: float | None) -> Finding | None:
    """Pass on what the slide's reader warns of."""
    facts = _answer(probes, path, mpp).facts
    if "warnings" not in facts:
        return None
    warnings = [w for w in facts["warnings"] if facts.get("mpp") is not None or "pixel size" not in w]
    if facts.get("mpp") is None:  # said by `pixel_size`; it is the slide's only sentence about it
        warnings = [w for w in warnings if "--mpp" not in w and "pixel" not in w]
    if not warnings:
        return ok("its reader has no remarks")
    mend = "if parts are missing that you need, " + _COPY_AGAIN
    return warning("; ".join(w.rstrip(".") for w in warnings), mend)


def tissue(probes: Probes, path: Path, mpp: float | None) -> Finding | None:
    """Look for tissue."""
    answer = _answer(probes, path, mpp)
    fraction = answer.facts.get("tissue")
    if fraction is None:
        return None
    if fraction == "begun":
        return fault(f"looking for tissue {answer.why or 'did not end'}", "report this with nh2st doctor --report FILE")
    if fraction == 0:
        return warning(
            "no tissue is found on it: nothing would be predicted", "paint the tissue mask in napari, or give --region"
        )
    if fraction > 0.98:
        return warning(
            f"{fraction:.0%} of it counts as tissue: there may be no glass in sight",
            "look at the tissue mask in napari",
        )
    return ok(f"{fraction:.0%} of it is tissue")


def stays(probes: Probes, path: Path, mpp: float | None) -> Finding | None:
    """Look whether the file changes while it is read, and where it lies."""
    answer = _answer(probes, path, mpp)
    if "changed" not in answer.facts:
        return None
    if answer.facts["changed"]:
        return fault("the file changes while it is read", "wait until its copy or download is finished")
    if address_of(path) is not None:
        return warning("it lies on another machine", "copy it to a disk of this machine before a long run")
    network = network_kind(slide_file(path))
    if network:
        return warning(f"it lies on a network drive ({network})", "copy it to a disk of this machine before a long run")
    return ok("it lies on a disk of this machine, and stays as it is")

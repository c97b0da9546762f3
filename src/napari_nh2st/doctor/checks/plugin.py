"""Checks of the plugin in napari."""

from __future__ import annotations

from fnmatch import fnmatch

from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.provenance import DISTRIBUTION

_REINSTALL = f"python -m pip install --force-reinstall --no-deps {DISTRIBUTION}"
_OURS = ("a.svs", "a.ndpi", "a.tif", "a.tiff", "a.nh2st")


def napari_sees_it(probes: Probes) -> Finding:
    """Look whether npe2 finds the manifest, and can import everything that it names."""
    answer = probes.answer("plugin")
    facts = answer.facts
    if "napari" not in facts:
        return fault(f"napari cannot be imported: {answer.why}", 'python -m pip install --upgrade "napari>=0.9"')
    if "manifest" not in facts:
        return fault(
            f"napari {facts['napari']}: its plugins cannot be listed: {answer.why}",
            "python -m pip install --upgrade npe2",
        )
    if facts["manifest"]:
        return fault(f"napari {facts['napari']} does not see the plugin ({facts['manifest']})", _REINSTALL)
    if facts.get("imports") != "":
        reason = facts.get("imports") or answer.why
        return fault(f"napari sees the plugin, but cannot load it: {reason}", _REINSTALL)
    return ok(f"napari {facts['napari']} sees the plugin and can load it")


def enabled(probes: Probes) -> Finding | None:
    """Look whether napari's settings turn the plugin off."""
    answer = probes.answer("plugin")
    if "disabled" not in answer.facts:
        if "manifest" not in answer.facts or "imports" not in answer.facts:
            return None  # said already
        return fault(f"napari's settings cannot be read: {answer.why}", "start napari --reset")
    if answer.facts["disabled"]:
        return fault("the plugin is turned off in napari", "turn it on: Plugins > Install/Uninstall Plugins…")
    return ok("the plugin is turned on")


def reader_choice(probes: Probes) -> Finding | None:
    """Look which plugin napari opens slides with."""
    readers = probes.answer("plugin").facts.get("readers")
    if readers is None:
        return None
    others = {
        pattern: name
        for pattern, name in readers.items()
        if name != DISTRIBUTION and any(fnmatch(file, pattern.lower()) for file in _OURS)
    }
    if others:
        said = ", ".join(f"{pattern} with {name}" for pattern, name in sorted(others.items()))
        return warning(f"napari opens {said}", "to open slides with NH2ST: Preferences > Plugins > remove that line")
    return ok("napari asks, or takes NH2ST, to open slides")

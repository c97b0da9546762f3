"""Checks of other people's models, installed or named by the user."""

from __future__ import annotations

from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, ok, warning

_MEND = "mend or remove it: nh2st models --remove FILE.py, or pip uninstall its package"


def others_work(probes: Probes) -> Finding | None:
    """Look whether other people's models can be listed; None where there are none."""
    answer = probes.answer("predictors")
    facts = answer.facts
    if "working" not in facts:
        return warning(f"other people's models cannot be listed: {answer.why}", _MEND)
    working, troubles = facts["working"], facts.get("troubles", [])
    if troubles:
        more = f" ({len(troubles) - 1} more: see nh2st models)" if len(troubles) > 1 else ""
        return warning(f"{troubles[0]}{more}", _MEND, *troubles[1:])
    if not working:
        return None
    found = f"{working} of other people's models can be used"
    if facts.get("torch"):
        return warning(
            f"{found}, but listing them loads torch: the list of models comes seconds later",
            "import torch in the model's load, not at the top of its file (docs/predictors.md)",
        )
    return ok(found)

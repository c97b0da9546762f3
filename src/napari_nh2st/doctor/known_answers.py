"""Known predictions of the bundled models, to hold this machine against. Standard library only.

`known_answers.json` has them by the hash of a model's weights: values (n, g) of its first genes at the patches of
`probes.model`, in fp32 on a processor. `python docs/scripts/known_answers.py` writes it when models were trained again.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

GENES = 8
SAME = 4e-3  # of the largest value, as for windows of another shape: processors sum in another order


def answers_file() -> Path:
    """Return the table's file."""
    return Path(str(resources.files("napari_nh2st"))) / "doctor" / "known_answers.json"


def known_answer(model_hash: str) -> list[list[float]] | None:
    """Return the known predictions (n, g) of a model; None if it is not a bundled one."""
    answers: dict[str, list[list[float]]] = json.loads(answers_file().read_text("utf-8"))
    return answers.get(model_hash)

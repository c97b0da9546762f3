"""Known predictions of the bundled models, to hold this machine against. NumPy only.

`known_answers.json` has them by the hash of a model's weights: values (n, g) of its first genes at the patches of
`probes.model`, in fp32 on a processor. `python docs/scripts/known_answers.py` writes it when models were trained again.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

GENES = 8
SAME = 4e-3  # of the largest value, as for windows of another shape: processors sum in another order


def answers_file() -> Path:
    """Return the table's file."""
    return Path(str(resources.files("napari_nh2st"))) / "doctor" / "known_answers.json"


def known_answer(model_hash: str) -> npt.NDArray[np.float32] | None:
    """Return the known predictions (n, g) of a model; None if it is not a bundled one."""
    values = json.loads(answers_file().read_text("utf-8")).get(model_hash)
    return None if values is None else np.array(values, dtype=np.float32)

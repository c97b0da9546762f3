"""Answers of the doctor's probes on a machine where everything is well."""

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes

TORCH = {
    "torch": "2.13.0", "cuda_build": None, "capability": "AVX2", "threads": 1, "mps": {}, "architectures": [],
    "driver": 0, "cuda": False, "device": "cpu", "bf16": False, "adds_up": True,
}  # fmt: skip
NAPARI = {"napari": "0.9.2", "manifest": "", "version": "0.1.0", "imports": "", "disabled": False, "readers": {}}
WINDOW = {
    "binding": "PySide6 6.11.3", "qt": "6.11.3", "platform": "xcb", "screen": [1600, 1000, 1.0], "window": True,
    "gl": {"version": "4.6", "renderer": "NVIDIA RTX", "vendor": "NVIDIA", "texture": 32768},
}  # fmt: skip
SLIDE = {
    "opened": 0.1, "format": "aperio", "levels": [[2000, 3000], [500, 750]], "mpp": 0.5, "mpp_source": "aperio",
    "level 0": {"bytes": 3e6, "seconds": 0.02, "error": ""}, "level 1": {"bytes": 1e6, "seconds": 0.02, "error": ""},
    "tissue": 0.4, "tissue_seconds": 0.1, "warnings": [], "changed": False,
}  # fmt: skip
MODEL = {
    "loaded": True, "weights": 1000, "reference": 500, "predicted": True, "repeats": 0.0, "size": 3.0,
    "known": 0.001, "device": "cpu",
}  # fmt: skip
PREDICTION = {
    "command": "nh2st predict a.svs --model m --out out", "slide": "same", "genes": 6, "not_finite": 0, "tiles": 30,
    "damaged": 0, "written_by": "",
}  # fmt: skip
OTHERS = {"working": 0, "troubles": [], "torch": False}
SOUND = {
    "predictors": OTHERS, "compute": TORCH, "plugin": NAPARI, "window": WINDOW, "slide": SLIDE, "model": MODEL,
    "prediction": PREDICTION,
}  # fmt: skip


def probes(**answers):
    """Return probes that answer at once: as given (facts, or an `Answer`), else that everything is well."""

    def ask(probe, *arguments, seconds, cancelled):
        answer = answers.get(probe, SOUND.get(probe))
        if answer is None:  # packages and checkpoints: one fact an argument
            answer = dict.fromkeys(arguments, "")
        return answer if isinstance(answer, Answer) else Answer(answer)

    return Probes(ask)

"""The things that `doctor` is asked about: slides, a model, runs and predictions, told apart by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_nh2st.errors import Nh2stError

Kind = Literal["slide", "model", "run", "prediction"]

_RUN_FILES = ("start.json", "metrics.jsonl", "job.json", "checkpoints")
_MODEL_FILES = ("card.json", "model.safetensors")
_PREDICTION = ".nh2st"


@dataclass(frozen=True)
class Subject:
    """The things that are examined, beside the installation and the display.

    Attributes
    ----------
    slides, runs, predictions : tuple of Path
    models : tuple of str
        Names of bundled models, or folders.
    mpp : float or None
        Micrometres per pixel of the slides, where they do not say.
    device : str
        The device that models are tried on.
    """

    slides: tuple[Path, ...] = ()
    models: tuple[str, ...] = ()
    runs: tuple[Path, ...] = ()
    predictions: tuple[Path, ...] = ()
    mpp: float | None = None
    device: str = "auto"

    @classmethod
    def named(
        cls, paths: Sequence[Path], model: str | None = None, *, mpp: float | None = None, device: str = "auto"
    ) -> Subject:
        """Sort paths by what they are.

        Raises
        ------
        Nh2stError
            If a folder is nothing that can be examined.
        """
        by_kind: dict[Kind, list[Path]] = {"slide": [], "model": [], "run": [], "prediction": []}
        for path in paths:
            kind, found = recognise(path)
            by_kind[kind].append(found)
        models = [*([model] if model is not None else []), *map(str, by_kind["model"])]
        return cls(
            tuple(by_kind["slide"]), tuple(models), tuple(by_kind["run"]), tuple(by_kind["prediction"]), mpp, device
        )


def recognise(path: Path) -> tuple[Kind, Path]:
    """Return what a path is, and the file or folder that is meant.

    Raises
    ------
    Nh2stError
        If it is a folder that is nothing that can be examined, or there is no such thing.
    """
    path = path.expanduser()
    if path.is_dir():
        return _recognise_folder(path)
    if path.name in _MODEL_FILES and path.is_file():
        return "model", path.parent
    if path.name == "zarr.json" and path.is_file():
        return _recognise_folder(path.parent)
    if path.name in _RUN_FILES and path.is_file():
        return "run", path.parent
    if not path.exists() and is_bundled(str(path)):
        return "model", path
    if not path.exists() and not path.suffix:
        raise Nh2stError(f"{path} does not exist: give a slide, RUN, MODEL or a folder that ends in .nh2st")
    return "slide", path


def _recognise_folder(folder: Path) -> tuple[Kind, Path]:
    def has(*names: str) -> bool:
        return any((folder / name).exists() for name in names)

    if folder.suffix == _PREDICTION or (has("zarr.json") and has("hidden", "state")):
        return "prediction", folder
    if has(*_RUN_FILES):
        return "run", folder
    if has(*_MODEL_FILES):
        return "model", folder
    inside = sorted(p for p in folder.glob(f"*{_PREDICTION}") if p.is_dir())
    if len(inside) == 1:
        return "prediction", inside[0]
    if inside:
        names = ", ".join(p.name for p in inside)
        raise Nh2stError(f"{folder} holds several predictions: give one of {names}")
    raise Nh2stError(
        f"{folder} is not a run, prediction or model folder: give a slide, RUN, MODEL or a folder that ends in .nh2st"
    )


def is_bundled(name: str) -> bool:
    """Tell whether a name is that of a model of the package."""
    try:
        from napari_nh2st.model.folder import bundled_models
    except ImportError:  # a broken installation is said by its own checks
        return False
    return name in bundled_models()

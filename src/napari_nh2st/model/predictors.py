"""Finding other people's models: by entry point, or in a Python file that the user named. Nothing is downloaded.

Plugins are imported when they are asked for, one by one. One that does not work is listed with the reason, and the
others go on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import platformdirs

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import ModelError, Nh2stError
from napari_nh2st.model.predictor import Predictor
from napari_nh2st.model.predictor_model import PredictorModel, told
from napari_nh2st.reading import expanded, read_lines

GROUP = "napari_nh2st.predictors"
VARIABLE = "predictor"
"""The name in a Python file under which its predictor stands: an instance, or something that makes one when called."""

FILE = "predictors.txt"
_Stamp = tuple[str, int]


@dataclass(frozen=True, eq=False)
class ListedPredictor:
    """A predictor as it was found.

    Attributes
    ----------
    name : str
        Of the predictor; of its entry point or file where it does not work.
    source : str
        The package, or the file.
    model : PredictorModel or None
        None where it does not work.
    why_not : str
        Why it does not work, one line; empty where it works.
    """

    name: str
    source: str
    model: PredictorModel | None = None
    why_not: str = ""

    @property
    def trouble(self) -> str:
        """Which one does not work and why, one line; empty where it works."""
        if not self.why_not:
            return ""
        return f"the model {self.name!r} of {self.source} does not work: {self.why_not}"


def predictors_file() -> Path:
    """Return the path of the user's list of Python files, one a line: `predictors.txt` in the settings folder."""
    return platformdirs.user_config_path("napari-nh2st") / FILE


def named_files() -> list[Path]:
    """Return the Python files that the user named."""
    if not predictors_file().is_file():
        return []
    lines = (line.strip() for line in read_lines(predictors_file(), "the list of predictors"))
    return [expanded(line) for line in lines if line and not line.startswith("#")]


def name_file(file: Path, *, forget: bool = False) -> None:
    """Put a Python file on the user's list, or take it off.

    Raises
    ------
    ModelError
        If there is no such file, or it is not on the list.
    """
    file = expanded(file).absolute()
    if forget and file not in named_files():
        raise ModelError(f"{file} is not in {predictors_file()}")
    if not forget and not file.is_file():
        raise ModelError(f"{file} is no file: give the Python file of a model (docs/predictors.md)")
    kept = [other for other in named_files() if other != file]
    predictors_file().parent.mkdir(parents=True, exist_ok=True)
    with finished_file(predictors_file()) as draft:
        draft.write_text("".join(f"{line}\n" for line in (*kept, *([] if forget else [file]))), "utf-8")


def list_predictors() -> list[ListedPredictor]:
    """Import every predictor that can be found and return what came of it, by name; broken ones are tried again."""
    _try_again()
    found: list[ListedPredictor] = []
    for one in _each():
        twin = next((other for other in found if other.model and one.model and other.name == one.name), None)
        if twin is not None:
            why = f"another model of that name is in {twin.source}: rename one of them"
            one = ListedPredictor(one.name, one.source, why_not=why)
        found.append(one)
    return sorted(found, key=lambda one: one.name.casefold())


def find_predictor(name: str) -> PredictorModel | None:
    """Return the predictor of a name, or in a Python file; None if there is none.

    Raises
    ------
    ModelError
        If it does not work; the line says why.
    """
    if name.endswith(".py") and expanded(name).is_file():
        _try_again()
        found = _from_file(expanded(name).absolute())
    else:
        points = [point for point in plugins() if point.name == name]
        listed = (_from_point(point) for point in points) if points else map(_from_file, named_files())
        found = next((one for one in listed if one.name == name), ListedPredictor(name, ""))
    if found.trouble:
        raise ModelError(found.trouble)
    return found.model


def working_predictors() -> list[str]:
    """Return the names of predictors that have been found and work; nothing is imported for it."""
    return sorted({one.name for one in _known.copy().values() if one.model is not None}, key=str.casefold)


@cache
def plugins() -> tuple[EntryPoint, ...]:
    """Return the entry points of installed predictors; nothing is imported."""
    return tuple(entry_points(group=GROUP))


def _each() -> Iterator[ListedPredictor]:
    yield from map(_from_point, plugins())
    try:
        files = named_files()
    except Nh2stError as error:
        yield ListedPredictor(FILE, str(predictors_file()), why_not=str(error))
        return
    yield from map(_from_file, files)


def _from_point(point: EntryPoint) -> ListedPredictor:
    package = f"the package {point.dist.name}" if point.dist is not None else point.value
    return _kept(point.name, package, point.load, (f"{point.name} = {point.value}", 0), None)


def _from_file(file: Path) -> ListedPredictor:
    try:
        stamp = (str(file), file.stat().st_mtime_ns)
    except OSError as error:
        return ListedPredictor(file.stem, str(file), why_not=error.strerror or "it is away")
    return _kept("", str(file), lambda: _executed(file), stamp, file)


_known: dict[_Stamp, ListedPredictor] = {}
_finding = threading.RLock()


def _try_again() -> None:
    """Forget models that did not work: what they lacked may be there by now."""
    with _finding:
        for stamp in [stamp for stamp, one in _known.items() if one.model is None]:
            del _known[stamp]


def _kept(name: str, source: str, load: Any, stamp: _Stamp, file: Path | None) -> ListedPredictor:
    """Make a predictor, once until its file changes."""
    with _finding:
        before = _known.get(stamp)
        if before is None or (before.model is not None and before.model.has_changed()):
            _known[stamp] = _made(name, source, load, file)
        return _known[stamp]


def _made(name: str, source: str, load: Any, file: Path | None) -> ListedPredictor:
    try:
        made = load()
        predictor: Predictor = made if isinstance(made, Predictor) or not callable(made) else made()
        model = PredictorModel(predictor, file)
        if name and model.card.name != name:
            raise ModelError(f"its entry point is {name!r}, and it is named {model.card.name!r}: give both one name")
    except (Exception, SystemExit) as error:  # whatever it is, the others are listed
        called = name or (file.stem if file is not None else source)
        return ListedPredictor(called, source, why_not=told(error))
    return ListedPredictor(model.card.name, source, model)


def _executed(file: Path) -> Any:
    """Execute a Python file, and return its predictor."""
    name = f"nh2st_predictor_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ModelError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    if not hasattr(module, VARIABLE):
        raise ModelError(f"it has no {VARIABLE!r}: name the model so at the end of the file")
    return getattr(module, VARIABLE)

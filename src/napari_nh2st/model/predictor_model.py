"""A predictor as the package uses it: with a card, a hash that tells it from all others, and one caller at a time."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from napari_nh2st.errors import ModelError, Nh2stError, one_line
from napari_nh2st.model.card import OTHER, UNITS, Card, PredictorFacts
from napari_nh2st.model.decoder import ValuesDecoder
from napari_nh2st.model.folder import bundled_models, find_model, load_card, weights_hash
from napari_nh2st.model.predictor import Batch, Embeddings, Predictor, Tiles
from napari_nh2st.model.reference import Reference
from napari_nh2st.targets import TARGETS

F32 = npt.NDArray[np.float32]
_LARGEST = float(np.finfo(np.float16).max)
# Labels that need no facts of a training that is not ours.
_RECIPES = [name for name in UNITS if name not in TARGETS or not TARGETS[name].facts]
_OURS = __name__.partition(".")[0]


class PredictorModel:
    """A predictor, ready to be asked.

    Attributes
    ----------
    predictor : Predictor
    card : Card
    hash : str
        BLAKE2b of its facts, its source and its files, 32 hex digits.
    stamp : int
        A number that changes when one of its files does.
    path : None
        It has no model folder.
    """

    path = None

    def __init__(self, predictor: Predictor, source: Path | None = None) -> None:
        self.predictor, self.card, self._source = predictor, describe(predictor, source), source
        self.stamp = self._stamp()
        self.hash = fingerprint(predictor, self.card, source)
        self._alone, self._device = threading.RLock(), ""

    def __repr__(self) -> str:
        return f"PredictorModel({self.card!r})"

    @property
    def decoder(self) -> ValuesDecoder:
        """The predictor gives genes itself: nothing is decoded."""
        return ValuesDecoder(len(self.card.genes))

    @cached_property
    def reference(self) -> Reference | None:
        """Of its training tissue nothing is recorded."""
        return None

    def has_changed(self) -> bool:
        """Tell whether one of its files is another one by now."""
        return self.stamp != self._stamp()

    def _stamp(self) -> int:
        digest = hashlib.blake2b(digest_size=6)
        for file in (*([] if self._source is None else [self._source]), *map(Path, self.predictor.files)):
            try:
                found = file.stat()
                digest.update(f"{file} {found.st_mtime_ns} {found.st_size}".encode())
            except OSError:
                digest.update(f"{file}".encode())
        return int.from_bytes(digest.digest())

    def load(self, device: str) -> None:
        """Get ready on a device.

        Raises
        ------
        ModelError
            If the predictor cannot; the line says why.
        """
        with self._alone:
            if self._device != device:
                try:
                    self.predictor.load(device)
                except (Nh2stError, MemoryError):
                    raise
                except Exception as error:
                    raise ModelError(f"the model {self.card.name!r} cannot be loaded: {told(error)}") from error
                self._device = device

    def ask(self, batch: Batch) -> F32:
        """Return the expression (n, G) of a batch.

        Raises
        ------
        ModelError
            If the predictor fails, or gives something else than n x G finite numbers.
        RuntimeError, MemoryError
            Its own, which may mean that memory is short.
        """
        try:
            with self._alone:
                values = np.asarray(self.predictor.predict(batch), dtype=np.float32)
        except (Nh2stError, MemoryError, RuntimeError):
            raise
        except Exception as error:
            raise self.failed(error) from error
        wrong = problem(values, len(batch), len(self.card.genes))
        if wrong:
            raise ModelError(f"the model {self.card.name!r} {wrong}")
        return values

    def failed(self, error: Exception) -> ModelError:
        """Say that the predictor failed."""
        return ModelError(f"the model {self.card.name!r} failed: {told(error)}")


def told(error: BaseException) -> str:
    """Write an error of somebody else's code on one line."""
    if isinstance(error, Nh2stError):
        return str(error)
    return one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, 400)


def problem(values: F32, places: int, genes: int) -> str:
    """Say what is wrong with the values that a predictor gave; empty where nothing is."""
    if values.shape != (places, genes):
        return f"gave values of shape {values.shape} for {places} places and {genes} genes: give ({places}, {genes})"
    if not np.isfinite(values).all():
        return "gave values that are not finite numbers"
    if np.abs(values).max(initial=0) > _LARGEST:
        return f"gave values beyond {_LARGEST:,.0f}: give them on a logarithmic scale"
    return ""


def describe(predictor: Predictor, source: Path | None = None) -> Card:
    """Return the card of a predictor.

    Raises
    ------
    ModelError
        If it lacks something, or says something impossible; one line.
    """
    if not isinstance(predictor, Predictor):
        raise ModelError(f"{predictor!r} is no model: make its class a subclass of napari_nh2st.Predictor")
    lacking = [name for name in ("name", "version", "genes", "unit", "needs") if not hasattr(predictor, name)]
    if lacking:
        raise ModelError(f"{type(predictor).__name__} has no {', no '.join(lacking)}")
    recipe = next((name for name in _RECIPES if predictor.unit in (name, UNITS[name])), OTHER)
    unit = UNITS.get(recipe, predictor.unit)
    own = {"version": predictor.version, "unit": unit, "source": "" if source is None else source.name}
    try:
        facts = {**own, **_own_facts(predictor)}
        return Card(
            name=_checked_name(predictor.name),
            description=predictor.about,
            licence=predictor.licence,
            tissue=predictor.tissue or None,
            citation=predictor.cite or None,
            genes=list(predictor.genes),
            label_recipe=recipe,
            predictor=PredictorFacts.model_validate(facts),
            **_input_facts(predictor),
        )
    except (ValidationError, TypeError, ValueError) as error:
        raise ModelError(f"{predictor!r} does not describe itself well: {_first(error)}") from error


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\\s](?:[^/\\]*[^/\\\s])?", name):
        raise ValueError(f"the name {name!r} must be plain text without slashes")
    if name in bundled_models():
        raise ValueError(f"the name {name!r} is that of a bundled model: take another one")
    return name


def _own_facts(predictor: Predictor) -> dict[str, Any]:
    """Return what only a predictor's card says of its needs."""
    needs = predictor.needs
    if not isinstance(needs, Tiles | Embeddings):
        raise TypeError(f"it needs {needs!r}: give Tiles or Embeddings of napari_nh2st.model.predictor")
    return {
        "tile": needs.size if isinstance(needs, Tiles) else load_card(needs.model).patch,
        "encoder": None if isinstance(needs, Tiles) else needs.model,
        "neighbours": needs.neighbours,
        "whole_slide": needs.whole_slide,
    }


def _input_facts(predictor: Predictor) -> dict[str, Any]:
    """Return what every card says of its input: scale, distance of neighbours, and the encoder if it is ours."""
    needs = predictor.needs
    if isinstance(needs, Tiles):
        return {"mpp": needs.mpp, "pitch": needs.size if needs.distance is None else needs.distance}
    base = load_card(needs.model)
    return {"mpp": base.mpp, "pitch": base.pitch, "architecture": base.architecture}


def _first(error: ValidationError | TypeError | ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")


def fingerprint(predictor: Predictor, card: Card, source: Path | None = None) -> str:
    """Hash everything by which a predictor's answers may differ from those of another one, 32 hex digits.

    Its facts, the source of its class and of the package around it, its `files`, and the encoder it needs.

    Raises
    ------
    ModelError
        If a file is not there.
    """
    digest = hashlib.blake2b(card.model_dump_json(exclude={"versions"}).encode(), digest_size=16)
    files = sorted({*_sources(type(predictor)), *([] if source is None else [source])})
    try:
        for file in (*files, *(Path(file) for file in predictor.files)):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise ModelError(f"the model {card.name!r} needs {error.filename}: {error.strerror}") from error
    if isinstance(predictor.needs, Embeddings):
        digest.update(weights_hash(find_model(predictor.needs.model)).encode())
    return digest.hexdigest()


def _sources(kind: type) -> Iterator[Path]:
    """Yield the source files of a predictor's class and of those it is made from: whole packages, or single modules."""
    for base in kind.__mro__:
        top = base.__module__.partition(".")[0]
        if top in (_OURS, "abc", "builtins", "typing"):
            continue
        package = sys.modules.get(top)
        folder = getattr(package, "__file__", None)
        if folder and Path(folder).name == "__init__.py":
            yield from sorted(Path(folder).parent.rglob("*.py"))
        else:
            try:
                yield Path(inspect.getfile(base))
            except (OSError, TypeError):  # made in a notebook, or compiled: its version must do
                continue

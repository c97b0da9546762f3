"""The record of a run in its folder: its settings, and the machine it ran on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import yaml
from pydantic import BaseModel, Field, ValidationError

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression import Sample
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.reading import read_json, read_yaml
from napari_nh2st.terminal import option
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.run.run_folder import RunFolder

if TYPE_CHECKING:
    import anndata as ad


LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one


class _Started(BaseModel):
    """The content of a sound start.json."""

    base: str | None
    seed: int = Field(ge=0, le=LARGEST_SEED)
    samples: list[str]
    precision: Literal["fp32", "bf16"] | None = None
    check: str | None = None


@dataclass(frozen=True)
class RunSettings:
    """Settings that a run was started with; a resumed run goes on with them, whatever it is called with."""

    config: TrainingConfig
    base: str | None
    seed: int

    def record(self, folder: RunFolder, samples: Sequence[Sample]) -> None:
        """Write config.yaml, for people and for reuse, and start.json, for resuming."""
        with finished_file(folder.config) as draft:
            draft.write_text(yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False), "utf-8")
        started: dict[str, Any] = {"base": self.base, "seed": self.seed, "samples": [s.sample for s in samples]}
        started["precision"] = self.settled().config.precision
        started["check"] = _check(_Started.model_validate(started), folder)
        with finished_file(folder.start) as draft:
            draft.write_text(json.dumps({**started, "command": repeat_command()}, indent=1) + "\n", "utf-8")

    def settled(self) -> RunSettings:
        """Return the settings with the precision that "auto" means here: a run keeps it when it is resumed."""
        precision = choose_precision(self.config.precision, choose_device(self.config.device))
        return replace(self, config=self.config.model_copy(update={"precision": precision}))

    @classmethod
    def recorded(cls, folder: RunFolder, samples: Sequence[Sample]) -> RunSettings:
        """Read what a run was started with.

        Raises
        ------
        Nh2stError
            If the sheet names other samples now.
        """
        try:
            started = _Started.model_validate(read_json(folder.start, "the record of the run"))
        except ValidationError as error:
            raise Nh2stError(f"{folder.start} is damaged: start the run anew, with another {option('out')}") from error
        if started.samples != [s.sample for s in samples]:
            names = ", ".join(started.samples)
            raise Nh2stError(f"{folder.path} was started on {names}: resume it with the same sheet")
        config = read_config(folder.config)
        if started.check not in (None, _check(started, folder)):
            raise Nh2stError(
                f"{folder.start} or {folder.config} was changed since the run was started, and what it has learnt "
                f"does not go with that: put it back, or start another run with {option('config')} and another "
                f"{option('out')}"
            )
        if config.precision == "auto" and started.precision is not None:
            config = config.model_copy(update={"precision": started.precision})
        return cls(config, started.base, started.seed)


def _check(started: _Started, folder: RunFolder) -> str:
    """Return a checksum over everything that a run goes on with; the settings as they stand in config.yaml."""
    facts = started.model_dump(mode="json", exclude={"check"}), read_yaml(folder.config, "the settings")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def keep_to_measurements(folder: RunFolder, slides: Mapping[str, str], counts: Sequence[ad.AnnData]) -> None:
    """Record what is trained on, or make sure that it is what a resumed run has trained on so far.

    Parameters
    ----------
    folder : RunFolder
    slides : mapping
        Fingerprints of slides by sample.
    counts : sequence of AnnData
        In the same order.

    Raises
    ------
    Nh2stError
        If a slide or its counts are others now.
    """
    pairs = zip(slides.items(), counts, strict=True)
    now = {sample: f"{slide} {_digest_of(data)}" for (sample, slide), data in pairs}
    if folder.measurements.is_file():
        before = read_json(folder.measurements, "what the run is trained on")
        if before != now:
            other = [s for s in now if not isinstance(before, dict) or before.get(s) != now[s]]
            raise Nh2stError(
                f"the slide or the counts of {', '.join(other)} changed since {folder.path} was started: "
                f"put back what it was started on, or start another run with another {option('out')}"
            )
        return
    with finished_file(folder.measurements) as draft:
        draft.write_text(json.dumps(now, indent=1) + "\n", "utf-8")


def _digest_of(data: ad.AnnData) -> str:
    """Return a checksum over the genes, the places of the spots, and the sums of the counts both ways."""
    digest = hashlib.sha256(json.dumps(list(data.var_names)).encode())
    sums = [np.asarray(data.X.sum(axis=axis, dtype=np.float64)).ravel() for axis in (0, 1)]
    for values in (*sums, np.asarray(data.obsm["spatial"], dtype=np.float64)):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def record_environment(folder: RunFolder, config: TrainingConfig) -> None:
    """Write environment.json: versions, device, processors, memory and the command, of the last start or resume."""
    device = choose_device(config.device)
    cuda = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    facts = {
        "command": repeat_command(),
        "versions": versions(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_mb": _memory_mb(),
        "device": str(device) if cuda is None else cuda.name,
        "device_memory_mb": None if cuda is None else round(cuda.total_memory / 1e6),
        "precision": choose_precision(config.precision, device),
    }
    with finished_file(folder.environment) as draft:
        draft.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def _memory_mb() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6)
    except (AttributeError, ValueError, OSError):  # Windows
        return None

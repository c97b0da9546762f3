"""The job of a worker: one slide, and the wishes of the command. Plain values, so that it can be sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_nh2st.cohort.wishes import Wishes
from napari_nh2st.engine.options import Precision
from napari_nh2st.engine.store import SUFFIX
from napari_nh2st.geometry import Box
from napari_nh2st.slide_path import address_of, slide_file, slide_stem

RECORDS, FORM = "cohort", 1
"""The folder, among the results, of what each slide left for the cohort's tables and page, and the form of that."""


@dataclass(frozen=True)
class Settings:
    """Settings that hold for every slide of a cohort.

    Attributes
    ----------
    model, model_hash : str
        Name or absolute folder of the model, and its hash: each worker makes sure that it has the same.
    out : str
        Absolute folder of results; all workers see it.
    formats, genes, region, pitch, intervals, quality
        As in `Wishes`; the region as (x, y, width, height).
    skip_artefacts : float or None
        As in `PredictionOptions`.
    device, precision : str
    split : float
        A slide with more tissue than so many mm² becomes several tasks.
    pictured : tuple of str
        Genes whose maps are on the cohort's page.
    command : str
        What was asked for, for the provenance.
    """

    model: str
    model_hash: str
    out: str
    formats: tuple[str, ...] = ()
    genes: tuple[str, ...] | None = None
    region: tuple[float, float, float, float] | None = None
    pitch: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    split: float = 200.0
    pictured: tuple[str, ...] = ()
    command: str = ""
    intervals: bool = False
    skip_artefacts: float | None = None
    quality: bool = False

    @property
    def wishes(self) -> Wishes:
        """The same as the engine takes it."""
        genes = None if self.genes is None else list(self.genes)
        region = None if self.region is None else Box.from_xywh(*self.region)
        out, formats = Path(self.out), list(self.formats)
        return Wishes(out, formats, region, self.pitch, genes, intervals=self.intervals, quality=self.quality)


@dataclass(frozen=True)
class Job:
    """One slide of a cohort.

    Attributes
    ----------
    path : str
        Absolute.
    mpp : float or None
    sample, patient : str
        Of the sheet; may be empty.
    settings : Settings
    regions : str or None
        The file of regions that were drawn on it.
    """

    path: str
    mpp: float | None
    sample: str
    patient: str
    settings: Settings
    regions: str | None = None

    @property
    def stem(self) -> str:
        """The name of its results."""
        return slide_stem(self.path)

    @property
    def folder(self) -> Path:
        """The durable folder of its prediction."""
        return Path(self.settings.out) / f"{self.stem}{SUFFIX}"

    @property
    def record(self) -> Path:
        """The file of what it leaves for the cohort."""
        return Path(self.settings.out) / RECORDS / f"{self.stem}.json"

    def digest(self) -> str:
        """Return a digest of everything that the record depends on, the slide's size and date included.

        Raises
        ------
        OSError
            If the slide is not there.
        """
        slide = [slide_file(self.path)] if address_of(self.path) is None else []  # no other machine is asked here
        files = [*slide, *([] if self.regions is None else [Path(self.regions)])]
        dates = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        settings = asdict(self.settings)
        for name in ("out", "split", "command", "model"):
            del settings[name]
        facts = [FORM, self.path, self.mpp, dates, settings]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

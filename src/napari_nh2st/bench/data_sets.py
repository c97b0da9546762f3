"""The slides, spots and models that are measured on, and the options of the benchmark."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.demo.sheet import measure
from napari_nh2st.demo.tissue import SIZE_MM, Section, make_section, write_slide
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.options import Precision, PredictionOptions
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.model.folder import Model, load_model
from napari_nh2st.slides import Slide, open_slide

SEED = 3000
"""The procedural section: one of those that the bundled demo models are tested on, and not trained."""

QUICK_SIZE_MM = (2.2, 2.0)
SPOT_UM = 200.0
"""Distance between the spots that are laid over the procedural section: that of a Spatial Transcriptomics array."""


@dataclass(frozen=True)
class BenchOptions:
    """The choices of the person who runs the benchmark.

    Attributes
    ----------
    folder : Path
        For slides and results while the benchmark runs.
    model : str
        Of the speed and memory figures.
    samples : Path or None
        A sample sheet of measured sections; its first one takes the procedural section's place for speed.
    repeat : int
        Rounds.
    quick : bool
        Small sizes: to see that it works.
    """

    folder: Path
    model: str = "her2st"
    samples: Path | None = None
    repeat: int = 5
    quick: bool = False
    device: str = "auto"
    precision: Precision = "auto"
    cancelled: Callable[[], bool] = lambda: False
    say: Callable[[str], Any] = lambda message: None


class DataSets:
    """Slides and models, each made when first asked for.

    Parameters
    ----------
    options : BenchOptions
    """

    def __init__(self, options: BenchOptions) -> None:
        self.options = options
        self.device: torch.device = choose_device(options.device)
        self.precision = choose_precision(options.precision, self.device)
        self._open: list[Slide] = []

    def close(self) -> None:
        """Close the slides."""
        for slide in self._open:
            slide.close()

    def at(self, precision: Literal["fp32", "bf16"]) -> DataSets:
        """Return the same slides and model, to be predicted in this precision. They are closed with these."""
        _ = self.slide  # opened once for both
        other = copy.copy(self)
        other.options, other.precision = replace(self.options, precision=precision), precision
        return other

    @property
    def prediction_options(self) -> PredictionOptions:
        """Options of every prediction: nothing is kept, so that each round encodes everything."""
        options = self.options
        return PredictionOptions(
            device=options.device, precision=options.precision, cache=False, cancelled=options.cancelled
        )  # fmt: skip

    def load_model(self) -> Model:
        """Read the model, afresh: the engine may change a network that it was given."""
        return load_model(self.options.model)

    @cached_property
    def section(self) -> Section:
        """The procedural section."""
        return make_section(SEED, size_mm=QUICK_SIZE_MM if self.options.quick else SIZE_MM)

    @cached_property
    def demo_path(self) -> Path:
        """Its slide, drawn now."""
        path = self.options.folder / "demo.tif"
        if not path.exists():
            self.options.say("drawing the tissue")
            write_slide(self.section, path)
        return path

    @cached_property
    def demo(self) -> Slide:
        """Its slide, opened, its tissue found."""
        return self._opened(self.demo_path, None)

    @cached_property
    def samples(self) -> list[Sample]:
        """The sheet's sections; none without a sheet."""
        return [] if self.options.samples is None else read_sheet(self.options.samples)

    @cached_property
    def slide(self) -> Slide:
        """The slide of the speed figures."""
        if not self.samples:
            return self.demo
        return self._opened(self.samples[0].slide, self.samples[0].mpp)

    @cached_property
    def spots(self) -> npt.NDArray[np.float64]:
        """The spots on it, (n, 2) level-0 pixels."""
        return np.asarray(self.data.obsm["spatial"], dtype=np.float64)

    @cached_property
    def data(self) -> Any:
        """The counts at the spots (AnnData)."""
        return read_expression(self.samples[0]) if self.samples else measure(self.section, pitch=SPOT_UM)

    @property
    def sample(self) -> Sample:
        """The section of the speed figures as a sample sheet would name it."""
        if self.samples:
            return self.samples[0]
        return Sample("demo", f"synthetic-{SEED}", self.demo_path, self.demo_path, "h5ad")

    def open_sample(self, sample: Sample) -> Slide:
        """Open a measured section's slide; closed with the rest."""
        return self.slide if sample is self.sample else self._opened(sample.slide, sample.mpp)

    def _opened(self, path: Path, mpp: float | None) -> Slide:
        slide = open_slide(path, mpp=mpp)
        self._open.append(slide)
        slide.tissue()
        return slide


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Cache in a folder of its own meanwhile, here and in child processes."""
    before = os.environ.get("NH2ST_CACHE")
    os.environ["NH2ST_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("NH2ST_CACHE")
        else:
            os.environ["NH2ST_CACHE"] = before

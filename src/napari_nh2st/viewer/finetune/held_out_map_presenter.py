"""The gene and the section that the map of held-out spots shows while a run goes on. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor

from napari_nh2st.formats.limits import limits_of
from napari_nh2st.training.run.held_out_prediction import FILE, HeldOutPrediction, SectionPrediction, read_held_out
from napari_nh2st.viewer.finetune.held_out_spots import HeldOutSpots
from napari_nh2st.viewer.finetune.messages import map_words
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words

NOTHING_YET = "The first map of held-out spots comes with the first epoch."
FileStamp = tuple[int, int]  # of a file: when it was written, its size
Colours = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredPrediction:
    """A prediction of held-out spots as it was read.

    Attributes
    ----------
    stamp : FileStamp
    prediction : HeldOutPrediction
        Of sections with spots.
    pcc : list of (G,) float64
        Of the genes of each section, NaN where a gene does not vary.
    """

    stamp: FileStamp
    prediction: HeldOutPrediction
    pcc: list[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class GeneChoice:
    """Genes in the order in which they are offered.

    Attributes
    ----------
    genes : tuple of str
        The best predicted ones first.
    words : tuple of str
        What is said of each, "PCC 0.41"; empty where there is no PCC.
    gene : str
        The one that is shown.
    """

    genes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    gene: str = ""


@dataclass(eq=False)
class HeldOutMapState:
    """The state of the map. It tells its listeners what changes.

    Attributes
    ----------
    visible : bool
        Whether the map takes room.
    sections : tuple of str
        Names of the sections with held-out spots.
    section : int
        The one that is shown.
    choice : GeneChoice
    spots : HeldOutSpots or None
    sentence : str
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    visible: bool = False
    sections: tuple[str, ...] = ()
    section: int = 0
    choice: GeneChoice = GeneChoice()
    spots: HeldOutSpots | None = None
    sentence: str = NOTHING_YET


class HeldOutMapPresenter:
    """Follows the file that a run writes, and keeps the gene and the section that a person chose.

    Parameters
    ----------
    threads : Threads
        Files are looked at and read there.
    colours : callable
        Returns the colours (256, 4) that heatmaps have.
    """

    def __init__(self, threads: Threads, colours: Callable[[], Colours]) -> None:
        self._threads, self._colours = threads, colours
        self._folder: Path | None = None
        self._active = self._reading = self._again = False
        self._scored: ScoredPrediction | None = None
        self.state = HeldOutMapState()

    @property
    def prediction(self) -> HeldOutPrediction | None:
        """The prediction that is shown; None before there is one."""
        return None if self._scored is None else self._scored.prediction

    @property
    def gene(self) -> str:
        """The gene that is shown; it stays while the run writes other maps."""
        return self.state.choice.gene

    def show_run(self, folder: Path | None, *, active: bool = True) -> None:
        """Follow a run, or none. A run that has ended without a map takes no room."""
        if (folder, active) == (self._folder, self._active) and folder is not None:
            return
        if folder != self._folder:
            self._folder, self._scored, self._reading = folder, None, False
        self._active = active
        self._update()
        self.refresh()

    def refresh(self) -> None:
        """Read another map in the background where the run has written one."""
        folder = self._folder
        self._again = self._reading  # the file may have been written since that reading began
        if folder is None or self._reading:
            return
        self._reading = True
        stamp = None if self._scored is None else self._scored.stamp

        def done(scored: ScoredPrediction | None) -> None:
            self._read(folder, scored)

        def failed(error: Exception) -> None:
            if folder == self._folder:
                self._reading = False
                self.state.sentence = f"The map cannot be read: {error_words(error)}"

        self._threads.call(read_scored, folder, stamp, then=done, failed=failed)

    def choose_gene(self, gene: str) -> None:
        """Show another gene."""
        self.state.choice = GeneChoice(self.state.choice.genes, self.state.choice.words, gene)
        self._show()

    def choose_section(self, at: int) -> None:
        """Show another section."""
        self.state.section = at
        self._show()

    def close(self) -> None:
        """Follow no run any more."""
        self._folder = None

    def _read(self, folder: Path, scored: ScoredPrediction | None) -> None:
        if folder != self._folder:
            return  # another run is shown meanwhile
        self._reading = False
        if scored is not None:
            self._scored = scored
            self._update()
        if self._again:
            self.refresh()

    def _update(self) -> None:
        """Bring everything in step with what was read."""
        state, prediction = self.state, self.prediction
        state.visible = self._folder is not None and (prediction is not None or self._active)
        if prediction is None:
            state.sections, state.spots, state.sentence = (), None, NOTHING_YET
            return
        before = state.sections[state.section] if state.section < len(state.sections) else ""
        names = tuple(section.name for section in prediction.sections)
        state.section = names.index(before) if before in names else 0
        state.sections = names
        self._show()

    def _show(self) -> None:
        """Show the chosen gene on the chosen section; the best predicted gene where none was chosen."""
        if self._scored is None:
            return
        prediction, section = self._scored.prediction, self._scored.prediction.sections[self.state.section]
        pcc = self._scored.pcc[self.state.section]
        order = np.argsort(-np.nan_to_num(pcc, nan=-2.0), kind="stable").tolist()
        genes = tuple(prediction.genes[at] for at in order)
        words = tuple("" if np.isnan(pcc[at]) else f"PCC {pcc[at]:z.2f}" for at in order)
        gene = self.gene if self.gene in genes else genes[0]
        self.state.choice = GeneChoice(genes, words, gene)
        at = prediction.genes.index(gene)
        self.state.spots = self._spots(section, at, prediction.unit)
        self.state.sentence = map_words(gene, prediction, section, None if np.isnan(pcc[at]) else float(pcc[at]))

    def _spots(self, section: SectionPrediction, at: int, unit: str) -> HeldOutSpots:
        values = section.measured[:, at], section.predicted[:, at]
        limits = limits_of(values[0])  # of what does not change from epoch to epoch
        return HeldOutSpots(
            section.xy, section.around, section.spacing, values, (limits.low, limits.high), self._colours(), unit
        )


def read_scored(folder: Path, known: FileStamp | None) -> ScoredPrediction | None:
    """Read a run's prediction of held-out spots and score it; None where the known file is the last one. Slow."""
    from napari_nh2st import metrics

    try:
        file = (folder / FILE).stat()
    except OSError:
        return None
    stamp = file.st_mtime_ns, file.st_size
    prediction = None if stamp == known else read_held_out(folder)
    sections = [] if prediction is None else [section for section in prediction.sections if len(section.xy)]
    if prediction is None or not sections:
        return None
    scores = [metrics.pcc(section.measured, section.predicted) for section in sections]
    pcc = [np.where(score.constant, np.nan, score.per_gene) for score in scores]
    kept = HeldOutPrediction(prediction.epoch, prediction.what, prediction.genes, prediction.unit, sections)
    return ScoredPrediction(stamp, kept, pcc)

"""How the spots that a run does not learn from are predicted just now, beside what was measured there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractListModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QCompleter, QWidget

from napari_nh2st.formats.limits import limits_of
from napari_nh2st.training.run.held_out_prediction import FILE, HeldOutPrediction, SectionPrediction, read_held_out
from napari_nh2st.viewer.finetune.held_out_spots import HeldOutSpots
from napari_nh2st.viewer.finetune.messages import map_words
from napari_nh2st.viewer.finetune.spot_pictures import SpotPictures
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.state.preferences import stored_preferences

NOTHING_YET = "The first map of held-out spots comes with the first epoch."
_IN_SIGHT = 15
_LETTERS = 26  # of a line of the list: a name, its PCC
Stamp = tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Scored:
    """What was read of a run.

    Attributes
    ----------
    stamp : pair of int
        Of the file.
    found : HeldOutPrediction
    pcc : list of (G,) float64
        Of the genes of each section, NaN where there is none.
    """

    stamp: Stamp
    found: HeldOutPrediction
    pcc: list[npt.NDArray[np.float64]]


def _look(folder: Path, known: Stamp | None) -> _Scored | None:
    """Read a run's map where it is another one than the known. Slow: not for the GUI thread."""
    from napari_nh2st import metrics

    try:
        told = (folder / FILE).stat()
    except OSError:
        return None
    stamp = told.st_mtime_ns, told.st_size
    found = None if stamp == known else read_held_out(folder)
    if found is None:
        return None
    sections = [s for s in found.sections if len(s.xy)]
    pcc = []
    for section in sections:
        scored = metrics.pcc(section.measured, section.predicted)
        pcc.append(np.where(scored.constant, np.nan, scored.per_gene))
    found = HeldOutPrediction(found.epoch, found.what, found.genes, found.unit, sections)
    return _Scored(stamp, found, pcc) if sections else None


class HeldOutMap(QWidget):
    """A gene of one's choice on the held-out spots, measured and predicted, as the run goes on.

    Parameters
    ----------
    background : Background
        Files are looked at and read there.

    Attributes
    ----------
    gene : str
        What is shown; it stays while the run writes other maps.
    """

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._folder: Path | None = None
        self._going_on = self._looking = self._again = False
        self._scored: _Scored | None = None
        self.gene = ""
        self.genes = _GeneCombo()
        self.genes.chosen.connect(self._choose)
        self.section = NarrowCombo("Which of the sections with held-out spots is shown")
        self.section.activated.connect(self._show)
        self.pictures, self.sentence = SpotPictures(), Sentence()
        self.sentence.setToolTip(
            "Spots with values are not learnt from; the rings around them are spots that are. Both pictures have the "
            "same colours, which span what was measured; PCC is the correlation of the two"
        )
        self._line = QWidget()
        self._line.setLayout(row(self.genes, self.section, label="Map of", stretch=0))
        layout = column(self, spacing=4)
        for part in (self._line, self.pictures, self.sentence):
            layout.addWidget(part)
        self.show_run(None)

    @property
    def found(self) -> HeldOutPrediction | None:
        """What is shown; None before there is a map."""
        return None if self._scored is None else self._scored.found

    def show_run(self, folder: Path | None, *, going_on: bool = True) -> None:
        """Follow a run, or none. One that has ended without a map takes no room."""
        if (folder, going_on) == (self._folder, self._going_on) and folder is not None:
            return
        if folder != self._folder:
            self._folder, self._scored, self._looking = folder, None, False
        self._going_on = going_on
        self._update()
        self.refresh()

    def refresh(self) -> None:
        """Look whether the run has written another map, in the background."""
        folder = self._folder
        self._again = self._looking  # the file may have been written since that look began
        if folder is None or self._looking:
            return
        self._looking = True
        known = None if self._scored is None else self._scored.stamp
        self._background.call(
            partial(_look, folder, known), then=partial(self._found, folder), failed=partial(self._failed, folder)
        )

    def shut(self) -> None:
        """Look no further."""
        self._folder = None

    def _found(self, folder: Path, scored: _Scored | None) -> None:
        if folder != self._folder:
            return  # another run is shown meanwhile
        self._looking = False
        if scored is not None:
            self._scored = scored
            self._update()
        if self._again:
            self.refresh()

    def _failed(self, folder: Path, error: Exception) -> None:
        if folder == self._folder:
            self._looking = False
            self.sentence.say(f"The map cannot be read: {error_words(error)}")

    def _update(self) -> None:
        """Bring everything in step with what was read."""
        found = self.found
        self.setVisible(self._folder is not None and (found is not None or self._going_on))
        self._line.setVisible(found is not None)
        if found is None:
            self.pictures.show_spots(None)
            self.sentence.say(NOTHING_YET)
            return
        names = [s.name for s in found.sections]
        if names != [self.section.itemText(i) for i in range(self.section.count())]:
            before = self.section.currentText()
            self.section.clear()
            self.section.addItems(names)
            self.section.setCurrentIndex(max(0, names.index(before) if before in names else 0))
        self.section.setVisible(len(names) > 1)
        self._show()

    def _show(self) -> None:
        """Draw the chosen gene on the chosen section; the best predicted one where none was chosen."""
        if self._scored is None:
            return
        found, at = self._scored.found, max(0, self.section.currentIndex())
        pcc = self._scored.pcc[at]
        order = np.argsort(-np.nan_to_num(pcc, nan=-2.0), kind="stable")
        if self.gene not in found.genes:
            self.gene = found.genes[int(order[0])]
        said = {gene: "" if np.isnan(r) else f"PCC {r:.2f}" for gene, r in zip(found.genes, pcc, strict=True)}
        self.genes.list_genes([found.genes[int(i)] for i in order], said, self.gene)
        gene = found.genes.index(self.gene)
        self._draw(found, found.sections[at], gene)
        agrees = None if np.isnan(pcc[gene]) else float(pcc[gene])
        self.sentence.say(map_words(self.gene, found, found.sections[at], agrees))

    def _draw(self, found: HeldOutPrediction, section: SectionPrediction, gene: int) -> None:
        measured, predicted = section.measured[:, gene], section.predicted[:, gene]
        limits = limits_of(measured)  # of what does not change from epoch to epoch
        values, between = (measured, predicted), (limits.low, limits.high)
        self.pictures.show_spots(
            HeldOutSpots(section.xy, section.around, section.spacing, values, between, _colours(), found.unit)
        )

    def _choose(self, gene: str) -> None:
        self.gene = gene
        self._show()


def _colours() -> npt.NDArray[Any]:
    """Return the colours (256, 4) that heatmaps have."""
    from napari.utils.colormaps import ensure_colormap

    return np.asarray(ensure_colormap(stored_preferences().colormap).map(np.linspace(0, 1, 256)))


class _Genes(QAbstractListModel):
    """Genes with a word on each: what is typed and looked for is the name alone."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.genes: list[str] = []
        self.said: dict[str, str] = {}

    def list_genes(self, genes: list[str], said: dict[str, str]) -> None:
        self.beginResetModel()
        self.genes, self.said = genes, said
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, the signature is Qt's
        return 0 if parent.isValid() else len(self.genes)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        gene = self.genes[index.row()]
        return gene if role == Qt.ItemDataRole.EditRole else f"{gene}   {self.said.get(gene, '')}"


class _GeneCombo(NarrowCombo):
    """A list of genes in which one can type any part of a name."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__("The gene to show, the best predicted ones first. Type any part of its symbol")
        self._genes = _Genes(self)
        self.setEditable(True)
        self.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        self.setMaxVisibleItems(_IN_SIGHT)
        self.setModel(self._genes)
        self.view().setUniformItemSizes(True)
        completer = QCompleter(self._genes, self)
        completer.setCompletionRole(Qt.ItemDataRole.EditRole)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setMaxVisibleItems(_IN_SIGHT)
        self.setCompleter(completer)
        self._gene = ""
        self.activated.connect(lambda at: self._picked(self._genes.genes[at]))
        self.lineEdit().editingFinished.connect(self._typed)

    def list_genes(self, genes: list[str], said: dict[str, str], chosen: str) -> None:
        """List genes in an order, with a word on each; not in another order while somebody looks for one."""
        another, self._gene = chosen != self._gene, chosen
        looked_for = self.view().isVisible() or (not another and self.currentText() != chosen)
        if looked_for and set(genes) == set(self._genes.genes):
            self._genes.said = said  # seen when the list is drawn next; telling Qt of it would drop what is typed
            return
        blocked = self.blockSignals(True)
        if genes == self._genes.genes:
            self._genes.said = said
        else:
            self._genes.list_genes(genes, said)
        self.setCurrentIndex(genes.index(chosen))
        self.setEditText(chosen)
        self.blockSignals(blocked)

    def showPopup(self) -> None:
        """Open the whole list."""
        self.view().setMinimumWidth(_LETTERS * self.fontMetrics().averageCharWidth())
        super().showPopup()

    def _picked(self, gene: str) -> None:
        self._gene = gene
        self.chosen.emit(gene)

    def _typed(self) -> None:
        """Take a whole name that was typed, in whatever case; give up what is none."""
        text = self.currentText().strip().casefold()
        gene = next((gene for gene in self._genes.genes if gene.casefold() == text), self._gene)
        if gene != self._gene:
            self._picked(gene)
        self.setEditText(self._gene)

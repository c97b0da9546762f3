"""Two regions compared, or one with everything else that is predicted."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Note, Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

ELSEWHERE = "everything else"
ALIKE = "Tiles next to each other are alike: use these p values for ranking only."
TIPS = {
    "difference": "Mean of the first minus mean of the second",
    "score": "How clearly the two differ: the difference by its uncertainty (Welch's t)",
    "adjusted p": (
        "Welch's t test as if every tile were independent, adjusted for the number of genes (Benjamini and Hochberg)"
    ),
}


class CompareSection(QWidget):
    """Two lists of regions, a button, and the genes ranked by how they differ. Hidden while there is no region.

    Parameters
    ----------
    workspace : Workspace
    """

    gene_clicked = Signal(str)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._regions: dict[str, Any] = {}
        self.first = NarrowCombo("The region that is compared")
        self.second = NarrowCombo("What it is compared with; “everything else” is all that is predicted outside it")
        self.button = QPushButton("Compare")
        self.button.setToolTip("Rank the genes by how they differ between the two")
        self.button.clicked.connect(self.compare)
        self.task = Task(workspace)
        self.outcome = Sentence()
        self.table = GeneTable("comparison")
        self.table.gene_clicked.connect(self.gene_clicked)
        self.note = Note()
        layout = column(self)
        # no captions of a fixed width: they are cut off in a larger font
        layout.addLayout(row(self.first, QLabel("with"), stretch=0))
        layout.addLayout(row(self.second, self.button, stretch=0))
        for part in (self.task, self.outcome, self.table, self.note):
            layout.addWidget(part)
        self.setVisible(False)

    def set_regions(self, regions: dict[str, Any]) -> None:
        """Offer regions by their names; a comparison of what has changed is taken away."""
        same = regions.keys() == self._regions.keys() and all(_same(regions[k], self._regions[k]) for k in regions)
        self._regions = regions
        self.setVisible(bool(regions))
        if same:
            return
        self._clear()
        for combo, names in ((self.first, list(regions)), (self.second, [ELSEWHERE, *regions])):
            kept = combo.currentText()
            combo.clear()
            combo.addItems(names)
            combo.setCurrentIndex(max(0, combo.findText(kept)))

    def compare(self) -> None:
        """Compare what is chosen."""
        first, second = self.first.currentText(), self.second.currentText()
        self._clear()
        try:
            shown = self._workspace.require_map()
        except Nh2stError as error:
            self.outcome.say(str(error))
            return
        if first == second:
            self.outcome.say("Choose two different regions.")
            return
        # the entry after "everything else" may be a region of that name
        asked = self._regions[first], self._regions[second] if self.second.currentIndex() else None
        self.button.setEnabled(False)
        self.task.start(
            "Comparing",
            partial(_compare, shown, asked, (first, second)),
            partial(self._show, shown, first, second),
            lambda: self.button.setEnabled(not self.task.running),
        )

    def _show(self, shown: PredictedMap, first: str, second: str, found: Any) -> None:
        if shown is not self._workspace.map:
            return
        compared, (ours, theirs, both) = found
        text = f"{first}, {count(ours, 'tile')}, against {second}, {count(theirs, 'tile')}."
        if both:
            text += f" {count(both, 'tile')} in both are left out."
        if compared.used != (ours, theirs):
            text += f" {compared.used[0]:,} and {compared.used[1]:,} of them, drawn by chance, were compared."
        self.outcome.say(text)
        self.note.say(ALIKE)
        self.table.what = f"{first} against {second}"
        self.table.show_frame(compared.table[["difference", "score", "adjusted p"]], sort_by="score", tips=TIPS)

    def _clear(self) -> None:
        self.task.cancel()
        self.outcome.say("")
        self.note.say("")
        self.table.show_frame(None)


def _same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(x.shape == y.shape and (x == y).all() for x, y in zip(a, b, strict=True))


def _compare(shown: PredictedMap, asked: Any, names: tuple[str, str], tell: Any, cancelled: Any) -> Any:
    """Compare two regions, or one with all else; in a thread."""
    from napari_nh2st.analysis.regions import compare, inside

    prediction = shown.prediction()
    first = inside(prediction.places.centres, asked[0])
    second = ~first if asked[1] is None else inside(prediction.places.centres, asked[1])
    compared = compare(prediction, first, second, names=names, tell=tell, cancelled=cancelled)
    both = first & second
    return compared, tuple(int(mask.sum()) for mask in (first & ~both, second & ~both, both))

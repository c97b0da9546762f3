"""How sure: what the figures are, whether the tissue is like that of the training, and how far answers differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.geometry import IntArray
from napari_nh2st.model.reference import UNLIKE, UNUSUAL
from napari_nh2st.viewer.kit.background import Cancelled, Tell
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.map_layer import Look
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import F32, TileValues
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.trust.messages import LEGEND, NO_REFERENCE, TISSUE_IS, figures_words, novelty_words
from napari_nh2st.viewer.trust.spread import SpreadPart

_PIECE = 2048  # tiles between two looks at the clock
_UNUSUAL, _UNLIKE = "#ff7b00", "#b00020"  # none of viridis, which the heatmap has
_CHECK_TIP = "Compare the predicted tiles with the tissue that the model was trained on, and mark those that are unlike"


class TrustSection(QWidget):
    """The fold "Trust".

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.figures = Sentence()
        self.figures.setToolTip("What the held-out figure of this gene means, and where it was measured")
        self.tissue = TissuePart(workspace)
        self.spread = SpreadPart(workspace)
        layout = column(self, spacing=8)
        for part in (self.figures, rule(), self.tissue, rule(), self.spread):
            layout.addWidget(part)
        for signal in (workspace.state.events.model, workspace.state.map_chosen, workspace.state.events.gene):
            signal.connect(self._show_figures)
        self._show_figures()

    def _show_figures(self, gene: str = "") -> None:
        card = self._workspace.state.card if self._workspace.map is None else self._workspace.map.card
        self.figures.say("\n".join(figures_words(card, self._workspace.state.gene)))


class TissuePart(QWidget):
    """A button that marks the tiles that are unlike the training tissue, and how many they are.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._found: dict[int, Novelty] = {}
        self._map: PredictedMap | None = workspace.map
        self.button = QPushButton("Check the tissue")
        self.more = QPushButton("Go on")
        self.more.setToolTip("Check the tiles that were predicted since")
        self.share = Sentence()
        self.legend = Sentence(LEGEND, dim=True)
        self.task = Task(workspace)
        layout = column(self, spacing=4)
        layout.addWidget(Sentence(TISSUE_IS, dim=True))
        buttons = row(self.button, self.more)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        for part in (self.task, self.share, self.legend):
            layout.addWidget(part)
        self.button.clicked.connect(self._check)
        self.more.clicked.connect(self._check)
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.state.events.drawings.connect(self._show_state)
        workspace.state.events.jobs_ended.connect(self._show_state)
        self._show_state()

    @property
    def found(self) -> Novelty | None:
        """What is known of the map that is shown, None where it was not asked for."""
        return self._found.get(id(self._workspace.map))

    def _check(self) -> None:
        """Compare the tiles that were not compared yet."""
        try:
            shown = self._workspace.require_map()
            found = self.found or Novelty(self._workspace.viewer, shown)
            cells = found.missing()
            work = self._workspace.with_inputs(_novelty(self._workspace, cells)) if len(cells) else None
        except Nh2stError as error:
            self.task.sentence.say(str(error))
            return
        self._found[id(shown)] = found
        if work is None:
            self._show(found)
            return
        self.task.start("Checking the tissue", work, lambda values: self._checked(found, cells, values))

    def _checked(self, found: Novelty, cells: IntArray, values: F32) -> None:
        found.values[cells] = values
        if found.map is self._workspace.map:
            self._show(found)

    def _show(self, found: Novelty) -> None:
        found.show()
        self._show_state()

    def _map_changed(self) -> None:
        if self._workspace.map is not self._map:
            self.task.cancel()
            self._map = self._workspace.map
        for found in self._found.values():
            if found.map is not self._workspace.map:
                found.image.hide()
        self._show_state()

    def _show_state(self) -> None:
        shown, found = self._workspace.map, self.found
        ready = shown is not None and shown.count > 0
        self.button.setEnabled(ready)
        self.button.setToolTip(_CHECK_TIP if ready else NO_MAP)
        known = 0 if found is None else found.count
        more = shown.count - known if known else 0
        self.more.setVisible(more > 0)
        self.more.setText(f"Go on ({count(more, 'more tile')})")
        self.share.say(found.words() if known else "")
        self.legend.setVisible(bool(known) and found.image.present)


class Novelty:
    """How unlike the training tissue the tiles of a map are, and the layer that marks them."""

    def __init__(self, viewer: Any, shown: PredictedMap) -> None:
        from napari.utils import Colormap

        self.map = shown
        self.values = np.full(shown.rows * shown.columns, np.nan, dtype=np.float32)
        colours = Colormap(
            [_UNUSUAL, _UNLIKE], name="unlike the training", controls=[0.0, 0.5, 1.0], interpolation="zero"
        )
        role = map_role(Kind.NOVELTY, shown, "unlike the training")
        self.image = TileValues(viewer, role, Look(colours, bar=False))
        self.image.rename(f"unlike the training ({shown.card.name})")

    @property
    def count(self) -> int:
        """How many tiles were compared."""
        return int(np.isfinite(self.values).sum())

    def missing(self) -> IntArray:
        """Cells that are predicted and not compared."""
        return np.flatnonzero(self.map.done & np.isnan(self.values))

    def show(self) -> None:
        """Draw the marks: see-through where the tissue is as in the training."""
        self.image.bring()
        marks = np.where(self.values > UNUSUAL, self.values, np.nan).reshape(self.map.rows, self.map.columns)
        self.image.draw(marks, Limits(UNUSUAL, 2 * UNLIKE - UNUSUAL))

    def words(self) -> str:
        """Say how many tiles are unlike."""
        known = self.values[np.isfinite(self.values)]
        return novelty_words(len(known), int((known > UNUSUAL).sum()), int((known > UNLIKE).sum()))


def _novelty(workspace: Workspace, cells: IntArray) -> Any:
    """Make the work that compares cells with the training tissue."""
    services, model = workspace.services, workspace.state.model_name

    def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> F32:
        reference = services.reference(model)
        if reference is None:
            raise Nh2stError(NO_REFERENCE)
        out = []
        for i in range(0, len(cells), _PIECE):
            if cancelled():
                raise Stopped("stopped")
            part = inputs.session.embed(inputs.map.tiles(cells[i : i + _PIECE]), cancelled=cancelled)
            out.append(reference.novelty(part))
            tell(min(i + _PIECE, len(cells)), len(cells))
        return np.concatenate(out)

    return work

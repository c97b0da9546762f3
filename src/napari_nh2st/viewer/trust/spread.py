"""How far the answers of views, or of several models, differ: as a layer that follows the gene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_nh2st.analysis.spread import VIEWS, Answer, spread_over
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.viewer.kit.background import Cancelled, Tell
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.map_layer import Look
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import TileValues
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.model_names import folder_name, model_names
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.trust.messages import SPREAD_IS, spread_words

_MOST_BYTES = 2**30  # of answers that are kept
_SHOW, _BACK = "Show spread", "Show the prediction"
_SHOW_TIP = "Draw how far the answers differ; each view and each model takes about as long as the prediction did"
_BACK_TIP = "Hide the spread, and show the heatmap of the prediction again"
_ONE_MORE = "Tick one model at least."
_SHOWN_MODELS = 4
_COVERING = (Kind.NOVELTY, Kind.MEASURED, Kind.DIFFERENCE)


class SpreadPart(QWidget):
    """A choice of views or models, and a button that draws how far they differ.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._spreads: dict[int, Spread] = {}
        self._map: PredictedMap | None = workspace.map
        self._build()
        self.task.sentence.say("")
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.state.events.model.connect(self._list_models)
        workspace.state.events.gene.connect(self._gene_changed)
        workspace.state.events.drawings.connect(self._show_state)
        workspace.state.events.jobs_ended.connect(self._show_state)
        self._list_models()
        self._show_state()

    def _build(self) -> None:
        self.by_views = QRadioButton(f"{len(VIEWS)} views of this model")
        self.by_views.setToolTip("The model is asked about the tissue as it lies and turned by 90, 180 and 270 degrees")
        self.by_models = QRadioButton("several models")
        self.by_models.setToolTip("This model and those that are ticked are asked about the same places")
        self.by_views.setChecked(True)
        group = QButtonGroup(self)
        for button in (self.by_views, self.by_models):
            group.addButton(button)
        self.models = QListWidget()
        self.models.setToolTip("Models that predict some of the same genes in the same unit")
        self.models.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.models.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.models.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.add = QPushButton("folder…")
        self.add.setToolTip("Add a model from a folder (RUN/model of a fine-tuning run)")
        self.button, self.more = QPushButton(_SHOW), QPushButton("Go on")
        self.more.setToolTip("Work it out for the tiles that were predicted since")
        self.said = Sentence()
        self.task = Task(self._workspace)
        layout = column(self, spacing=4)
        layout.addWidget(Sentence(SPREAD_IS, dim=True))
        layout.addWidget(self.by_views)
        choice = row(self.by_models, self.add)
        choice.insertStretch(1, 1)
        layout.addLayout(choice)
        layout.addWidget(self.models)
        buttons = row(self.button, self.more)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        layout.addWidget(self.task)
        layout.addWidget(self.said)
        self.by_models.toggled.connect(self._show_state)
        self.models.itemChanged.connect(self._show_state)
        self.add.clicked.connect(self._ask)
        self.button.clicked.connect(self._toggle)
        self.more.clicked.connect(self._compute)

    @property
    def spread(self) -> Spread | None:
        """What is known of the map that is shown, None where it was not asked for."""
        return self._spreads.get(id(self._workspace.map))

    @property
    def members(self) -> tuple[str, ...]:
        """Models that are ticked, beside the one that predicts; empty for views."""
        if not self.by_models.isChecked():
            return ()
        items = (self.models.item(i) for i in range(self.models.count()))
        ticked = Qt.CheckState.Checked
        return tuple(i.data(Qt.ItemDataRole.UserRole) for i in items if i.checkState() == ticked)

    # models

    def _list_models(self) -> None:
        """List the models that can be compared with the chosen one, keeping what was ticked."""
        ticked = set(self.members)
        self.models.clear()
        for name in model_names(self._workspace.services, self._workspace.preferences):
            self._list(name, name in ticked)
        self._show_state()

    def _list(self, model: str, ticked: bool) -> None:
        card = self._workspace.state.card
        if card is None or model == self._workspace.state.model_name:
            return
        try:
            other = self._workspace.services.load_card(model)
            why = _cannot(card, other)
        except (Nh2stError, OSError) as error:
            why = str(error)
        item = QListWidgetItem(model if model in self._workspace.services.models() else folder_name(model))
        item.setData(Qt.ItemDataRole.UserRole, model)
        item.setToolTip(why or model)
        item.setFlags(Qt.ItemFlag.NoItemFlags if why else Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked and not why else Qt.CheckState.Unchecked)
        self.models.addItem(item)

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self._list(path, True)
            self._show_state()

    # what the person does

    def _toggle(self) -> None:
        spread = self.spread
        if spread is not None and spread.image.visible and spread.members == self.members:
            self._workspace.maps.instead.back()
        else:
            self._compute()
        self._show_state()

    def _compute(self) -> None:
        """Ask about the tiles that were not asked about yet, and show what is known."""
        try:
            shown = self._workspace.require_map()
            if self.by_models.isChecked() and not self.members:
                raise Nh2stError(_ONE_MORE)
            spread = self.spread
            if spread is None or spread.members != self.members:
                spread = Spread(shown, self.members, self._workspace.viewer)
                spread.take_over(self.spread)
            cells = spread.missing()
            spread.check_room(len(cells))
            work = self._workspace.with_inputs(_answers(self._workspace, spread, cells)) if len(cells) else None
        except Nh2stError as error:
            self.task.sentence.say(str(error))
            return
        if work is None:
            self._show(spread)
        else:
            what = f"Asking {spread.over}"
            self.task.start(what, work, lambda answers: self._answered(spread, cells, answers), self._show_state)

    def _answered(self, spread: Spread, cells: IntArray, answers: list[Answer]) -> None:
        spread.add(cells, answers)
        self._spreads[id(spread.map)] = spread
        if spread.map is self._workspace.map:
            self._show(spread)

    def _show(self, spread: Spread) -> None:
        spread.image.rename(spread.name(self._workspace.state.gene))
        if spread.image.bring():
            spread.image.layer.events.visible.connect(self._show_state)
        self._workspace.maps.instead.show(spread.image.layer, covered_by=_COVERING)
        self._draw()

    # what changes elsewhere

    def _map_changed(self) -> None:
        if self._workspace.map is not self._map:
            self.task.cancel()
            self._map = self._workspace.map
        for spread in self._spreads.values():
            spread.image.hide()
        self._show_state()

    def _gene_changed(self, gene: str) -> None:
        self._draw()

    def _draw(self) -> None:
        """Draw the current gene; decoded from the answers, without the models."""
        spread, gene = self.spread, self._workspace.state.gene
        self.said.say("")
        if spread is not None and spread.image.present and gene:
            try:
                self.said.say(spread.draw(gene))
            except Nh2stError as error:  # a model that does not predict it
                spread.image.draw(spread.nothing(), Limits(0.0, 1.0), gene=gene)
                spread.image.rename(spread.name(gene))
                self.said.say(f"No spread: {error}.")
        self._show_state()

    def _show_state(self, *_: Any) -> None:
        """Say what the buttons do now; often called, hence quick."""
        shown, spread = self._workspace.map, self.spread
        ready = shown is not None and shown.count > 0
        asked = spread is not None and spread.members == self.members
        drawn = asked and spread.image.visible
        self.models.setVisible(self.by_models.isChecked())
        self.add.setVisible(self.by_models.isChecked())
        line = max(20, self.models.sizeHintForRow(0))
        self.models.setFixedHeight(line * min(_SHOWN_MODELS, max(1, self.models.count())) + 8)
        self.button.setEnabled(ready)
        self.button.setText(_BACK if drawn else _SHOW)
        self.button.setToolTip(NO_MAP if not ready else _BACK_TIP if drawn else _SHOW_TIP)
        more = shown.count - len(spread.cells) if asked else 0
        self.more.setVisible(more > 0)
        self.more.setText(f"Go on ({count(more, 'more tile')})")


class Spread:
    """The answers of views or models for the tiles of a map, and the layer of how far they differ.

    Parameters
    ----------
    shown : PredictedMap
    members : tuple of str
        Other models that are asked; none for views.
    viewer : ViewerModel
    """

    def __init__(self, shown: PredictedMap, members: tuple[str, ...], viewer: Any) -> None:
        self.map, self.members = shown, members
        self.cells = np.empty(0, dtype=np.int64)
        self.answers: list[Answer] = []
        self.image = TileValues(viewer, map_role(Kind.SPREAD, shown, "spread"), Look("inferno"))

    @property
    def over(self) -> str:
        """What is compared: "4 views"."""
        return count(1 + len(self.members), "model") if self.members else count(len(VIEWS), "view")

    def name(self, gene: str) -> str:
        """Name the layer."""
        return f"{gene or 'gene'}, spread over {self.over} ({self.map.card.name})"

    def take_over(self, other: Spread | None) -> None:
        """Draw into the layer of another one of the same map."""
        if other is not None:
            self.image = other.image

    def missing(self) -> IntArray:
        """Cells that are predicted and were not asked about."""
        done = self.map.done
        done[self.cells] = False
        return np.flatnonzero(done)

    def check_room(self, more: int) -> None:
        """Raise an Nh2stError where the answers would take too much memory."""
        kept = 1 + len(self.members) if self.members else len(VIEWS)
        if (len(self.cells) + more) * kept * self.map.bytes_per_cell > _MOST_BYTES:
            raise Nh2stError("These are too many tiles to keep several answers for: take coarse detail.")

    def add(self, cells: IntArray, answers: list[Answer]) -> None:
        """Take the answers for further cells."""
        self.answers = (
            [a.followed_by(b) for a, b in zip(self.answers, answers, strict=True)] if self.answers else answers
        )
        self.cells = np.concatenate([self.cells, cells])

    def nothing(self) -> Any:
        """Return an image without values."""
        return np.full((self.map.rows, self.map.columns), np.nan, dtype=np.float32)

    def draw(self, gene: str) -> str:
        """Draw a gene and return a sentence about it.

        Raises
        ------
        Nh2stError
            If one of the models does not predict it.
        """
        values, image = spread_over(self.answers, gene), self.nothing()
        image.reshape(-1)[self.cells] = values
        known = values[np.isfinite(values)]
        top = float(np.percentile(known, 99)) if known.size else 0.0
        unit = self.map.card.unit
        said = f"{gene}, spread over {self.over}\n{unit}"
        self.image.draw(image, Limits(0.0, max(top, 1e-3)), gene=gene, label=said)
        self.image.rename(self.name(gene))
        contrast = float(np.nanstd(self.answers[0].values(gene)))
        return spread_words(gene, unit, self.over, float(np.median(known)), contrast) if known.size else ""


def _cannot(card: Card, other: Card) -> str:
    """Say why two models cannot be compared; empty where they can."""
    if other.unit != card.unit:
        return f"It predicts another unit: {other.unit}"
    if not set(card.genes) & set(other.genes):
        return "It predicts none of the genes of the chosen model"
    return ""


def _answers(workspace: Workspace, spread: Spread, cells: IntArray) -> Any:
    """Make the work that asks all of them about some cells of the map."""
    services, device, shown = workspace.services, workspace.requests.whole_slide().device, spread.map
    own, places = Answer(shown.card.name, shown.card.genes, shown.decoder, shown.hidden_of(cells)), shown.tiles(cells)

    def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> list[Answer]:
        answers, total = [own], len(cells) * (len(spread.members) or len(VIEWS) - 1)

        def ask(session: Any, at: TileSet, width: int) -> Any:
            hidden, before = np.full((len(at), width), np.nan, dtype=np.float16), len(cells) * (len(answers) - 1)
            for chunk in session.stream(at, cancelled=cancelled):
                hidden[chunk.indices] = chunk.hidden
                tell(before + chunk.done, total)
            return hidden

        how = {"tissue": inputs.tissue, "device": device}
        for view in () if spread.members else VIEWS[1:]:
            session = services.session(inputs.slide, inputs.model, pitch=shown.pitch, view=view, **how)
            hidden = ask(session, places, own.hidden.shape[1])
            answers.append(Answer(f"view {view}", own.genes, own.decoder, hidden))
        for name in spread.members:
            model = services.load_model(name)
            decoder, card = services.decoder(model), model.card
            at = TileSet.at(places.centres, scale=card.scale_on(inputs.slide.require_mpp()), pitch=card.patch)
            session = services.session(inputs.slide, model, pitch=card.patch, **how)
            hidden = ask(session, at, decoder.weight.shape[1])
            answers.append(Answer(Path(name).name, card.genes, decoder, hidden))
        return answers

    return work

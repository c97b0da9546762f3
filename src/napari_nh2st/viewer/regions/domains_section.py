"""Domains: the tissue divided by what it looks like and what is predicted for it, with the genes of each part."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QLabel, QPushButton, QSlider, QWidget

from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.viewer.kit.background import Work
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Note, Sentence
from napari_nh2st.viewer.layers.domains import DomainsLayer, colour_of, image_of
from napari_nh2st.viewer.layers.label_colours import prepare_labels
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.regions.comparison import ALIKE, TIPS
from napari_nh2st.viewer.state.predicted_map import PredictedMap

RESOLUTIONS = (0.1, 0.2, 0.4, 0.8, 1.6)  # of leiden, from few domains to many
_TIPS = {**TIPS, "difference": "Mean in the domain minus mean in the rest"}
_FIND = "Divide what is predicted into parts that look alike and are predicted alike"


class DomainsSection(QWidget):
    """A slider from few to many, a button, and the genes that set each domain apart.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._map: PredictedMap | None = None  # what the domains are of
        self._markers: Any = None
        self._layer: DomainsLayer | None = None
        self.fineness = QSlider(Qt.Orientation.Horizontal)
        self.fineness.setRange(0, len(RESOLUTIONS) - 1)
        self.fineness.setValue(2)
        self.fineness.setPageStep(1)
        self.fineness.setToolTip("Few large domains, or many small ones")
        self.button = QPushButton("Find domains")
        self.button.clicked.connect(self.find)
        self.task = Task(workspace)
        self.found = Sentence()
        self.domain = NarrowCombo("The domain whose genes the table shows, with its share of what is predicted")
        self.domain.activated.connect(self._chosen)
        self.table = GeneTable("markers")
        self.table.gene_clicked.connect(self.show_gene)
        self.note = Note()
        layout = column(self)
        layout.addLayout(row(QLabel("few domains"), self.fineness, QLabel("many"), stretch=1))
        for part in (self.button, self.task, self.found, self.domain, self.table, self.note):
            layout.addWidget(part)
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.state.events.drawings.connect(self._ready)
        self._clear()

    @property
    def layer(self) -> Any:
        """The layer of the domains that were found last."""
        return None if self._layer is None else self._layer.layer

    def find(self) -> None:
        """Cluster what is predicted, draw it, and look for the genes of each domain."""
        try:
            shown = self._workspace.require_map()
        except Nh2stError as error:
            self.found.say(str(error))
            return
        self._clear()
        self._map = shown
        self.button.setEnabled(False)
        work = partial(_find, shown, self._work_inputs(), RESOLUTIONS[self.fineness.value()])
        self.task.start("Looking for domains", work, self._show_domains, self._ready)

    def _work_inputs(self) -> Work | str:
        """Return what opens slide and model in a thread, or why that cannot be."""
        if self._workspace.map_slide_layer is None:
            return "the slide is not open"
        try:
            return self._workspace.with_inputs(lambda inputs, tell, cancelled: inputs)
        except Nh2stError as error:
            return str(error)

    def _show_domains(self, outcome: Any) -> None:
        prediction, cells, domains, why_not = outcome
        shown = self._map
        if shown is None or shown is not self._workspace.map:  # another slide is looked at by now
            return
        if self._layer is None or self._layer.map is not shown:
            self._layer = DomainsLayer(self._workspace.viewer, shown)
        self._layer.show(image_of(shown, cells, domains))
        self._show_heatmap(False)
        self.found.say(_found_words(domains, why_not))
        self._list(domains)
        if domains.count > 1:
            self.button.setEnabled(False)
            work = partial(_markers, prediction, domains)
            self.task.start("Looking for their genes", work, self._marked, self._ready)

    def _list(self, domains: Any) -> None:
        self.domain.clear()
        for number, share in enumerate(domains.shares, 1):
            swatch = QPixmap(14, 14)
            swatch.fill(QColor(colour_of(number)))
            self.domain.addItem(QIcon(swatch), f"{number}: {100 * share:.0f} % of the tissue", number)

    def _marked(self, markers: Any) -> None:
        if self._map is not self._workspace.map:
            return
        self._markers = markers
        self.domain.setVisible(True)
        self.note.say(ALIKE)
        self._show_table()

    def _chosen(self, index: int) -> None:
        self._show_table()
        if self._layer is not None and self._layer.present:
            self._layer.bring()
        self._show_heatmap(False)

    def _show_table(self) -> None:
        number = self.domain.currentData()
        mine = self._markers[self._markers["domain"] == number].set_index("gene")
        self.table.what = f"domains of {self._map.card.name}"
        shown = mine[["difference", "score", "adjusted p"]]
        self.table.show_frame(shown, sort_by="score", tips=_TIPS, saved=self._markers)

    def show_gene(self, gene: str) -> None:
        """Show the gene instead of the domains: one on top of the other says nothing."""
        self._workspace.state.request_gene(gene)
        if self._layer is not None:
            self._layer.hide()
        self._show_heatmap(True)

    def _show_heatmap(self, on: bool) -> None:
        heatmap = self._workspace.heatmap
        if heatmap is not None and heatmap.present:
            heatmap.layer.visible = on

    def _map_changed(self) -> None:
        if self._map is not None and self._map is not self._workspace.map:
            self.task.cancel()
            self._map = None
            self._clear()
        self._ready()

    def _clear(self) -> None:
        self._markers = None
        self.found.say("")
        self.note.say("")
        self.table.show_frame(None)
        self.domain.setVisible(False)
        self._ready()

    def _ready(self) -> None:
        some = self._workspace.map is not None and self._workspace.map.count > 0
        self.button.setEnabled(some and not self.task.running)
        self.button.setToolTip(_FIND if some else NO_MAP)


def _find(shown: PredictedMap, inputs: Work | str, resolution: float, tell: Any, cancelled: Any) -> Any:
    """Find domains, in a thread; without slide or model by the predictions alone."""
    from napari_nh2st.analysis.domains import find_domains

    why_not, embed = (inputs, None) if isinstance(inputs, str) else ("", None)
    if not isinstance(inputs, str):
        try:
            session = inputs(tell, cancelled).session
            embed = partial(session.embed, cancelled=cancelled)
        except Cancelled:
            raise
        except Nh2stError as error:
            why_not = str(error)
    prediction = shown.prediction().only_done()  # a copy: what arrives meanwhile does not disturb
    domains = find_domains(prediction, embed, resolution=resolution, tell=tell, cancelled=cancelled)
    prepare_labels(domains.labels.dtype)
    return prediction, shown.cells(prediction.places), domains, why_not


def _markers(prediction: Any, domains: Any, tell: Any, cancelled: Any) -> Any:
    from napari_nh2st.analysis.domains import markers

    return markers(prediction, domains, tell=tell, cancelled=cancelled)


def _found_words(domains: Any, why_not: str) -> str:
    """Say what was found, from what."""
    tiles = len(domains.labels)
    source = "from the image and the predicted genes together"
    if why_not:
        source = f"from the predicted genes alone ({why_not})"
    if domains.count < 2:
        return f"All of it is one domain, {source}: move the slider towards “many”."
    text = f"{domains.count} domains, {source}."
    if domains.clustered < tiles:
        text += (
            f" {domains.clustered:,} of {count(tiles, 'tile')} were clustered; "
            "each other tile belongs where those most like it do."
        )
    return text

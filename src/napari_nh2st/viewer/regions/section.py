"""Regions that are drawn: the genes of each, and how two of them differ. Domains stand below them."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, rule
from napari_nh2st.viewer.kit.pacing import timer
from napari_nh2st.viewer.kit.phrases import count, error_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.inputs import edited_tissue
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.comparison import CompareSection
from napari_nh2st.viewer.regions.domains_section import DomainsSection
from napari_nh2st.viewer.regions.drawn import (
    Drawn,
    add_region_layer,
    by_name,
    drawn_on,
    name_new,
    on_slide,
    place_on,
    rename,
    shapes_layers,
)
from napari_nh2st.viewer.regions.region_list import RegionList
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.services import Services

NO_REGIONS = "No regions yet: press Draw regions, click around a part of the tissue, and double-click to close it."
NO_PLACE = "The slide and its heatmap are closed: open the slide again, or choose the gene."
_DRAW = "Add a layer to draw in; rectangles, ellipses and polygons of any shapes layer count as regions"
_DRAWN_MS = 400  # a shape that has not changed for so long is done
_REGION_TIPS = {
    "mean": "Mean of the region's predicted tiles",
    "spread": "Standard deviation between the region's tiles",
    "elsewhere": "Mean of all predicted tiles outside the region",
    "difference": "Mean in the region minus mean elsewhere",
}


class RegionsSection(QWidget):
    """What is drawn, listed and described as soon as it changes; two regions compared; domains.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._drawn: list[Drawn] = []
        self._asked: object = None
        self._table: Any = None
        self._sizes: dict[int, int] = {}  # shapes of each layer, to tell which are new
        self._connections = Connections()
        self._soon = timer(self, _DRAWN_MS, self.refresh)
        self._build()
        viewer = workspace.viewer
        self._connections.add(viewer.layers.events.inserted, self._inserted)
        self._connections.add(viewer.layers.events.removed, self._later)
        for layer in shapes_layers(viewer):
            self._listen(layer)
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.state.events.slide.connect(self._later)
        workspace.state.events.jobs_ended.connect(self._later)
        workspace.when_closing(self._close)
        self._soon.start()

    def _build(self) -> None:
        self.draw = QPushButton("Draw regions")
        self.draw.setToolTip(_DRAW)
        self.draw.clicked.connect(self._draw)
        self.sentence = Sentence()
        self.list = RegionList()
        self.list.chosen.connect(lambda name: self._show_table())
        self.list.renamed.connect(self._rename)
        self.table = GeneTable("regions")
        self.comparison = CompareSection(self._workspace)
        self.domains = DomainsSection(self._workspace)
        for table in (self.table, self.comparison):
            table.gene_clicked.connect(self.domains.show_gene)
        layout = column(self)
        for part in (self.draw, self.sentence, self.list, self.table, self.comparison, rule(), self.domains):
            layout.addWidget(part)

    def showEvent(self, event: QShowEvent) -> None:
        """Look at what was drawn while the section was folded."""
        super().showEvent(event)
        self._later()

    # what is drawn

    def _draw(self) -> None:
        try:
            shown = self._workspace.require_map()
        except Nh2stError as error:
            self.sentence.say(str(error))
            return
        slide_layer = self._workspace.map_slide_layer
        name = "regions" if slide_layer is None else f"regions ({slide_layer.name})"
        add_region_layer(self._workspace.viewer, name, shown.slide["shape"], float(shown.slide["mpp"]))

    def _inserted(self, event: Any) -> None:
        if event.value in shapes_layers(self._workspace.viewer):
            self._listen(event.value)
        self._later()

    def _listen(self, layer: Any) -> None:
        self._sizes[id(layer)] = len(layer.data)
        self._connections.add(layer.events.data, self._changed)
        for emitter in (layer.events.features, layer.events.visible, layer.events.scale, layer.events.translate):
            self._connections.add(emitter, self._later)

    def _changed(self, event: Any) -> None:
        """Give new shapes a number; measure when the drawing rests."""
        layer, action = event.source, str(event.action)
        if action == "added":
            name_new(self._workspace.viewer, layer, self._sizes.get(id(layer), 0))
        if action in ("added", "removed"):
            self._sizes[id(layer)] = len(layer.data)
        if action == "adding":
            self._soon.stop()  # a shape is begun: it is measured when it is closed
        else:
            self._later()

    def _rename(self, old: str, new: str) -> None:
        rename([shape for shape in self._drawn if shape.layer in self._workspace.viewer.layers], old, new)
        self.refresh()

    def _later(self, event: Any = None) -> None:
        if not self.isHidden():  # else when it is unfolded
            self._soon.start()

    def _map_changed(self) -> None:
        self._table = None
        self.table.show_frame(None)
        self.comparison.set_regions({})
        self._later()

    # one region

    def refresh(self) -> None:
        """Read what is drawn and measure it."""
        workspace, self._asked = self._workspace, None
        try:
            shown = workspace.require_map()
            place = place_on(workspace.heatmap, workspace.map_slide_layer)
            if place is None:
                raise Nh2stError(NO_PLACE)
            self._drawn = drawn_on(workspace.viewer, place)
            if not self._drawn:
                raise Nh2stError(NO_REGIONS)
        except Nh2stError as error:
            self._drawn, self._table = [], None
            self.sentence.say(str(error))
            self.list.show_regions({})
            self.comparison.set_regions({})
            self.table.show_frame(None)
            return
        asked = self._asked = object()
        regions = by_name(self._drawn)
        work = partial(_measure, workspace.services, shown, self._tissue(shown), regions)
        workspace.background.call(
            work, then=partial(self._measured, asked, shown, regions), failed=partial(self._failed, asked)
        )

    def _tissue(self, shown: PredictedMap) -> Request | None:
        """Return what says where the tissue of this map is, None where its slide is not the one chosen."""
        try:
            request = self._workspace.requests.whole_slide()
        except Nh2stError:
            return None
        return request if request.slide.fingerprint == shown.slide.get("fingerprint") else None

    def _measured(self, asked: object, shown: PredictedMap, regions: dict[str, Any], found: Any) -> None:
        if asked is not self._asked or shown is not self._workspace.map:
            return
        self._table, tissue = found
        predicted = dict(self._table.groupby("region", sort=False)["n_tiles"].first())
        words = {}
        for name, outlines in regions.items():
            off = on_slide(outlines, shown).area == 0
            words[name] = "off the slide" if off else _words(predicted.get(name, 0), tissue and tissue[name])
        self.sentence.say("")
        self.list.show_regions(words)
        self.comparison.set_regions(regions)
        self._show_table()

    def _failed(self, asked: object, error: Exception) -> None:
        if asked is self._asked:
            self.sentence.say(f"That did not work: {error_words(error)}")

    def _show_table(self) -> None:
        if self._table is None:
            return
        mine = self._table[self._table["region"] == self.list.region].set_index("gene")
        columns = {"spread": mine["sd"], "elsewhere": mine["mean_elsewhere"]}
        frame = mine[["mean"]].assign(difference=mine["mean"] - mine["mean_elsewhere"], **columns)
        self.table.what = "regions"
        self.table.show_frame(frame, sort_by="difference", tips=_REGION_TIPS, saved=self._table)

    def _close(self) -> None:
        self._soon.stop()
        self._asked = None
        self._connections.close()


def _measure(services: Services, shown: PredictedMap, tissue: Request | None, regions: dict[str, Any]) -> Any:
    """Return the table of regions, and the number of tissue tiles in each; in a thread."""
    from napari_nh2st.analysis.regions import inside, region_table

    table = region_table(shown.prediction(), regions)
    if tissue is None:
        return table, None
    edited, _ = edited_tissue(tissue)
    counts = {}
    for name, outlines in regions.items():
        box = on_slide(outlines, shown)
        tiles = services.lattice_for(tissue.slide, shown.card, region=box, pitch=shown.pitch, tissue=edited)
        counts[name] = int(inside(tiles.centres, outlines).sum())
    return table, counts


def _words(predicted: int, tissue: int | None) -> str:
    """Say how much of a region is predicted."""
    if tissue is None or 0 < tissue <= predicted:
        return count(predicted, "tile") if predicted else "not predicted"
    if not predicted:
        return f"0 of {count(tissue, 'tile')}" if tissue else "no tissue"
    return f"{predicted:,} of {count(tissue, 'tile')}" if tissue else count(predicted, "tile")

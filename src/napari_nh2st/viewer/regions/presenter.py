"""Regions that are drawn: read from the shapes layers, measured, listed, and named. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.tool_in_hand import Tool, rest
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.inputs import edited_tissue
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.comparison import Regions
from napari_nh2st.viewer.regions.drawn import (
    DRAWING,
    Drawn,
    add_region_layer,
    areas,
    by_name,
    drawn_on,
    forget_gone,
    name_new,
    on_slide,
    place_on,
    prepare_shapes,
    region_layer,
    rename,
    shapes_layers,
)
from napari_nh2st.viewer.regions.files import RegionsOpening, annotations_of
from napari_nh2st.viewer.regions.history import History
from napari_nh2st.viewer.regions.messages import NO_PLACE, NO_REGIONS, OFF_THE_SLIDE, predicted_words
from napari_nh2st.viewer.regions.rim import add_rim
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Shapes

    from napari_nh2st.annotations import Annotation

_UNDO = "Control-Z"
Measured = tuple["pd.DataFrame", dict[str, int] | None]  # genes of each region; tiles of tissue in each


@dataclass(frozen=True)
class Listed:
    """A line of the list of regions.

    Attributes
    ----------
    colour : str
        Of its edge, "#rrggbb".
    predicted : str
        How much of it is predicted.
    area : float or None
        mm².
    """

    name: str
    colour: str
    predicted: str
    area: float | None


class RegionsView(Protocol):
    """Shows what the presenter decides."""

    @property
    def folded(self) -> bool:
        """True if nobody can see the section: nothing is measured then."""

    @property
    def region(self) -> str:
        """The region that is chosen in the list."""

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what went wrong."""

    def show_regions(self, listed: list[Listed], regions: Regions, choose: str = "") -> None:
        """List regions, choose the one of a name, and offer them to be compared."""

    def show_undo(self, steps: int) -> None:
        """Offer to bring back what was removed, where there is something."""

    def show_genes(self, genes: pd.DataFrame | None, saved: pd.DataFrame | None) -> None:
        """Show the genes of the chosen region; `saved` holds those of all."""

    def refresh_soon(self) -> None:
        """Call `refresh` when drawing has rested; asking again starts the wait anew."""

    def refresh_later(self) -> None:
        """Wait no longer: a shape has been begun and is measured when it is closed."""


class RegionsPresenter:
    """Listens to what is drawn, and describes each region."""

    def __init__(self, workspace: Workspace, view: RegionsView) -> None:
        self._workspace, self._view = workspace, view
        self._drawn: list[Drawn] = []
        self._asked: object = None
        self._table: pd.DataFrame | None = None
        self._sizes: WeakKeyDictionary[Shapes, int] = WeakKeyDictionary()  # shapes of each layer, to tell which are new
        self._history = History(workspace.viewer)
        self._keyed: list[Shapes] = []  # layers in which Ctrl+Z is ours
        self._connections = Connections()
        self.pen = Tool(self._take_pen, self._put_pen_down, DRAWING)
        self._pen_on: Shapes | None = None
        self._newest: tuple[Shapes, int] | None = None  # drawn or brought back, to be chosen in the list
        events, state = workspace.viewer.layers.events, workspace.state
        self._connections.add(events.inserted, self._inserted)
        self._connections.add(events.removed, self._removed)
        for layer in shapes_layers(workspace.viewer):
            self._listen(layer)
            self._rim(layer)
        state.map_chosen.connect(self._map_chosen)
        state.events.slide.connect(self.look_again)
        state.events.jobs_ended.connect(self.look_again)
        workspace.when_closing(self._close)
        workspace.background.call(prepare_shapes, then=lambda _: None, failed=workspace.notices.complain)

    # what is drawn

    def draw(self) -> None:
        """Take up the pen, or put it down."""
        self._workspace.tools.toggle(self.pen)

    def _take_pen(self) -> bool:
        """Draw polygons in the slide's layer of regions, which is added where there is none."""
        workspace = self._workspace
        try:
            prediction_map = workspace.require_map()
        except Nh2stError as error:
            self._view.show_sentence(str(error))
            return False
        slide_layer = workspace.map_slide_layer
        name = "regions" if slide_layer is None else f"{slide_layer.name} · regions"
        layer = region_layer(workspace.viewer, prediction_map.slide.get("fingerprint"))
        if layer is None:
            layer = add_region_layer(workspace.viewer, name, prediction_map.slide)
        workspace.viewer.layers.selection.active = self._pen_on = layer
        layer.visible = True
        layer.mode = "add_polygon"
        return True

    def _put_pen_down(self) -> None:
        layer, self._pen_on = self._pen_on, None
        if layer is not None and layer.mode in DRAWING:  # else a tool of napari's is in hand
            rest(layer)

    def _inserted(self, event: Any) -> None:
        if event.value in shapes_layers(self._workspace.viewer):
            self._listen(event.value)
            self._rim(event.value)
        self.look_again()

    def _rim(self, layer: Shapes) -> None:
        """Draw a rim around regions that are drawn here; other shapes keep the look that they were given."""
        if kind_of(layer) is Kind.REGIONS:
            add_rim(self._workspace.viewer, layer)

    def _removed(self, event: Any) -> None:
        if event.value in self._sizes and not self._view.folded:
            self._history.layer_removed(event.value)
            self._view.show_undo(len(self._history))
        self.look_again()

    def _listen(self, layer: Shapes) -> None:
        if layer in self._sizes:  # it was taken away and brought back
            return
        forget_gone(layer, -1)
        self._sizes[layer] = len(layer.data)
        self._connections.add(layer.events.data, self._changed)
        self._connections.add(layer.events.features, self._features_changed)
        layer.bind_key(_UNDO, lambda _: self.undo(), overwrite=True)
        self._keyed.append(layer)
        for emitter in (layer.events.visible, layer.events.scale, layer.events.translate):
            self._connections.add(emitter, self._later)

    def _changed(self, event: Any) -> None:
        """Keep what is about to go, give new shapes a number; measure when the drawing rests."""
        layer, action, indices = event.source, str(event.action), event.data_indices
        if action == "adding":
            self._view.refresh_later()
            return
        if action == "removing" and not self._view.folded:
            self._history.removing(layer, [i for i in indices if 0 <= i < len(layer.data)])
        elif action == "changing":
            self._history.changing(layer, indices)
        elif action in ("added", "changed"):
            gone = forget_gone(layer, indices[0] if indices else -1)
            self._history.changed(gone=gone and action == "changed")
            self._count(layer)
        elif action == "removed":
            self._sizes[layer] = len(layer.data)
            self._view.show_undo(len(self._history))
        self.look_again()

    def _features_changed(self, event: Any) -> None:
        self._count(event.source)  # shapes that were pasted come without another event
        self.look_again()

    def _count(self, layer: Shapes) -> None:
        """Give shapes a number that were not there before."""
        before, self._sizes[layer] = self._sizes.get(layer, 0), len(layer.data)
        if len(layer.data) > before and len(layer.features) == len(layer.data):
            self._newest = layer, len(layer.data) - 1
            name_new(self._workspace.viewer, layer, before)
        self._view.show_undo(len(self._history))

    def delete(self, name: str) -> None:
        """Remove a region; `undo` brings it back."""
        gone: dict[Shapes, list[int]] = {}
        for shape in self._drawn:
            if shape.name == name and shape.layer in self._workspace.viewer.layers:
                gone.setdefault(shape.layer, []).append(shape.index)
        for layer, indices in gone.items():
            layer.remove(indices)
        self.refresh()

    def undo(self) -> None:
        """Bring back what was removed last."""
        self._history.undo()
        self._view.show_undo(len(self._history))
        self.refresh()

    def rename(self, old: str, new: str) -> None:
        """Give a region another name."""
        rename([shape for shape in self._drawn if shape.layer in self._workspace.viewer.layers], old, new)
        self.refresh()

    def open(self, path: str) -> None:
        """Bring the regions of a file onto the slide."""
        RegionsOpening(self._workspace.viewer, Path(path), self._view.show_sentence).start()

    def save(self, path: str) -> None:
        """Write all regions with their genes, as the file's ending says."""
        try:
            prediction_map = self._workspace.require_map()
            if not self._drawn:
                raise Nh2stError(NO_REGIONS)
        except Nh2stError as error:
            self._view.show_sentence(str(error))
            return
        self._workspace.save_folder.saved(path)
        annotations = annotations_of(self._drawn)
        self._workspace.background.call(
            *(write_with_genes, prediction_map, annotations, path),
            then=lambda written: self._view.show_sentence(f"Saved {written}"),
            failed=lambda error: self._view.show_sentence(f"Could not save: {error_words(error)}"),
        )

    def look_again(self) -> None:
        """Read what is drawn within a moment, or when the section is unfolded."""
        if not self._view.folded:
            self._view.refresh_soon()

    def _later(self, event: object = None) -> None:
        self.look_again()

    def _map_chosen(self) -> None:
        self._table = None
        self._view.show_genes(None, None)
        self.look_again()

    # what is measured

    def refresh(self) -> None:
        """Read what is drawn and measure it."""
        workspace, self._asked = self._workspace, None
        try:
            prediction_map = workspace.require_map()
            assert workspace.heatmap is not None
            place = place_on(workspace.heatmap, workspace.map_slide_layer)
            if place is None:
                raise Nh2stError(NO_PLACE)
            self._drawn = drawn_on(workspace.viewer, place)
            if not self._drawn:
                raise Nh2stError(NO_REGIONS)
        except Nh2stError as error:
            self._drawn, self._table = [], None
            self._view.show_sentence(str(error))
            self._view.show_regions([], {})
            self._view.show_genes(None, None)
            return
        asked = self._asked = object()
        regions = by_name(self._drawn)
        workspace.background.call(
            *(measure, workspace.services, prediction_map, self._tissue(prediction_map), regions),
            then=partial(self._measured, asked, prediction_map, regions),
            failed=partial(self._failed, asked),
        )

    def _tissue(self, prediction_map: PredictedMap) -> Request | None:
        """Return what says where the tissue of this map is, None where its slide is not the one chosen."""
        try:
            request = self._workspace.requests.whole_slide()
        except Nh2stError:
            return None
        return request if request.slide.fingerprint == prediction_map.slide.get("fingerprint") else None

    def _measured(self, asked: object, prediction_map: PredictedMap, regions: Regions, measured: Measured) -> None:
        if asked is not self._asked or prediction_map is not self._workspace.map:
            return
        self._table, tissue = measured
        predicted = dict(self._table.groupby("region", sort=False)["n_tiles"].first())
        colours = {shape.name: shape.colour for shape in reversed(self._drawn)}
        mpp = prediction_map.slide.get("mpp")
        sizes = {} if mpp is None else areas(self._drawn, float(mpp))
        listed = []
        for name, outlines in regions.items():
            off = on_slide(outlines, prediction_map).area == 0
            words = predicted_words(predicted.get(name, 0), None if tissue is None else tissue[name])
            listed.append(Listed(name, colours[name], OFF_THE_SLIDE if off else words, sizes.get(name)))
        newest, self._newest = self._newest, None
        choose = next((shape.name for shape in self._drawn if (shape.layer, shape.index) == newest), "")
        self._view.show_sentence("")
        self._view.show_regions(listed, regions, choose)
        self.show_genes()

    def _failed(self, asked: object, error: Exception) -> None:
        if asked is self._asked:
            self._view.show_sentence(f"That did not work: {error_words(error)}")

    def show_genes(self) -> None:
        """Show the genes of the region that is chosen."""
        if self._table is None:
            return
        mine = self._table[self._table["region"] == self._view.region].set_index("gene")
        difference = mine["mean"] - mine["mean_elsewhere"]
        genes = mine[["mean"]].assign(difference=difference, spread=mine["sd"], elsewhere=mine["mean_elsewhere"])
        self._view.show_genes(genes, self._table)

    def _close(self) -> None:
        self._asked = None
        self._connections.close()
        self._history.clear()
        for layer in self._keyed:
            layer.bind_key(_UNDO, None)


def write_with_genes(prediction_map: PredictedMap, annotations: list[Annotation], path: str) -> Path:
    """Write regions with the genes that are predicted in them. Not on the GUI thread."""
    from napari_nh2st.analysis.region_files import write_regions

    return write_regions(prediction_map.prediction(), annotations, path)


def measure(services: Services, prediction_map: PredictedMap, tissue: Request | None, regions: Regions) -> Measured:
    """Describe the genes of each region, and count its tiles of tissue. Not on the GUI thread."""
    from napari_nh2st.analysis.regions import inside, region_table

    table = region_table(prediction_map.prediction(), regions)
    if tissue is None:
        return table, None
    edited, _ = edited_tissue(tissue)
    counts = {}
    for name, outlines in regions.items():
        box = on_slide(outlines, prediction_map)
        tiles = services.lattice_for(
            tissue.slide, prediction_map.card, region=box, pitch=prediction_map.pitch, tissue=edited
        )
        counts[name] = int(inside(tiles.centres, outlines).sum())
    return table, counts

"""The models that have predicted the chosen slide, and those of them that are compared. No Qt."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from psygnal import Signal

from napari_nh2st.analysis.model_comparison import common_genes, distinct_names
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.models.messages import (
    NO_SLIDE,
    NOTHING_YET,
    ONE_TICKED,
    ONLY_ONE,
    common_words,
    model_words,
)
from napari_nh2st.viewer.predict.model_names import folder_name
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap


@dataclass(frozen=True, eq=False)
class ModelMap:
    """One model's map of a slide.

    Attributes
    ----------
    name : str
        Of the model; no other on this slide has it.
    heatmap : HeatmapLayer
    """

    name: str
    heatmap: HeatmapLayer

    @property
    def map(self) -> PredictedMap:
        """The map."""
        return self.heatmap.map

    @property
    def words(self) -> str:
        """The model, its tiles and its genes, in words."""
        return model_words(self.name, self.map.count, len(self.map.card.genes))


class Selection:
    """One map for each model that has predicted the chosen slide, and which of them a person has ticked.

    A model that joins is ticked. Of a model's maps, the one in sight counts, then that with the same detail, then the
    fullest one.
    """

    changed = Signal()
    """Other maps are there, or ticked, or more is predicted in one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._unticked: set[tuple[str, str]] = set()  # (slide, model)
        self.maps: tuple[ModelMap, ...] = ()
        self._known: tuple[object, ...] = ()
        state = workspace.state
        state.map_chosen.connect(self.look)
        state.events.slide.connect(self.look)
        state.events.jobs_ended.connect(self.look)
        workspace.subjects.gone.connect(self.look)
        self.look()

    @property
    def fingerprint(self) -> str:
        """The slide's, empty where none is open."""
        if self._workspace.slide is not None:
            return self._workspace.slide.fingerprint
        return "" if self._workspace.map is None else str(self._workspace.map.slide.get("fingerprint"))

    @property
    def chosen(self) -> tuple[ModelMap, ...]:
        """Those that are ticked."""
        return tuple(each for each in self.maps if self.is_ticked(each))

    @property
    def why_not(self) -> str:
        """Why nothing can be compared; empty where something can."""
        if not self.fingerprint:
            return NO_SLIDE
        if len(self.maps) < 2:
            return ONLY_ONE.format(self.maps[0].name) if self.maps else NOTHING_YET
        return "" if len(self.chosen) > 1 else ONE_TICKED

    @property
    def words(self) -> str:
        """The next thing to do, or how many genes the ticked models have in common."""
        return self.why_not or common_words(len(common_genes([each.map.card for each in self.chosen])))

    def is_ticked(self, model_map: ModelMap) -> bool:
        """Tell whether a map is to be compared."""
        return (self.fingerprint, model_map.name) not in self._unticked

    def tick(self, name: str, on: bool) -> None:
        """Take a model into the comparison, or leave it out."""
        key = self.fingerprint, name
        (self._unticked.discard if on else self._unticked.add)(key)
        self.look()

    def look(self) -> None:
        """See what is predicted now."""
        self.maps = self._find()
        known = tuple((each.map, each.name, each.map.count, self.is_ticked(each)) for each in self.maps)
        if (self.fingerprint, *known) != self._known:
            self._known = self.fingerprint, *known
            self.changed.emit()

    def _find(self) -> tuple[ModelMap, ...]:
        by_model: dict[object, list[HeatmapLayer]] = defaultdict(list)
        for heatmap in self._workspace.maps:
            slide = heatmap.map.slide
            if slide.get("fingerprint") == self.fingerprint and heatmap.map.count:
                by_model[heatmap.map.provenance.get("model_hash") or heatmap.map.card.name].append(heatmap)
        heatmaps = [max(each, key=self._preference) for each in by_model.values()]
        names = _names([heatmap.map for heatmap in heatmaps])
        return tuple(ModelMap(name, heatmap) for name, heatmap in zip(names, heatmaps, strict=True))

    def _preference(self, heatmap: HeatmapLayer) -> tuple[bool, bool, int]:
        shown = self._workspace.map
        return heatmap.map is shown, shown is not None and heatmap.map.fine == shown.fine, heatmap.map.count


def _names(maps: list[PredictedMap]) -> tuple[str, ...]:
    """Name models by their cards, and those whose cards have the same name by their folders."""
    names = [each.card.name for each in maps]
    told = [
        folder_name(each.made_with.model) if names.count(name) > 1 and each.made_with is not None else name
        for each, name in zip(maps, names, strict=True)
    ]
    return distinct_names(told)

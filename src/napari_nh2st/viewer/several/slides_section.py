"""Open slides side by side."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.roles import slide_of
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.side_by_side import SideBySide

_TIP = "Show the open slides beside one another, with the same gene between the same limits; all move together"
_TOO_FEW = "Open a second slide first: there is nothing to lay beside this one"


class SlidesSection(QWidget):
    """A button that stays pressed while slides lie side by side."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._side: SideBySide | None = None
        self._limits = Connections()
        self.button = QPushButton("Slides side by side")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._toggled)
        self.sentence = Sentence()
        layout = column(self, spacing=2)
        layout.addWidget(self.button)
        layout.addWidget(self.sentence)
        # what changes is looked at when it is done changing
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._look)
        events = workspace.viewer.layers.events
        connections = Connections()
        for changed in (events.inserted, events.removed, workspace.viewer.canvas.grid.events.enabled):
            connections.add(changed, self._changed)
        state = workspace.state
        for told in (state.gene_chosen, state.events.drawings, state.events.jobs_ended):
            told.connect(self._match)
        state.style.when_restyled(self._match)
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.when_closing(connections.close)
        workspace.when_closing(self._soon.stop)
        workspace.when_closing(self._leave)
        self._look()

    @property
    def on(self) -> bool:
        """Whether slides lie side by side."""
        return self._side is not None

    def _toggled(self, on: bool) -> None:
        if on and not self.on:
            self._enter()
        elif not on:
            self._leave()

    def _enter(self) -> None:
        workspace = self._workspace
        workspace.maps.open_slides.keep_all_in_sight(True)
        slides = [layer for layer in workspace.viewer.layers if slide_of(layer) is not None]
        self._side = SideBySide(workspace.viewer, [(slide, self._heatmap_on(slide)) for slide in slides])
        self._limits = Connections()
        for heatmap in self._side.heatmaps:
            self._limits.add(heatmap.layer.events.contrast_limits, self._match)  # by hand, in napari's own controls
        self._match()
        said = "What you see is predicted again when you leave this."
        if self._side.left_out:
            names = ", ".join(layer.name for layer in self._side.left_out)
            said = f"Nothing is predicted on {names} yet, so it is not shown. {said}"
        self.sentence.say(said)

    def _heatmap_on(self, slide_layer: Any) -> HeatmapLayer | None:
        """Return the heatmap of a slide that was made as the one that is shown was: same model, same detail."""
        shown, slide = self._workspace.map, slide_of(slide_layer)
        if shown is None:
            return None
        for heatmap in self._workspace.maps:
            of = heatmap.map
            on_it = (of.slide.get("fingerprint"), of.slide.get("mpp")) == (slide.fingerprint, slide.mpp)
            same = of.provenance.get("model_hash") == shown.provenance.get("model_hash") and of.pitch == shown.pitch
            if on_it and heatmap.present and (same or of is shown):
                return heatmap
        return None

    def _leave(self) -> None:
        if self._side is None:
            return
        side, self._side = self._side, None
        self._limits.close()
        side.leave()
        self._workspace.maps.open_slides.keep_all_in_sight(False)
        self.sentence.say("")
        self.button.setChecked(False)
        self._workspace.maps.tell_limits()

    def _changed(self, event: Any = None) -> None:
        self._soon.start()

    def _look(self) -> None:
        """Leave where what is compared is no longer all there, or the grid was left; say what can be done."""
        if self._side is not None and not self._side.complete:
            self._leave()
        enough = sum(slide_of(layer) is not None for layer in self._workspace.viewer.layers) > 1
        self.button.setEnabled(enough or self.on)
        self.button.setToolTip(_TIP if enough else _TOO_FEW)

    def _map_changed(self) -> None:
        if self._side is not None:
            self._side.show()
            self._match()

    def _match(self, *_: Any) -> None:
        if self._side is not None and self._side.match(self._workspace.state.gene, self._workspace.state.style):
            self._workspace.maps.tell_limits()

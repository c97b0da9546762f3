"""Open slides side by side: when they are laid out, kept in step and put back. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.roles import Kind, kind_of, slide_of
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.messages import LAYING_OUT, MODELS_FIRST, TOO_FEW_SLIDES, side_by_side_words
from napari_nh2st.viewer.several.side_by_side import SideBySide

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide


class SlidesView(Protocol):
    """Shows whether slides lie side by side."""

    def show_offer(self, reason_off: str) -> None:
        """Offer to lay slides side by side, or say why not."""

    def show_left(self) -> None:
        """Show that slides do not lie side by side any more."""

    def show_sentence(self, text: str) -> None:
        """Say what to know while slides lie side by side."""

    def look_soon(self) -> None:
        """Call `look` when what is changing is done changing; asking again until then changes nothing."""


class SlidesPresenter:
    """Lays the open slides side by side until it is told to leave, or what it compares is gone."""

    def __init__(self, workspace: Workspace, view: SlidesView) -> None:
        self._workspace, self._view = workspace, view
        self._side: SideBySide | None = None
        self._limits, self._events = Connections(), Connections()
        events = workspace.viewer.layers.events
        for changed in (events.inserted, events.removed, workspace.viewer.canvas.grid.events.enabled):
            self._events.add(changed, self._changed)
        state = workspace.state
        state.gene_chosen.connect(self._match)
        state.events.drawings.connect(self._match)
        state.events.jobs_ended.connect(self._match)
        state.style.when_restyled(self._match)
        state.map_chosen.connect(self._map_chosen)
        workspace.when_closing(self._events.close)
        workspace.when_closing(self.leave)

    @property
    def on(self) -> bool:
        """True if slides lie side by side."""
        return self._side is not None

    # what the person does

    def toggle(self, on: bool) -> None:
        """Lay the slides side by side, or put everything back."""
        if on and not self.on:
            self._enter()
        elif not on:
            self.leave()

    def _enter(self) -> None:
        workspace = self._workspace
        workspace.maps.open_slides.keep_all_in_sight(True)
        slides = [(layer, slide) for layer in workspace.viewer.layers if (slide := slide_of(layer)) is not None]
        pairs = [(layer, self._heatmap_on(slide)) for layer, slide in slides]
        self._view.show_sentence(LAYING_OUT)
        self._side = side = SideBySide(workspace.viewer, pairs, workspace.maps.pace.later, self._laid_out)
        if not side.entering:
            self._laid_out()

    def _laid_out(self) -> None:
        """Keep what is compared in step from now on, and say what to know."""
        if self._side is None or self._side.entering:
            return
        self._side.watch_limits(self._limits, self._limits_changed)
        self._match()
        self._view.show_sentence(side_by_side_words([layer.name for layer in self._side.left_out]))

    def _heatmap_on(self, slide: Slide) -> HeatmapLayer | None:
        """Return the heatmap of a slide that was made as the one that is shown was: same model, same detail."""
        shown = self._workspace.map
        if shown is None:
            return None
        for heatmap in self._workspace.maps:
            of = heatmap.map
            on_it = (of.slide.get("fingerprint"), of.slide.get("mpp")) == (slide.fingerprint, slide.mpp)
            same = of.provenance.get("model_hash") == shown.provenance.get("model_hash") and of.pitch == shown.pitch
            if on_it and heatmap.present and (same or of is shown):
                return heatmap
        return None

    def leave(self) -> None:
        """Put everything back."""
        if self._side is None:
            return
        side, self._side = self._side, None
        self._limits.close()
        side.leave()
        self._workspace.maps.open_slides.keep_all_in_sight(False)
        self._view.show_sentence("")
        self._view.show_left()
        self._workspace.maps.tell_limits()

    # what changes elsewhere

    def look(self) -> None:
        """Leave where what is compared is no longer all there, or the grid was left; say what can be done."""
        if self._side is not None and not self._side.complete:
            self.leave()
        enough = sum(slide_of(layer) is not None for layer in self._workspace.viewer.layers) > 1
        models = any(kind_of(layer) is Kind.COPY for layer in self._workspace.viewer.layers)
        self._view.show_offer("" if self.on else MODELS_FIRST if models else "" if enough else TOO_FEW_SLIDES)

    def _changed(self, event: object = None) -> None:
        self._view.look_soon()

    def _map_chosen(self) -> None:
        if self._side is not None:
            self._side.show()
            self._match()

    def _limits_changed(self, event: object = None) -> None:
        self._match()  # they were changed by hand, in napari's own controls

    def _match(self) -> None:
        if self._side is not None and self._side.match(self._workspace.state.gene, self._workspace.state.style):
            self._workspace.maps.tell_limits()

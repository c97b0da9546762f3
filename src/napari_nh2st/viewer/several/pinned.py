"""Pinned genes as layers: when they are drawn and what is said of them. No Qt."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from napari_nh2st.viewer.layers.pinned import PinnedLayers
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.several.messages import NO_PINNED, pinned_words


class PinnedView(Protocol):
    """Shows whether pinned genes can be drawn as layers."""

    def show_offer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layers; a reason says why none can be drawn, while `on` lets them be taken away all the same."""

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what the layers are."""


class PinnedPresenter:
    """Keeps a layer for each pinned gene while the person wants them.

    Attributes
    ----------
    wanted : bool
    """

    def __init__(self, workspace: Workspace, view: PinnedView) -> None:
        self._workspace, self._view = workspace, view
        self._layers = PinnedLayers(workspace.viewer, workspace.maps.pace.later)
        self.wanted = False
        state = workspace.state
        state.events.pinned.connect(self.update)
        state.map_chosen.connect(self.update)
        state.events.slide.connect(self.update)
        state.events.drawings.connect(self._layers.draw)
        workspace.subjects.gone.connect(self._layers.forget)
        state.events.jobs_ended.connect(partial(self._layers.draw, final=True))

    def toggle(self, on: bool) -> None:
        """Draw the pinned genes as layers, or take the layers away."""
        self.wanted = on
        self.update()

    def update(self) -> None:
        """Bring the layers in step with the pinned genes and the map that is shown."""
        state, prediction_map = self._workspace.state, self._workspace.map
        reason_off = NO_PINNED if not state.pinned else NO_MAP if prediction_map is None else ""
        self._view.show_offer(reason_off, on=not reason_off or self.wanted)
        if not self.wanted:
            self._layers.remove()
            self._view.show_sentence("" if state.pinned else NO_PINNED)
        elif prediction_map is not None:
            self._layers.show(prediction_map, state.pinned, state.style)
            card = prediction_map.card
            absent = [gene for gene in state.pinned if gene not in card.genes]
            self._view.show_sentence(pinned_words(card.name, absent) if state.pinned else NO_PINNED)

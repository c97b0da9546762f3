"""Three ways to begin: a slide, the demo tissue, earlier results. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.engine.store import SUFFIX
from napari_nh2st.formats import format_of
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.roles import map_of

if TYPE_CHECKING:
    from napari_nh2st.viewer.predict.workspace import Workspace

PLUGIN, SAMPLE = "napari-nh2st", "demo-tissue"


class BeginningView(Protocol):
    """Shows the ways to begin, or gives way to the everyday controls."""

    def show_empty(self, on: bool) -> None:
        """Offer the ways to begin while nothing is open."""

    def offer_tour(self, on: bool) -> None:
        """Ask in one line whether somebody would like the tour."""

    def say(self, text: str) -> None:
        """Say why something could not be opened."""


class Beginning:
    """Opens what a person begins with, and knows whether anything is open.

    Parameters
    ----------
    workspace : Workspace
    view : BeginningView
    """

    def __init__(self, workspace: Workspace, view: BeginningView) -> None:
        self._workspace, self._view = workspace, view
        self._state, self._preferences = workspace.state, workspace.preferences
        self._state.events.slide_layer.connect(self._show)
        self._state.events.map.connect(self._show)
        self._state.events.slide.connect(self._remember_folder)
        self._preferences.events.tour_seen.connect(self._show)
        workspace.notices.said.connect(self._say)
        connections = Connections()
        connections.add(workspace.viewer.layers.events.removed, self._show)
        workspace.when_closing(connections.close)
        self._show()

    @property
    def empty(self) -> bool:
        """True if neither a slide nor a prediction is open."""
        if self._state.slide_layer is not None:
            return False
        shown = self._state.map
        return shown is None or not any(map_of(layer) is shown for layer in self._workspace.viewer.layers)

    @property
    def folder(self) -> str:
        """Where the last slide lay; empty where that is not known or gone."""
        folder = self._preferences.slide_folder
        return folder if folder and Path(folder).is_dir() else ""

    def open_slides(self, paths: Sequence[str]) -> None:
        """Open slide files."""
        for path in paths:
            self._open(path)

    def open_demo(self) -> None:
        """Open the demo tissue."""
        self._try(lambda: self._workspace.viewer.open_sample(PLUGIN, SAMPLE))

    def open_results(self, path: str) -> None:
        """Open a prediction as it was saved or exported, a file or a folder, or the only one in a folder."""
        chosen = Path(path)
        if chosen.is_file() or format_of(chosen) is not None:
            self._open(path)
            return
        inner = sorted(chosen.glob(f"*{SUFFIX}"))
        if len(inner) == 1:
            self._open(str(inner[0]))
        elif inner:
            self._view.say(f"{chosen.name} holds {len(inner)} results. Choose one: their names end in {SUFFIX}.")
        else:
            self._view.say(f"{chosen.name} holds no results. Choose a folder whose name ends in {SUFFIX}.")

    def decline_tour(self) -> None:
        """Offer the tour no more."""
        self._preferences.tour_seen = True

    def _open(self, path: str) -> None:
        self._try(lambda: self._workspace.viewer.open(path, plugin=PLUGIN))

    def _try(self, open_it: Callable[[], object]) -> None:
        self._view.say("")
        try:
            open_it()
        except Exception as error:  # napari lets through whatever a reader raises
            self._workspace.notices.complain(error)

    def _say(self, text: str) -> None:
        if self.empty:
            self._view.say(text)

    def _show(self, event: object = None) -> None:
        self._view.show_empty(self.empty)
        self._view.offer_tour(not self._preferences.tour_seen)

    def _remember_folder(self) -> None:
        slide = self._state.slide
        if slide is not None and not slide.synthetic and slide.path.is_file():
            self._preferences.slide_folder = str(slide.path.resolve().parent)

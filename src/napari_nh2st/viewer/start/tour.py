"""The tour: five parts of the dock in the order in which a person needs them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from napari_nh2st.viewer.predict.workspace import Workspace
    from napari_nh2st.viewer.start.beginning import Beginning


@dataclass(frozen=True)
class Step:
    """A stop of the tour: the part that it points at, and the words beside it."""

    part: str
    title: str
    text: str


STEPS = (
    Step("slide", "Your slide", "Drop a file into the window to open another. The model must know its pixel size."),
    Step("model", "The model", "It looks at the tissue and says how strongly each gene is expressed there."),
    Step("predict", "Predict", "Press Predict, then move the view: it predicts what you see. Esc stops it."),
    Step("gene", "A gene", "Type its name. The line below says how well the model predicts it."),
    Step("export", "Export", "Save all genes as a table, or for scanpy. “More…” has figures, and this tour."),
)


class Callouts(Protocol):
    """Points at a part of the dock."""

    def show_step(self, step: Step, number: int, of: int) -> None:
        """Point at a part, with words and the buttons to go on."""

    def hide_steps(self) -> None:
        """Point at nothing any more."""


class Tour:
    """Walks through the steps. It opens the demo tissue where nothing is open, and ends when that is closed.

    Parameters
    ----------
    workspace : Workspace
    beginning : Beginning
        Opens the demo tissue.
    view : Callouts
    """

    def __init__(self, workspace: Workspace, beginning: Beginning, view: Callouts) -> None:
        self._workspace, self._beginning, self._view = workspace, beginning, view
        self._at: int | None = None
        self._waiting = False
        workspace.state.events.slide.connect(self._slide_changed)
        workspace.state.events.slide_layer.connect(self._slide_changed)

    @property
    def step(self) -> Step | None:
        """The step that is shown."""
        return None if self._at is None else STEPS[self._at]

    def begin(self) -> None:
        """Begin at the first step; on the demo tissue where nothing is open."""
        self._workspace.preferences.tour_seen = True
        if self._beginning.empty:
            self._waiting = True
            self._beginning.open_demo()
        else:
            self._go(0)

    def go_on(self) -> None:
        """Go to the next step, or end after the last one."""
        if self._at is not None:
            self._go(self._at + 1)

    def go_back(self) -> None:
        """Go to the step before."""
        if self._at:
            self._go(self._at - 1)

    def end(self) -> None:
        """End the tour, wherever it is."""
        self._waiting = False
        if self._at is not None:
            self._at = None
            self._view.hide_steps()

    def _go(self, index: int) -> None:
        if index >= len(STEPS):
            self.end()
            return
        self._at = index
        self._view.show_step(STEPS[index], index + 1, len(STEPS))

    def _slide_changed(self) -> None:
        if self._beginning.empty:
            self.end()
        elif self._waiting and self._workspace.slide is not None:
            self._waiting = False
            self._go(0)

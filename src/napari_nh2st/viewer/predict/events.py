"""Messages between a job, the controller and the dock: a request, its events, and a status for people."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import Box, IntArray
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.state.predicted_map import PredictedMap, Preview


class State(Enum):
    """State of the last job."""

    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, eq=False)
class Request:
    """A request to predict.

    Attributes
    ----------
    slide : Slide
    model : str
        Name of a bundled model, or a model folder.
    region : Region
    tissue : (h, w) bool array, optional
        The mask as the user edited it, over the whole slide; the slide's own by default.
    pitch : int, optional
        Model pixels; the model's own by default.
    skip_artefacts : bool
        Leave out what artefacts cover.
    device, command : str
        What to compute with, and the command line that does the same.
    follow : bool
        The region is what the window shows: centre first, a quick look where it takes long, then what lies around it.
    name : str
        The slide, as it is called in the window.
    """

    slide: Any
    model: str
    region: Region = field(default_factory=Region)
    tissue: npt.NDArray[np.bool_] | None = None
    pitch: int | None = None
    skip_artefacts: bool = False
    device: str = "auto"
    command: str = ""
    follow: bool = False
    name: str = ""


@dataclass(frozen=True)
class Status:
    """One job as a person sees it.

    Attributes
    ----------
    name : str
        The slide, as it is called in the window.
    done, total, known : int
        Tiles that are there, that were asked for, and that were there before.
    share : float
        How much of the slide's tissue is predicted, 0 to 1.
    follow : bool
        The job is for what the window shows.
    preview : bool
        Part of what is drawn is a quick look that is being refined.
    closed : bool
        The job ended because its slide was closed.
    """

    state: State = State.IDLE
    name: str = ""
    step: str = ""
    done: int = 0
    total: int = 0
    known: int = 0
    share: float = 0.0
    follow: bool = False
    preview: bool = False
    closed: bool = False
    seconds: float = 0.0
    seconds_left: float | None = None
    warnings: tuple[str, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class Begun:
    """Places are known; work on them starts when the map is drawn.

    Attributes
    ----------
    tissue : int
        About how many tiles of the whole slide show tissue.
    view : Box or None
        What is in sight.
    drawn : Event
        Set when the window shows the map.
    """

    map: PredictedMap
    total: int
    known: int
    tissue: int
    warnings: tuple[str, ...]
    view: Box | None = None
    drawn: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, eq=False)
class Previewed:
    """A quick look at what is missing in sight, to be drawn until the real answer is there."""

    preview: Preview


@dataclass(frozen=True)
class Around:
    """All in sight is there; so many places around it come next."""

    total: int


@dataclass(frozen=True, eq=False)
class Arrived:
    """Hidden vectors (k, h) of cells of the map."""

    cells: IntArray
    hidden: npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """The current step, in words."""

    text: str


@dataclass(frozen=True)
class Done:
    """Everything asked for is predicted."""


@dataclass(frozen=True)
class Stopped:
    """The job was cancelled."""


@dataclass(frozen=True)
class Failed:
    """The job could not go on."""

    error: Exception


Event = Step | Begun | Previewed | Around | Arrived | Done | Stopped | Failed
TERMINAL = (Done, Stopped, Failed)

"""The dock's actions as napari's commands: `napari.yaml` names a function for each action, which opens the dock first.

The functions are made from the table in `actions.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import napari

from napari_nh2st.viewer.actions import ACTIONS, Action
from napari_nh2st.viewer.launch import open_dock


def _command(action: Action) -> Callable[[napari.Viewer], None]:
    def command(viewer: napari.Viewer) -> None:
        open_dock(viewer).do(action)

    command.__name__, command.__doc__ = action.name, f"{action.title}."
    # napari reads the annotation to pass the window's own viewer; it cannot look up a name for a function made here
    command.__annotations__ = {"viewer": napari.Viewer, "return": None}
    return command


globals().update({action.name: _command(action) for action in ACTIONS})

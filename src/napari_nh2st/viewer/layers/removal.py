"""Removing a layer without a crash in the graphics driver; docs/development.md tells the story.

napari deletes the OpenGL objects of a removed layer at a moment when Qt has another context current than the canvas's:
Mesa then draws with a shader that is gone, and the process ends. vispy leaves vertex arrays switched on after a draw:
drivers that read an array that no program asks for read from a deleted buffer, which is an access violation on Windows.
Both happen to any layer, with a colour bar or without.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari_nh2st.viewer.kit.behind_proxy import behind_proxy

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SAFE: WeakSet[Any] = WeakSet()  # canvases


def make_removal_safe(viewer: ViewerModel | None) -> None:
    """Make the canvas ready for every removal of a layer in this viewer; once is enough, more does no harm.

    Parameters
    ----------
    viewer : ViewerModel or None
        One without a window, or None, draws nothing and needs nothing.
    """
    viewer = behind_proxy(viewer)
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    if viewer is None or canvas is None or canvas in _SAFE:
        return
    _SAFE.add(canvas)
    native = canvas.native

    def make_current() -> None:
        with contextlib.suppress(RuntimeError):  # the window is gone, and the widget with it
            native.makeCurrent()

    # napari's own callbacks to `removed` and `end_batch` run before those of a plugin: these two come before both
    viewer.layers.events.removing.connect(make_current)
    viewer.layers.events.begin_batch.connect(make_current)
    canvas.events.draw.connect(_switch_arrays_off, position="last")


def make_every_removal_safe() -> None:
    """Make all canvases ready: a reader is not told into which of them it reads."""
    from napari import Viewer

    for viewer in list(Viewer._instances):
        make_removal_safe(viewer)


def _switch_arrays_off(event: Any) -> None:
    """Leave no vertex array switched on after a frame; vispy switches on what a program needs when it draws."""
    from vispy.gloo import gl

    for index in range(gl.glGetParameter(gl.GL_MAX_VERTEX_ATTRIBS)):
        gl.glDisableVertexAttribArray(index)

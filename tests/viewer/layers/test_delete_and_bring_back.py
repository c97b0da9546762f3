"""Nothing that a person does to layers may end the process: layers are deleted and brought back in a real window."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer.layers.removal import make_removal_safe
from viewer.own_process import run

pytestmark = [pytest.mark.viewer, pytest.mark.timeout(900)]
HERE = Path(__file__).parent


def survives(script: str, *words: str) -> None:
    assert run(HERE / script, *words).endswith("survived\n")


def test_every_kind_of_ours_is_deleted_and_brought_back() -> None:
    """Once seen and once hidden: the first removal of what is hidden crashed. Twenty times is the long test below."""
    survives("deleting.py", "2", "2")


@pytest.mark.long
def test_every_kind_of_ours_is_deleted_and_brought_back_twenty_times() -> None:
    survives("deleting.py", "20", "20")


def test_layers_of_every_type_are_deleted_in_every_way() -> None:
    survives("deleting_any.py")


def arrays_left_on(canvas: Any) -> int:
    """Count the vertex arrays that are switched on between two frames."""
    from OpenGL.GL import GL_MAX_VERTEX_ATTRIBS, GL_VERTEX_ATTRIB_ARRAY_ENABLED, glGetInteger, glGetVertexAttribiv

    canvas.update()
    QApplication.processEvents()
    canvas.makeCurrent()
    arrays = range(glGetInteger(GL_MAX_VERTEX_ATTRIBS))
    return sum(int(glGetVertexAttribiv(i, GL_VERTEX_ATTRIB_ARRAY_ENABLED)[0]) for i in arrays)


def test_no_vertex_array_stays_on_for_a_driver_to_read_from_a_deleted_buffer(make_napari_viewer) -> None:
    viewer = make_napari_viewer(show=True)
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.add_image(np.zeros((20, 20)))
    points = viewer.add_points(np.random.default_rng(0).random((9, 2)) * 20)
    assert arrays_left_on(canvas) > 2  # else napari or vispy does it by itself by now, and we need not
    make_removal_safe(viewer)
    assert arrays_left_on(canvas) == 0
    viewer.layers.remove(points)
    assert arrays_left_on(canvas) == 0


def test_the_context_of_the_canvas_is_current_when_layers_go(make_napari_viewer) -> None:
    from qtpy.QtGui import QOpenGLContext

    viewer = make_napari_viewer(show=True)
    canvas = viewer.window._qt_viewer.canvas
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # napari warns of what the proxy will forbid
        make_removal_safe(PublicOnlyProxy(viewer))  # as a dock gets the viewer
    make_removal_safe(viewer)
    finish, current = canvas._scene_canvas.context.finish, []

    def watched() -> None:
        current.append(QOpenGLContext.currentContext() is canvas.native.context())
        finish()

    canvas._scene_canvas.context.finish = watched
    for remove in (viewer.layers.pop, viewer.layers.remove_selected, viewer.layers.clear):
        viewer.add_image(np.zeros((20, 20)))
        QApplication.processEvents()
        remove()
    assert current == [True] * 3


def test_a_viewer_without_a_window_needs_nothing() -> None:
    from napari.components import ViewerModel

    make_removal_safe(None)
    make_removal_safe(ViewerModel())

"""The dock's actions: one table for buttons, menus, the command palette and shortcuts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_nh2st.viewer.actions import ACTIONS, action
from napari_nh2st.viewer.kit.buttons import follow
from viewer.fakes import FakeSlide

ROOT = Path(__file__).parents[2]


def test_manifest_and_page_list_the_same_actions():
    done = subprocess.run([sys.executable, ROOT / "docs/scripts/actions.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shortcuts_are_free_in_napari():
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(keys) for several in default_shortcuts.values() for keys in several}
    taken |= {"Ctrl+Shift+P", "Ctrl+Shift+O", "Ctrl+Shift+S"}  # of its menus
    ours = [each.shortcut for each in ACTIONS if each.shortcut]
    assert len(ours) == len(set(ours))
    assert not taken & set(ours)


@pytest.mark.viewer
def test_menus_palette_and_keys_press_the_docks_buttons(make_napari_viewer, qtbot) -> None:
    from napari._app_model import get_app_model
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    from napari_nh2st.viewer.layers.frames import slide_layer_data
    from napari_nh2st.viewer.predict_dock import PredictWidget

    viewer = make_napari_viewer(show=True)
    data, meta, _ = slide_layer_data(FakeSlide())
    viewer.add_image(data, **meta)
    get_app_model().commands.execute_command("napari-nh2st.whole").result()
    dock = next(each for each in viewer.window.dock_widgets.values() if isinstance(each, PredictWidget))
    assert dock.state.where == "whole"
    for each in ACTIONS:
        owner = dock.folds[each.fold].open() if each.fold else dock
        assert follow(owner, each.path) is not None
        assert each.id in get_app_model().commands

    dock.do(action("export"))
    assert "Nothing is predicted yet" in dock.job.sentence.text()
    window = viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    QTest.keyClick(window, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert dock.state.where == "view"
    assert dock.where.buttons["view"].toolTip().endswith("(Ctrl+Shift+V)")
    assert dock.result.export.toolTip().endswith("Nothing is predicted yet")

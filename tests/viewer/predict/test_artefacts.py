"""Artefacts in a real window: found by a click, shown in their colours, left out of the next prediction."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nh2st.demo.artefacts import plant
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.slides.artefacts import KINDS, LIMIT
from napari_nh2st.viewer.kit.background import threads_at_work
from napari_nh2st.viewer.layers.roles import Kind, kind_of, role_of
from napari_nh2st.viewer.predict.events import State
from support.slides import tiff

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    image = make_section(7, size_mm=(2.4, 2.0)).image
    pixels = plant(image, 1.0, 5, {"blur": 2, "fold": 2, "bubble": 2, "pen": 1}).image
    folder = tmp_path_factory.mktemp("planted")
    return tiff(folder / "planted.tif", pixels, tile=(256, 256), resolution=(1e4, 1e4), resolutionunit=3)


def opened(canvas, path, tiny_model):
    canvas.drop(path)
    until(canvas, lambda: canvas.dock.state.slide is not None)
    canvas.dock.use_model(str(tiny_model))
    return canvas.dock


def until(canvas, holds):
    canvas._qtbot.waitUntil(holds, timeout=100_000)


def click(canvas, button):
    canvas._qtbot.mouseClick(button, LEFT)


def layer_of(canvas):
    return next((layer for layer in canvas.viewer.layers if kind_of(layer) is Kind.ARTEFACTS), None)


def lines(canvas):
    """Return what is written on the canvas."""
    overlays = canvas.viewer.canvas.overlays.items()
    return " ".join(each.text for key, each in overlays if key.startswith("nh2st_legend") and each.visible)


def test_a_person_finds_artefacts_and_leaves_them_out(canvas, planted, tiny_model):
    dock = opened(canvas, planted, tiny_model)
    click(canvas, dock.artefacts.button)
    until(canvas, lambda: layer_of(canvas) is not None)
    layer, found = layer_of(canvas), dock.state.slide.artefacts()
    np.testing.assert_array_equal(layer.data, found.labels)
    height, width = dock.state.slide.shape
    np.testing.assert_allclose(layer.scale, 8.0)
    assert layer.extent.world[1] == pytest.approx((height, width), abs=10)
    assert [colour for _, colour in role_of(layer).legend] == [kind.colour for kind in KINDS]
    assert "pen" in role_of(layer).legend[0][0]
    said = dock.artefacts.task.sentence.text()
    assert said.startswith("Of the tissue: pen ")
    assert "out of focus" in said
    if os.environ.get("NH2ST_PICTURES"):
        canvas.rest(1)
        canvas.viewer.window._qt_window.grab().save(f"{os.environ['NH2ST_PICTURES']}/artefacts.png")

    assert "pen" in lines(canvas)
    layer.visible = False
    assert "pen" not in lines(canvas)
    click(canvas, dock.artefacts.button)
    assert layer.visible

    click(canvas, dock.where.buttons["whole"])
    click(canvas, dock.job.button)
    until(canvas, lambda: dock.controller.status.state is State.DONE)
    every = dock.controller.map
    click(canvas, dock.artefacts.leave_out)
    assert "--skip-artefacts" in dock.workspace.requests.chosen().command
    click(canvas, dock.job.button)
    until(canvas, lambda: dock.controller.map is not every and dock.controller.status.state is State.DONE)
    clean = dock.controller.map
    tiles, patch = clean.tiles(), clean.card.patch * clean.scale
    covered = found.shares_at(tiles.centres, patch).sum(axis=1)
    assert 0 < clean.done.sum() < every.done.sum()
    assert covered[clean.done].max() <= LIMIT
    assert (every.done & ~clean.done)[covered > LIMIT].sum() == every.done.sum() - clean.done.sum()
    if os.environ.get("NH2ST_PICTURES"):
        canvas.rest(1)
        canvas.viewer.window._qt_window.grab().save(f"{os.environ['NH2ST_PICTURES']}/artefacts-left-out.png")


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_looking_for_artefacts_can_be_stopped_at_any_moment(canvas, planted, tiny_model, end, monkeypatch):
    dock = opened(canvas, planted, tiny_model)
    slide, begun, gate = dock.state.slide, threading.Event(), threading.Event()
    slide.tissue()
    read = slide.read

    def slow(*where):
        begun.set()
        gate.wait(20)
        return read(*where)

    monkeypatch.setattr(slide, "read", slow)
    click(canvas, dock.artefacts.button)
    until(canvas, begun.is_set)
    if end == "cancel":
        click(canvas, dock.artefacts.task.cancel_button)
        gate.set()
        until(canvas, lambda: not dock.artefacts.task.running and dock.artefacts.button.isEnabled())
        assert slide.artefact_shares is None
    else:
        canvas.viewer.window.remove_dock_widget("all")
        gate.set()
    until(canvas, lambda: not threads_at_work())
    assert layer_of(canvas) is None


def test_without_a_pixel_size_the_button_says_what_is_missing(canvas, tmp_path):
    canvas.drop(tiff(tmp_path / "s.tif", make_section(7, size_mm=(0.6, 0.6)).image))
    until(canvas, lambda: canvas.dock.state.slide is not None)
    button = canvas.dock.artefacts.button
    assert not button.isEnabled()
    assert "how large its pixels are" in button.toolTip()

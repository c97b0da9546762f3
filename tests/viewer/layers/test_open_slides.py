"""Several open slides; without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nh2st.viewer.layers.open_slides import OpenSlides


def test_a_slide_that_fits_still_fits_when_the_canvas_gets_narrower_until_a_person_moves_the_view() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (700, 700)
    slide = viewer.add_image(np.zeros((400, 400, 3), np.uint8), rgb=True)
    viewer.fit_to_view()
    slides = OpenSlides(viewer)
    viewer.canvas.events.size.connect(lambda event: slides.canvas_resized())
    viewer.canvas.size = (700, 600)  # napari makes room for its lists while the slide is read
    slides.choose(slide)
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * 600 / 400, rel=0.01)
    viewer.canvas.size = (700, 500)
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * 500 / 400, rel=0.01)
    viewer.scene.camera.zoom = 3.0
    viewer.canvas.size = (700, 300)
    assert viewer.scene.camera.zoom == 3.0
    viewer.fit_to_view()
    viewer.scene.camera.center = (0.0, 100.0, 100.0)
    before = viewer.scene.camera.zoom
    viewer.canvas.size = (700, 200)
    assert viewer.scene.camera.zoom == before


def test_a_slide_that_nobody_looked_into_fits_whenever_it_is_chosen_again() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (700, 700)
    first, second = (viewer.add_image(np.zeros((400, 400, 3), np.uint8), rgb=True) for _ in range(2))
    viewer.fit_to_view()
    slides = OpenSlides(viewer)
    slides.choose(first)
    slides.choose(second)
    viewer.canvas.size = (700, 500)  # nobody has told of it yet
    slides.canvas_resized()
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * 500 / 400, rel=0.01)
    slides.choose(first)
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * 500 / 400, rel=0.01)
    viewer.scene.camera.zoom = 3.0
    slides.choose(second)
    slides.choose(first)
    assert viewer.scene.camera.zoom == 3.0


def test_a_placeholder_that_turns_out_larger_still_fits() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (700, 700)
    slides = OpenSlides(viewer)
    slides.choose(viewer.add_image(np.zeros((400, 400, 3), np.uint8), rgb=True))
    opening = viewer.add_image(np.zeros((200, 200, 3), np.uint8), rgb=True)
    slides.choose(opening)
    opening.data = np.zeros((500, 700, 3), np.uint8)
    slides.choose(opening)  # it is open now
    assert viewer.scene.camera.zoom == pytest.approx(0.95, rel=0.01)
    assert tuple(viewer.scene.camera.center)[-2:] == pytest.approx((249.5, 349.5))
    viewer.scene.camera.zoom = 3.0
    slides.choose(opening)
    assert viewer.scene.camera.zoom == 3.0

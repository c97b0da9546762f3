"""The scale bar on the canvas, without a window."""

from __future__ import annotations

import pytest

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.scale_bar import NO_SCALE, ScaleBar
from napari_nh2st.viewer.state.preferences import Preferences
from viewer.fakes import FakeSlide
from viewer.without_window import Desk


class Bench(Desk):
    """A desk with a scale bar."""

    def __init__(self, slide: FakeSlide, *, by_hand: bool = False) -> None:
        super().__init__(slide)
        self.overlay = self.viewer.canvas.overlays.scale_bar
        self.overlay.visible = by_hand
        self.preferences, self.connections = Preferences(), Connections()
        self.bar = ScaleBar(self.viewer, self.state, self.preferences, self.connections)


def test_it_stands_where_the_pixel_size_is_known_and_of_all_slides_in_a_grid() -> None:
    bench = Bench(FakeSlide(mpp=None))
    assert not bench.overlay.visible
    bench.presenter.give_mpp(0.25)
    assert bench.overlay.visible, "not right after Set"
    bench.viewer.canvas.grid.enabled = True
    assert bench.overlay.visible, "of slides side by side"
    unknown = FakeSlide(mpp=None)
    unknown.fingerprint = "another"
    data, meta, _ = slide_layer_data(unknown)
    layer = bench.viewer.add_image(data, **meta)
    assert not bench.overlay.visible, "µm of a slide of unknown pixel size"
    bench.viewer.layers.remove(layer)
    bench.viewer.canvas.grid.enabled = False
    assert bench.overlay.visible
    bench.viewer.layers.clear()
    bench.presenter.choose_slide(None)
    assert not bench.overlay.visible


@pytest.mark.parametrize("by_hand", [False, True])
def test_no_one_is_told_micrometres_of_a_slide_of_unknown_pixel_size(by_hand: bool) -> None:
    bench = Bench(FakeSlide(mpp=None), by_hand=by_hand)
    bench.overlay.visible = True  # View > Scale Bar
    assert not bench.overlay.visible
    assert bench.viewer.status == NO_SCALE
    bench.presenter.give_mpp(0.25)
    assert bench.overlay.visible


def test_a_user_who_switches_it_off_keeps_it_off() -> None:
    bench = Bench(FakeSlide())
    assert bench.overlay.visible
    bench.overlay.visible = False
    assert not bench.preferences.scale_bar
    other = FakeSlide()
    other.fingerprint = "another"
    bench.open(other)
    assert not bench.overlay.visible
    bench.overlay.visible = True
    assert bench.preferences.scale_bar


def test_a_closed_dock_puts_back_what_napari_had() -> None:
    bench = Bench(FakeSlide())
    before = repr(type(bench.overlay)())
    assert repr(bench.overlay) != before
    bench.connections.close()
    bench.bar.close()
    assert repr(bench.overlay) == before
    assert bench.preferences.scale_bar


def test_a_bar_of_the_user_s_own_keeps_its_looks() -> None:
    bench = Bench(FakeSlide(mpp=None), by_hand=True)
    assert not bench.overlay.visible, "micrometres of a slide that has none"
    bench.presenter.give_mpp(0.25)
    assert bench.overlay.visible
    bench.viewer.canvas.grid.enabled = True
    assert bench.overlay.visible
    bench.bar.close()
    assert bench.overlay.visible
    assert bench.overlay.box_color is None

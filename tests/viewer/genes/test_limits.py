"""The limits of a gene's colours, and the style of heatmaps; without a window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.genes.limits import LOCKED, NOT_BY_HAND, PRESS_RESET, TOO_LARGE, GeneLimits
from napari_nh2st.viewer.layers import heatmap as heatmap_module
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.style import Style
from viewer.without_window import Desk


class FakeLimitsView:
    def __init__(self) -> None:
        self.style: dict[str, object] = {}
        self.percentiles_off = self.reset_off = self.said = ""

    def show_style(self, style: Style) -> None:
        names = ("colormap", "percentiles", "locked", "smooth")
        self.style = {name: getattr(style, name) for name in names}

    def turn_percentiles(self, reason_off: str) -> None:
        self.percentiles_off = reason_off

    def turn_reset(self, reason_off: str) -> None:
        self.reset_off = reason_off

    def say_limits(self, text: str) -> None:
        self.said = text


class Limits(Desk):
    def __init__(self, preferences: Preferences | None = None) -> None:
        super().__init__()
        if preferences is not None:
            self.workspace.preferences = preferences
        self.view = FakeLimitsView()
        self.limits = GeneLimits(self.workspace, self.view)

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.heatmap.layer.contrast_limits
        return low, high


@pytest.fixture
def desk() -> Limits:
    return Limits()


def test_limits_by_hand_come_back_with_their_gene_until_reset(desk: Limits) -> None:
    assert desk.view.said == ""
    desk.predict()
    fitted = desk.ends
    assert desk.view.said == f"{fitted[0]:.2f} to {fitted[1]:.2f} ln(1 + counts per 10,000)"
    assert desk.view.reset_off == NOT_BY_HAND
    desk.heatmap.layer.contrast_limits = (0.2, 0.4)  # as napari's slider does
    beyond, ends = desk.view.said.split("\n")
    assert beyond.endswith(f"% of the tiles lie beyond the limits set by hand: {PRESS_RESET}.")
    assert ends == "0.20 to 0.40 ln(1 + counts per 10,000), set by hand"
    assert desk.view.reset_off == ""
    desk.state.choose_gene("KRT8")
    assert desk.view.reset_off == NOT_BY_HAND
    desk.state.choose_gene("ERBB2")
    assert desk.ends == (0.2, 0.4)
    desk.limits.reset()
    assert desk.ends == pytest.approx(fitted)
    assert desk.view.reset_off == NOT_BY_HAND


def test_locked_limits_stay_with_every_gene(desk: Limits) -> None:
    desk.predict()
    fitted = desk.ends
    desk.limits.lock(True)
    assert desk.view.percentiles_off == LOCKED
    desk.state.choose_gene("CD3E")
    assert desk.ends == pytest.approx(fitted)
    desk.limits.lock(False)
    assert desk.view.percentiles_off == ""
    assert desk.ends != pytest.approx(fitted)


def test_other_percentiles_take_the_place_of_limits_by_hand(desk: Limits) -> None:
    desk.predict()
    desk.heatmap.layer.contrast_limits = (0.2, 0.4)
    desk.limits.choose_percentiles("lowest to highest")
    values = desk.heatmap.values
    assert desk.ends == pytest.approx((np.nanmin(values), np.nanmax(values)))


def test_a_gene_that_is_the_same_everywhere_says_so(desk: Limits) -> None:
    desk.predict()
    desk.state.choose_gene("FLAT")
    assert "\nFLAT is the same everywhere: 1.00" in desk.view.said


def test_smooth_is_for_the_eye_alone(desk: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.predict()
    desk.limits.smooth(True)
    assert desk.heatmap.layer.data.shape == (4 * desk.map.rows, 4 * desk.map.columns)
    np.testing.assert_array_equal(desk.heatmap.values, desk.map.values("ERBB2"))
    desk.state.choose_gene("KRT8")
    np.testing.assert_array_equal(desk.heatmap.values, desk.map.values("KRT8"))
    monkeypatch.setattr(heatmap_module, "SMOOTHED", 5)
    desk.limits.smooth(False)
    desk.limits.smooth(True)
    assert desk.heatmap.layer.data.shape == (desk.map.rows, desk.map.columns)
    assert desk.view.said.endswith(TOO_LARGE)


def test_what_a_person_chose_is_remembered_and_what_a_program_set_is_not(desk: Limits) -> None:
    desk.limits.choose_percentiles("5 to 95 %")
    desk.state.style.colormap = "magma"
    desk.limits.lock(True)
    assert desk.view.style == {"colormap": "magma", "percentiles": (5, 95), "locked": True, "smooth": False}
    again = Limits(desk.workspace.preferences)
    assert again.view.style == {"colormap": "viridis", "percentiles": (5, 95), "locked": True, "smooth": False}
    again.limits.choose_colormap("inferno")
    assert again.state.style.colormap == again.workspace.preferences.colormap == "inferno"


def test_napari_s_preferences_change_one_thing_and_leave_the_others(desk: Limits) -> None:
    desk.state.style.colormap = "magma"
    desk.workspace.preferences.smooth = True
    assert desk.view.style == {"colormap": "magma", "percentiles": (1, 99), "locked": False, "smooth": True}

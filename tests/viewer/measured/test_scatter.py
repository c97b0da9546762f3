"""Measured against predicted values: the dots, and the line where both are equal."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.kit.colours import DEEP_BLUE
from napari_nh2st.viewer.measured.scatter import Scatter

pytestmark = pytest.mark.viewer


@pytest.fixture
def scatter(qtbot) -> Scatter:
    made = Scatter()
    qtbot.addWidget(made)
    made.resize(320, 240)
    return made


def drawn(scatter: Scatter, qtbot, measured: list[float], predicted: list[float], *, same_unit: bool = True):
    """Return the axes with these values on them."""
    scatter.show_values(measured, predicted, "KRT8: PCC 0.90", "counts", same_unit=same_unit)
    qtbot.waitUntil(lambda: scatter.canvas is not None and not scatter._stale)
    return scatter.canvas.figure.axes[0]


def test_dots_lie_within_the_frame_and_words_say_what_they_are(scatter, qtbot) -> None:
    axes = drawn(scatter, qtbot, [0, 1, 4], [1, 1.5, 3])
    line, dots = axes.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), [[1, 1], [3, 3]])  # where both values occur
    np.testing.assert_array_equal(dots.get_xydata(), [[0, 1], [1, 1.5], [4, 3]])
    assert dots.get_color() == DEEP_BLUE  # on the light ground of a widget without a theme
    assert axes.get_xlim()[0] < 0 < 4 < axes.get_xlim()[1]
    said = [text.get_text() for text in scatter.canvas.figure.texts]
    assert said == ["KRT8: PCC 0.90", "3.0", "1.0", "0.0", "4.0", "measured, counts", "predicted, same unit"]


def test_other_units_have_no_line_and_no_values_no_room(scatter, qtbot) -> None:
    axes = drawn(scatter, qtbot, [2, 2], [7, 7], same_unit=False)
    assert len(axes.get_lines()) == 1
    assert axes.get_xlim()[0] < 1.5 < 2.5 < axes.get_xlim()[1]  # a value that does not vary lies in the middle
    scatter.show_values([], [], "", "", same_unit=True)
    assert scatter.isHidden()

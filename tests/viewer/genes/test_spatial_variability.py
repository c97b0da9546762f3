"""How genes vary in space, measured in the background: once a map, and never a stale answer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.genes.spatial_variability import MEASURING, SpatialVariability
from viewer.fakes import FakeSlide
from viewer.genes.test_hover import made_map
from viewer.without_window import Now


class Measured:
    def __init__(self) -> None:
        self.background, self.said, self.ends = Now(), [], 0
        self.variability = SpatialVariability(self.background)
        self.variability.said.connect(self.said.append)
        self.variability.measured.connect(self._ended)

    def _ended(self) -> None:
        self.ends += 1


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_every_gene_gets_its_figure(measured: Measured) -> None:
    prediction_map = made_map(FakeSlide())
    measured.variability.measure(prediction_map)
    figures = measured.variability.figures
    assert figures is not None
    assert min(figures["ERBB2"], figures["KRT8"]) > 0.4  # x and y
    assert np.isnan(figures["FLAT"])
    assert (measured.ends, measured.said[-1]) == (1, "")
    assert MEASURING in measured.said


def test_a_map_is_known_until_it_grows(measured: Measured) -> None:
    prediction_map = made_map(FakeSlide(), done=20)
    assert not measured.variability.knows(prediction_map)
    measured.background.hold = True
    measured.variability.measure(prediction_map)
    assert measured.variability.knows(prediction_map)
    measured.background.release()
    assert measured.variability.knows(prediction_map)
    prediction_map.add(np.array([20]), np.zeros((1, 4), np.float16))
    assert not measured.variability.knows(prediction_map)
    figures = measured.variability.figures
    measured.variability.turn_to(None)
    assert measured.variability.figures is None
    measured.variability.turn_to(prediction_map)
    assert measured.variability.figures is figures is not None


def test_what_was_stopped_tells_nothing(measured: Measured) -> None:
    measured.background.hold = True
    measured.variability.measure(made_map(FakeSlide()))
    measured.variability.stop()
    measured.background.release()
    assert (measured.ends, measured.variability.figures, measured.said[-1]) == (0, None, "")


def test_why_it_could_not_be_measured_is_said(measured: Measured) -> None:
    measured.variability.measure(made_map(FakeSlide(), done=1))
    assert measured.said[-1].startswith("Not measured: too little is predicted")
    assert measured.ends == 0

"""Labels of the places between spots, on the arrays that there are."""

import numpy as np
import pytest

from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF
from napari_nh2st.training.sections.place_labels import AT_SPOT, PlaceLabels

UM = 100.0


def visium(rows: int = 16, columns: int = 15) -> np.ndarray:
    """Spots of a hexagonal array, (n, 2) in micrometres: each row half a pitch beside the one before."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([(column + row % 2 / 2) * UM, row * UM * 0.75**0.5], axis=1)


def square(side: int = 9) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(side) * UM] * 2), axis=-1).reshape(-1, 2)


def turned(spots: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return spots @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]


def nine(spots: np.ndarray, pitch: float = UM) -> np.ndarray:
    return spots[:, None] + pitch * NEIGHBOUR_STEPS


def inner(spots: np.ndarray, by: float) -> np.ndarray:
    middle = spots - spots.mean(axis=0)
    return np.flatnonzero((np.abs(middle) < np.abs(middle).max(axis=0) - by).all(axis=1))


def plane(places: np.ndarray) -> np.ndarray:
    """Two genes that change evenly over the section."""
    return np.stack([places @ [0.01, 0.02], 5 - places @ [0.03, -0.01]], axis=-1).astype(np.float32)


@pytest.mark.parametrize("degrees", [0, 7, 30, 90])
@pytest.mark.parametrize("pitch", [UM, 2 * UM])
def test_on_visium_every_neighbour_place_has_the_label_of_what_lies_around(degrees, pitch):
    """Only two of eight places have a spot; linear interpolation gives back a plane at the others."""
    spots = turned(visium(), degrees)
    centres = nine(spots, pitch)
    labels = PlaceLabels.of(centres)
    some = inner(turned(spots, -degrees), 2 * pitch)
    assert len(some) > 20
    none = np.zeros(len(spots), dtype=bool)
    assert labels.known(some, none).all()
    found = labels.labels(some, plane(spots))
    exact = labels.weights[some, :, 0] == 1
    assert exact.mean(axis=0)[SELF] == 1
    assert pitch != UM or degrees % 90 or (exact.sum(axis=1) == 3).all()
    np.testing.assert_allclose(found[~exact], plane(centres[some])[~exact], atol=1e-4)
    away = np.abs(found[exact] - plane(centres[some])[exact]).max()
    assert away <= 0.03 * AT_SPOT * 2 * UM


def test_a_square_array_keeps_its_measured_labels():
    """To the last bit, also where the spots do not lie quite on their array."""
    rng = np.random.default_rng(0)
    spots, values = square(), rng.normal(size=(81, 5)).astype(np.float32)
    number = np.full((11, 11), -1)
    number[1:-1, 1:-1] = np.arange(81).reshape(9, 9)
    row, column = np.divmod(np.arange(81), 9)
    expected = np.stack([number[row + 1 + dy, column + 1 + dx] for dx, dy in NEIGHBOUR_STEPS], axis=1)
    for jitter in (0, 0.08 * UM):
        at = spots + rng.uniform(-jitter, jitter, spots.shape)
        labels = PlaceLabels.of(nine(at))
        known = labels.known(np.arange(81), np.zeros(81, dtype=bool))
        # With jitter, a place beyond the rim may lie a little inside the net of triangles.
        assert known[expected >= 0].all()
        found = labels.labels(np.arange(81), values)
        np.testing.assert_array_equal(found[expected >= 0], values[expected[expected >= 0]])
        assert jitter or not known[expected < 0].any()


def test_nothing_is_extrapolated_or_carried_over_a_gap():
    spots = visium()
    hole = np.linalg.norm(spots - [750, 650], axis=1) < 2.5 * UM
    rest = spots[~hole]
    labels = PlaceLabels.of(nine(rest))
    known = labels.known(np.arange(len(rest)), np.zeros(len(rest), dtype=bool))
    places = nine(rest)
    outside = (places < rest.min(axis=0) - 1).any(axis=-1) | (places > rest.max(axis=0) + 1).any(axis=-1)
    assert not known[outside].any()
    assert not known[np.linalg.norm(places - [750, 650], axis=-1) < UM].any()
    assert (labels.labels(np.arange(len(rest)), np.ones((len(rest), 1), np.float32))[~known] == 0).all()


def test_held_out_spots_lend_nothing_to_their_neighbours():
    spots = visium()
    labels, values = PlaceLabels.of(nine(spots)), plane(spots)
    hidden = np.linalg.norm(spots - [750, 650], axis=1) < 2 * UM
    free = np.flatnonzero(~hidden)
    known = labels.known(free, hidden)
    before = labels.labels(free, values)
    values[hidden] = 1e6
    after = labels.labels(free, values)
    np.testing.assert_array_equal(before[known], after[known])
    nobody = np.zeros(len(spots), dtype=bool)
    assert (labels.known(free, nobody) & ~known).sum() == (before != after).any(axis=-1).sum() > 0


def test_taking_some_spots_is_as_if_the_others_were_never_measured():
    spots, some = visium(), np.flatnonzero(visium()[:, 0] < 7 * UM)[::-1]
    values = plane(spots)
    whole, part = PlaceLabels.of(nine(spots)), PlaceLabels.of(nine(spots)).part(some)
    hidden = ~np.isin(np.arange(len(spots)), some)
    none = np.zeros(len(some), dtype=bool)
    known = part.known(np.arange(len(some)), none)
    np.testing.assert_array_equal(known, whole.known(some, hidden))
    theirs = whole.labels(some, values)
    np.testing.assert_array_equal(part.labels(np.arange(len(some)), values[some])[known], theirs[known])


@pytest.mark.parametrize(
    "spots", [np.zeros((1, 2)), np.array([[0.0, 0], [100, 0]]), np.arange(8.0)[:, None] * [[100, 0]]]
)
def test_too_few_spots_for_a_net_have_what_lies_on_them(spots):
    labels = PlaceLabels.of(nine(spots))
    assert labels.known(np.arange(len(spots)), np.zeros(len(spots), dtype=bool))[:, SELF].all()
    assert (labels.weights[..., 1:] == 0).all()

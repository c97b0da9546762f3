"""Spots snapped to the tissue: back to where they were, the same way every time, or a line that says why not."""

import numpy as np
import pytest

from napari_nh2st.demo.tissue import make_section
from napari_nh2st.errors import SampleError
from napari_nh2st.expression.transform import Transform
from napari_nh2st.slides import TissueMask
from napari_nh2st.training.sections.snap import snap

PITCH, UM = 100.0, 2.0  # level-0 pixels between spots, and um a pixel: spots of Spatial Transcriptomics, 100 um wide
RADIUS = 50 / UM
SIDE = 3600


def tissue(shape="bean"):
    mask = np.zeros((360, 360), dtype=bool)
    y, x = np.mgrid[0:360, 0:360] - 180
    if shape == "bean":  # no turn of it is like another
        angle = np.arctan2(y, x)
        mask |= np.hypot(x, y) < 110 + 25 * np.cos(angle - 0.4) + 20 * np.cos(2 * angle) + 14 * np.sin(3 * angle)
    elif shape == "band":  # slanted, over the whole slide
        mask |= np.abs(y + 0.08 * x) < 70
    elif shape == "everywhere":
        mask[:] = True
    return TissueMask.from_array(mask, (SIDE, SIDE))


def spots(on, pitch=PITCH):
    at = np.arange(20, SIDE, pitch)
    places = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return places[on.fraction_at(places, pitch / 2) > 0.5]


def moved(places, degrees=0.0, x=0.0, y=0.0, scale=1.0, mirror=False):
    """A placement that is wrong by so much, about the middle of the spots."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    middle = places.mean(axis=0)
    return Transform.of(np.column_stack([matrix, middle - matrix @ middle + (x, y)]))


def off(found, places):
    return np.linalg.norm(found.transform.place(places) - places, axis=1)


@pytest.mark.parametrize(("x", "y"), [(300, 0), (0, -300), (212, 212), (-212, 212)])
def test_a_shift_of_300_um_comes_back_to_within_a_spots_radius(x, y):
    ground = tissue()
    own = spots(ground)
    found = snap(own, moved(own, x=x / UM, y=y / UM), ground, PITCH)
    assert off(found, own).max() < RADIUS
    assert found.before < found.after
    assert found.after > 0.9
    assert found.moved * UM == pytest.approx(300, abs=50)


@pytest.mark.parametrize(
    "wrong",
    [
        {"degrees": 90, "x": 80},
        {"degrees": 7, "mirror": True},
        {"degrees": -6, "x": 120, "scale": 1.05},
        {"degrees": 180, "scale": 0.93},
    ],
)
def test_turns_mirrors_and_scales_are_found(wrong):
    ground = tissue()
    own = spots(ground)
    assert off(snap(own, moved(own, **wrong), ground, PITCH), own).max() < RADIUS


@pytest.mark.parametrize("shift", [(300, 0), (-212, 212)])
def test_on_demo_tissue(shift):
    section = make_section(83)
    pitch = 200.0
    height, width = section.shape
    at = (np.stack(np.meshgrid(np.arange(0, width, 8), np.arange(0, height, 8)), axis=-1) + 4).reshape(-1, 2)
    inside = section.tissue_fraction(at) > 0.5
    ground = TissueMask.from_array(np.reshape(inside, (-(-height // 8), -(-width // 8))), section.shape)
    own = section.spots(pitch)
    found = snap(own, moved(own, x=shift[0], y=shift[1]), ground, pitch)
    assert off(found, own).max() < 50


def test_the_same_spots_come_to_lie_at_the_same_place():
    ground = tissue()
    own = spots(ground)
    first, second = (snap(own, moved(own, degrees=4, x=90), ground, PITCH) for _ in range(2))
    assert first == second


def test_spots_in_pixels_of_another_size_are_snapped_as_well():
    ground = tissue()
    own = spots(ground) / 8
    found = snap(own, Transform.scaled(8.0, 150, -90), ground, PITCH / 8)
    assert np.linalg.norm(found.transform.place(own) - 8 * own, axis=1).max() < RADIUS


def test_an_array_that_ends_within_the_tissue_is_not_drawn_to_its_middle():
    ground = tissue()
    own = spots(ground)
    own = own[own[:, 1] < 2000]  # below, the array ends and the tissue goes on
    found = snap(own, moved(own, x=150), ground, PITCH)
    assert off(found, own).max() < 2 * RADIUS


@pytest.mark.parametrize(
    ("ground", "wrong", "some", "said"),
    [
        ("bean", {}, slice(12), "12 spots have no outline to go by: mark landmarks instead"),
        ("everywhere", {}, slice(None), "the spots fill their whole array"),
        ("band", {}, "inner", "leaves open where along its edge"),
        ("none", {}, slice(None), "shows no tissue"),
    ],
)
def test_what_leaves_it_open_is_refused_in_one_line(ground, wrong, some, said):
    there = tissue(ground)
    own = spots(tissue("bean") if ground == "none" else there)
    own = own[np.abs(own[:, 0] - SIDE / 2) < 1000] if some == "inner" else own[some]
    with pytest.raises(SampleError, match=said):
        snap(own, moved(own, **wrong), there, PITCH)


def test_spots_of_other_tissue_are_refused():
    rng = np.random.default_rng(0)
    own = spots(tissue("everywhere"))
    with pytest.raises(SampleError, match="mark landmarks"):
        snap(own[rng.choice(len(own), 60, replace=False)], Transform.scaled(1, 0, 0), tissue("bean"), PITCH)

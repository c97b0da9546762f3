import numpy as np
import pytest

from napari_nh2st.geometry import SELF, Box, TileSet

SCALE = 1.37  # not a whole number, on purpose


def test_lattice_is_anchored_at_the_slide_not_at_the_box():
    whole = TileSet.lattice(Box(0, 0, 5000, 4000), scale=SCALE, pitch=144, patch=112)
    part = TileSet.lattice(Box(1111.1, 777.7, 3000, 2500), scale=SCALE, pitch=144, patch=112)
    by_grid = {tuple(g): c for g, c in zip(whole.grid, whole.centres, strict=True)}
    assert len(part) > 20
    for index, centre in zip(part.grid, part.centres, strict=True):
        assert np.array_equal(by_grid[tuple(index)], centre)


def test_a_tile_s_patch_corner_lies_at_its_index_times_the_pitch():
    tiles = TileSet.lattice(Box(0, 0, 3000, 3000), scale=SCALE, pitch=144, patch=112)
    corner = tiles.centres / SCALE - 112 / 2
    assert np.allclose(corner, tiles.grid[:, ::-1] * 144)


def test_adjacent_boxes_share_no_tile_and_miss_none():
    def index(box):
        return {tuple(g) for g in TileSet.lattice(box, scale=SCALE, pitch=112, patch=112).grid}

    left, right = index(Box(0, 0, 1234.5, 2000)), index(Box(1234.5, 0, 3000, 2000))
    assert not left & right
    assert left | right == index(Box(0, 0, 3000, 2000))


def test_a_box_without_a_centre_gives_no_tile():
    assert len(TileSet.lattice(Box(0, 0, 10, 10), scale=1, pitch=112, patch=112)) == 0
    assert len(TileSet.lattice(Box(-500, -500, -10, -10), scale=1, pitch=112, patch=112)) == 0


def test_neighbours_are_places_in_the_image_row_by_row():
    places = TileSet.at([[1000.0, 2000.0]], scale=2.0, pitch=112)
    near = places.neighbours(100)[0]
    assert near.shape == (9, 2)
    assert near[SELF].tolist() == [1000, 2000]
    assert near[0].tolist() == [800, 1800]
    assert near[5].tolist() == [1200, 2000]
    assert near[7].tolist() == [1000, 2200]


def test_boxes_are_half_open():
    box = Box.from_xywh(10, 20, 5, 5)
    inside = box.contains(np.array([[10, 20], [15, 22], [14.9, 24.9], [12, 25.0]]))
    assert inside.tolist() == [True, False, True, False]
    assert box.intersect(Box(100, 100, 110, 110)).area == 0


@pytest.mark.parametrize("corners", [(5, 0, 1, 1), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)])
def test_what_is_not_a_box_is_refused(corners):
    with pytest.raises(ValueError, match="not a box"):
        Box(*corners)


def test_places_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        TileSet.at([[0, np.nan]], scale=1, pitch=112)
    with pytest.raises(ValueError, match="positive"):
        TileSet.at([[0, 0]], scale=0, pitch=112)

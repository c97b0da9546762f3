"""Units pooled to places: exact sums, whatever their order."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.pool import PLACE_UM, pool
from napari_nh2st.model.card import Architecture


def test_a_lattice_made_by_hand():
    counts = sp.csr_matrix(np.array([[1, 0], [2, 5], [4, 0], [0, 7], [8, 1]], np.float32))
    positions = np.array([[1.0, 1.0], [9.9, 0.0], [10.0, 9.0], [25.0, 31.0], [-0.5, 3.0]])
    places = pool(counts, positions, 10)
    assert places.lattice.tolist() == [[0, -1], [0, 0], [0, 1], [3, 2]]
    assert places.counts.toarray().tolist() == [[8, 1], [3, 5], [4, 0], [0, 7]]
    assert places.centres.tolist() == [[-5, 5], [5, 5], [15, 5], [25, 35]]
    assert places.units.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_kept_and_the_order_of_units_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    counts = sp.random(500, 40, 0.2, "csr", random_state=seed, data_rvs=lambda n: rng.integers(1, 3000, n))
    counts = counts.astype(np.float32)
    positions, side = rng.uniform(0, 900, (500, 2)), 111.3
    places = pool(counts, positions, side)
    assert places.counts.sum(axis=0).tolist() == counts.sum(axis=0).tolist()
    assert places.units.sum() == 500
    order = rng.permutation(500)
    again = pool(counts[order], positions[order], side)
    assert (places.counts != again.counts).nnz == 0
    assert np.array_equal(places.lattice, again.lattice)
    for (row, column), total in zip(places.lattice, places.counts.toarray(), strict=True):
        x, y = positions.T
        inside = (x >= column * side) & (x < (column + 1) * side) & (y >= row * side) & (y < (row + 1) * side)
        assert np.array_equal(total, counts.toarray()[inside].sum(axis=0))


def test_a_place_is_a_tile_of_our_models():
    assert Architecture().patch * 1.0 == PLACE_UM  # at 1 um per pixel


def section(folder, counts, positions):
    data = ad.AnnData(np.asarray(counts, np.float32))
    data.obsm["spatial"] = np.asarray(positions, float)
    data.write_h5ad(folder / "S.h5ad")
    return Sample("S", "P", folder / "S.tif", folder / "S.h5ad", "h5ad", mpp=0.5, pool=100.0)


def test_any_format_is_pooled_if_the_sheet_says_so(tmp_path):
    rng = np.random.default_rng(0)
    full, lonely = rng.uniform(0, 400, (60, 2)), np.array([[900.0, 900.0]])
    data = read_expression(section(tmp_path, np.ones((61, 3)), [*full, *lonely]))
    assert data.obs["pooled"].sum() == data.obs["total_counts"].sum() / 3 == 60
    assert data.obsm["spatial"].tolist() == [[100, 100], [300, 100], [100, 300], [300, 300]]
    assert data.obs_names.tolist() == ["r0000_c0000", "r0000_c0001", "r0001_c0000", "r0001_c0001"]
    assert data.uns["frame"]["spot_diameter"] == 200
    assert data.uns["nh2st"]["says"] == [
        "its 61 spots are pooled to 4 places of 100 µm; 1 places with fewer than 5 spots are left out"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mpp": None}, "give the slide's µm per pixel"),
        ({"mpp": 1e9}, "span far more"),
        ({"pool": 1e-3}, "span far more"),
        ({"pool": 1.0}, "no place of 1 µm holds 5 spots"),
    ],
)
def test_what_cannot_be_pooled_is_one_line(tmp_path, change, words):
    sample = section(tmp_path, np.ones((20, 3)), np.arange(40).reshape(20, 2) * 7)
    with pytest.raises(SampleError, match=words) as caught:
        read_expression(replace(sample, **change))
    assert str(caught.value).startswith("sample S: ")


def test_more_spots_than_an_array_has_are_doubted(tmp_path):
    sample = section(tmp_path, np.ones((15_001, 1)), np.arange(30_002).reshape(-1, 2))
    (says,) = read_expression(replace(sample, pool=None)).uns["nh2st"]["says"][:1]
    assert says == "15,001 spots are more than an array has: if they are cells or bins, give their places a pool (µm)"

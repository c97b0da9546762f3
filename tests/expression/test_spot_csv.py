"""A table of a few spots: places in pixels of the slide, counts, and the library where some genes are left out."""

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, labels, read_expression
from napari_nh2st.expression.detect import detect

TABLE = {"Spot": ["a", "b"], "X_px": [10.5, 20], "y_px": [3, 4], "ERBB2": [3, 0], "CD74": [1, 6]}


def write(path, **more):
    pd.DataFrame({**TABLE, **more}).to_csv(path, index=False)
    return path


def read(path):
    files = detect([path])
    return read_expression(Sample(files.name, "P", path, files.expression, files.format, files.spots))


def test_places_names_and_counts_are_those_of_the_table(tmp_path):
    data = read(write(tmp_path / "C5.csv", x_um=[1, 2], spread=[0.9, 0.8]))
    assert list(data.obs_names) == ["a", "b"]
    assert list(data.var_names) == ["ERBB2", "CD74"]
    assert data.obsm["spatial"].tolist() == [[10.5, 3], [20, 4]]
    assert data.X.toarray().tolist() == [[3, 1], [0, 6]]
    assert "without a column total_counts, the 2 genes of C5.csv are taken for all genes" in data.uns["nh2st"]["says"]


def test_values_are_relative_to_the_whole_library(tmp_path):
    data = read(write(tmp_path / "C5.csv", total_counts=[1000, 500]))
    assert data.obs["total_counts"].tolist() == [1000, 500]
    by_hand = np.log1p(1e4 * np.array([[3, 1], [0, 6]]) / [[1000], [500]])
    np.testing.assert_allclose(labels(data, ["ERBB2", "CD74"]), by_hand, rtol=1e-5)
    assert not any("taken for all genes" in line for line in data.uns["nh2st"]["says"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"total_counts": [2, 500]}, "less than the counts of the genes"),
        ({"CD74": ["many", "6"]}, "'many' is not a count"),
        ({"CD74": [0.5, 6]}, "holds no raw counts"),
        ({"y_px": [3, 1e12]}, "farther away than any slide is wide"),
        ({"y_px": [3, np.nan]}, "positions that are not numbers"),
        ({"Spot": ["a", "a"]}, "spot ids repeat"),
    ],
)
def test_what_cannot_be_a_table_of_spots_is_said(tmp_path, more, says):
    with pytest.raises(SampleError, match=says):
        read(write(tmp_path / "C5.csv", **more))

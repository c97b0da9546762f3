"""Columns by their names: which is x, what lies under tissue, which are symbols."""

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns

ERBB2, CD74 = "ENSG00000141736", "ENSG00000019582"


@pytest.mark.parametrize(
    ("names", "x", "y"),
    [
        (["pxl_row_in_fullres", "pxl_col_in_fullres"], "pxl_col_in_fullres", "pxl_row_in_fullres"),
        (["y", "x"], "x", "y"),
        (["X", "Y"], "X", "Y"),
        (["imagerow", "imagecol"], "imagecol", "imagerow"),
        (["row", "col"], "col", "row"),
        (["Row", "Column"], "Column", "Row"),
        (["y_pixel", "x_pixel"], "x_pixel", "y_pixel"),
        (["spatial_y", "spatial_x"], "spatial_x", "spatial_y"),
        (["x", "y", "pixel_x", "pixel_y"], "pixel_x", "pixel_y"),
        (["row", "col", "imagerow", "imagecol"], "imagecol", "imagerow"),
        (["PXL_ROW.IN.FULLRES", "PXL_COL.IN.FULLRES"], "PXL_COL.IN.FULLRES", "PXL_ROW.IN.FULLRES"),
    ],
)
def test_centres_are_found_by_name(names, x, y):
    pair = columns.centres(names)
    assert pair is not None
    assert (pair.x, pair.y) == (x, y)


@pytest.mark.parametrize(
    "names",
    [
        ["array_row", "array_col"],
        ["x_um", "y_um"],
        ["pxl_row_in_lowres", "pxl_col_in_lowres"],
        ["x", "z"],
        ["min_x", "max_x"],
        [],
    ],
)
def test_other_names_are_no_centres(names):
    assert columns.centres(names) is None
    with pytest.raises(SampleError, match="name those of the spot centres x and y"):
        columns.centres_of_table(names, lambda name: np.zeros(2), "t")


@pytest.mark.parametrize("names", [["0", "1"], ["spatial1", "spatial2"], ["V1", "V2", "V3"]])
def test_numbered_columns_count_by_their_place(names):
    values = {name: np.array([float(i)]) for i, name in enumerate(names)}
    assert columns.centres_of_table(names, values.__getitem__, "t").tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("values", [[1, 0], [True, False], ["True", "False"], ["yes", "no"], [1.0, 0.0], ["1", "0"]])
def test_what_lies_under_tissue(values):
    read = columns.under_tissue(values)
    assert read is not None
    assert read.tolist() == [True, False]


@pytest.mark.parametrize("values", [[2, 0], ["tumour", "stroma"], [np.nan, 1]])
def test_what_says_something_else_is_not_guessed(values):
    assert columns.under_tissue(values) is None


@pytest.mark.parametrize(
    ("names", "table", "symbols", "ids"),
    [
        ([f"{ERBB2}.12", CD74], {"feature_name": ["ERBB2", "CD74"]}, ["ERBB2", "CD74"], [ERBB2, CD74]),
        ([ERBB2, CD74], {"gene_symbols": ["ERBB2", ""]}, ["ERBB2", CD74], [ERBB2, CD74]),
        ([ERBB2, CD74], {"feature_name": ["ERBB2", f"CD74_{CD74}"]}, ["ERBB2", "CD74"], [ERBB2, CD74]),
        ([ERBB2, CD74], {"biotype": ["coding", "coding"]}, [ERBB2, CD74], [ERBB2, CD74]),
        (["ERBB2", "CD74"], {"gene_ids": [f"{ERBB2}.1", CD74]}, ["ERBB2", "CD74"], [ERBB2, CD74]),
        (["ERBB2", "CD74"], {"ENSEMBL": [ERBB2, "nan"], "x": ["a", "b"]}, ["ERBB2", "CD74"], None),
        (["ERBB2", "CD74", "A"], {"anything": [ERBB2, CD74, ""]}, ["ERBB2", "CD74", "A"], [ERBB2, CD74, ""]),
        ([f"{ERBB2}_ERBB2", f"{CD74}_CD74"], {}, ["ERBB2", "CD74"], [ERBB2, CD74]),
        ([f"ERBB2_{ERBB2}.3", f"CD74_{CD74}"], {}, ["ERBB2", "CD74"], [ERBB2, CD74]),
        (["GRCh38_ERBB2", "GRCh38_CD74"], {}, ["ERBB2", "CD74"], None),
        (["ERBB2", "", "nan"], {}, ["ERBB2", "unnamed-2", "unnamed-3"], None),
        (["ERBB2", ""], {"id": [ERBB2, CD74]}, ["ERBB2", CD74], [ERBB2, CD74]),
        ([" ERBB2 ", "CD74"], {}, ["ERBB2", "CD74"], None),
    ],
)
def test_symbols_and_ids(names, table, symbols, ids):
    genes = columns.genes(names, table)
    assert genes.symbols == symbols
    assert genes.ids == ids

"""Names of slides and measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_nh2st.expression import Sample
from napari_nh2st.training.sections.slide_names import named_like_another, named_otherwise


@pytest.mark.parametrize(
    ("name", "slide"),
    [
        ("C4", "C5"), ("B4", "C5"), ("sample_1", "sample_2"), ("patient1_C4", "patient1_C5"), ("151673", "151674"),
        ("V10F03-034_A1", "V10F03-034_B1"), ("tumour_A", "tumour_B"), ("GSM4284316_P2_ST_rep1_stdata", "P2_ST_rep2"),
    ],
)  # fmt: skip
def test_names_of_two_slides(name, slide):
    assert named_otherwise(name, slide)
    assert named_otherwise(slide, name)


@pytest.mark.parametrize(
    ("name", "slide"),
    [
        ("C5_counts", "C5"), ("C05", "c5"), ("her2st", "C5"), ("sample1_counts", "sample1_HE_20x"), ("ST", "TENX95"),
        ("C5_v1", "C5_v2"), ("GSM4284316_P2_ST_rep1_stdata", "P2_ST_rep1"), ("151673", "151673_full_image"),
        ("adata", "scan_20230511"), ("counts", "image7"), ("S1", "scan12"), ("P1", "S3"), ("sectionC5", "C5"),
    ],
)  # fmt: skip
def test_names_that_may_be_of_one_slide(name, slide):
    assert not named_otherwise(name, slide)
    assert not named_otherwise(slide, name)


def named(expression: str, slide: str, inside=(), others=(), spots=None) -> str:
    paths = Path(slide), Path(expression), "h5ad", None if spots is None else Path(spots)
    return named_like_another(Sample("any", "P", *paths), inside, others)


def test_each_name_of_a_measurement_counts():
    assert named("a/C4.tsv.gz", "b/C5.jpg", spots="a/C4_selection.tsv") == "C4.tsv.gz"
    assert named("a/C5.tsv.gz", "b/C5.jpg", spots="a/C4_selection.tsv") == "C4_selection.tsv"
    assert named("C4/outs", "C5.tif") == "C4"
    assert named("adata.h5ad", "C5.tif", inside=["C4"]) == "C4"
    assert named("adata.h5ad", "C5.tif", inside=["0", "spatial", "C5"]) == ""
    assert named("normal.h5ad", "tumour.tif") == ""
    assert named("normal.h5ad", "tumour.tif", others=["normal.tif", "tumour.tif"]) == "normal.h5ad"
    assert named("C5.h5ad", "C5_40x.tif", others=["C5.tif"]) == ""

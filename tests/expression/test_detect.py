import gzip

import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.detect import detect
from support import visium

COUNTS = "\tA\tB\n1x2\t3\t4\n"
POSITIONS = "x\ty\tpixel_x\tpixel_y\n1\t2\t10\t20\n"


@pytest.fixture
def counts(tmp_path):
    path = tmp_path / "C5.tsv.gz"
    with gzip.open(path, "wt") as file:
        file.write(COUNTS)
    return path


def test_a_visium_folder_by_whatever_is_dropped(tmp_path):
    visium.outs(tmp_path / "V1", [[1]], ["A"])
    outs = tmp_path / "V1" / "outs"
    for path in (tmp_path / "V1", outs, outs / "filtered_feature_bc_matrix.h5"):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("V1", "visium", outs)


def test_an_h5ad_is_named_by_its_file(tmp_path):
    (tmp_path / "S 1.h5ad").touch()
    found = detect([str(tmp_path / "S 1.h5ad")])
    assert (found.name, found.format) == ("S 1", "h5ad")


@pytest.mark.parametrize("name", ["C5_selection.tsv", "C5_spots.tsv.gz", "spot_data-selection-C5.tsv"])
def test_positions_are_found_beside_the_counts(counts, name):
    (counts.parent / name).touch()
    found = detect([counts])
    assert (found.name, found.format, found.expression, found.spots) == ("C5", "st-tsv", counts, counts.parent / name)


def test_positions_may_be_given_with_the_counts_in_either_order(counts, tmp_path):
    assert detect([counts]).spots is None
    where = tmp_path / "anything.tsv"
    where.write_text(POSITIONS)
    for pair in ([counts, where], [where, counts]):
        found = detect(pair)
        assert (found.expression, found.spots) == (counts, where)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.csv"], "a.csv is not a measurement"),
        (["nothing.h5ad"], "there is no"),
        (["P.tsv"], "holds the spots' positions"),
        (["C5.tsv.gz", "C5.tsv.gz"], "one must hold the counts"),
        (["a.csv", "C5.tsv.gz"], "that is 2 files"),
        ([""], "is not a measurement"),
        (["cut.tsv.gz"], "cannot read"),
    ],
)
def test_what_cannot_be_read_is_one_line(counts, tmp_path, names, words):
    (tmp_path / "a.csv").touch()
    (tmp_path / "P.tsv").write_text(POSITIONS)
    (tmp_path / "cut.tsv.gz").write_bytes(b"not gzip")
    with pytest.raises(SampleError, match=words) as caught:
        detect([tmp_path / name for name in names])
    assert "\n" not in str(caught.value)

"""Counts and places as text: what people and programs write is read, what is damaged or endless is one line."""

import gzip

import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression

COUNTS = "\tA\tB\n1x1\t1\t2\n2x1\t0\t3\n1x2\t5\t0\n"
PLACES = "x\ty\tpixel_x\tpixel_y\n1\t1\t10\t20\n2\t1\t30\t20\n1\t2\t10\t40\n"
GENES_BY_SPOTS = "\t1x1\t2x1\t1x2\nA\t1\t0\t5\nB\t2\t3\t0\n"


def read(tmp_path, counts=COUNTS, places=PLACES):
    for name, content in (("c.tsv", counts), ("p.tsv", places)):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_expression(Sample("S", "P", tmp_path, tmp_path / "c.tsv", "st-tsv", tmp_path / "p.tsv"))


@pytest.mark.parametrize(
    "counts",
    [
        COUNTS,
        COUNTS.replace("\t", ","),
        COUNTS.replace("\t", ";"),
        "sep=;\n" + COUNTS.replace("\t", ";"),
        COUNTS.removeprefix("\t"),  # as R writes it
        COUNTS.replace("A", '"A"').replace("1x1", '"1x1"'),
        COUNTS.replace("\n", "\r\n") + "\r\n",
        COUNTS.encode("utf-8-sig"),
        COUNTS.encode("utf-16"),
        gzip.compress(COUNTS.encode(), mtime=0),
        GENES_BY_SPOTS,
    ],
)
def test_counts_are_read_however_they_are_written(tmp_path, counts):
    data = read(tmp_path, counts)
    assert list(data.var_names) == ["A", "B"]
    assert data["1x2"].X.toarray().tolist() == [[5, 0]]
    assert data["2x1"].obsm["spatial"].tolist() == [[30, 20]]


@pytest.mark.parametrize(
    "places",
    [
        PLACES.replace("\t", ","),
        PLACES.replace("\t", ";").replace("30", "30,0"),
        PLACES.encode("utf-16"),
        PLACES.encode("utf-8-sig"),
        "selected\t" + PLACES.replace("\n", "\n1\t")[: -len("1\t")],
        PLACES + "\t\t\t\n",
    ],
)
def test_places_are_read_however_they_are_written(tmp_path, places):
    assert read(tmp_path, places=places)["2x1"].obsm["spatial"].tolist() == [[30, 20]]


def test_spots_that_are_not_selected_are_left_out_and_counted(tmp_path):
    lines = PLACES.splitlines()
    told = "\n".join(f"{line}\t{mark}" for line, mark in zip(lines, ("selected", "1", "0", "1"), strict=True))
    data = read(tmp_path, places=told)
    assert list(data.obs_names) == ["1x1", "1x2"]
    assert data.uns["nh2st"]["off_tissue"] == 1


def test_names_beyond_ascii_stay_as_they_are(tmp_path):
    assert "β" in read(tmp_path, COUNTS.replace("B", "β")).var_names
    assert "é" in read(tmp_path, COUNTS.replace("B", "é").encode("latin-1")).var_names


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (COUNTS.replace("5", "five"), r"'five' is not a count \(of A\)"),
        (COUNTS.replace("5", ""), "no raw counts"),
        (COUNTS.replace("5", "inf"), "no raw counts"),
        (COUNTS.replace("5", "-5"), "no raw counts"),
        (COUNTS.replace("5", "1e30"), "no raw counts"),
        (COUNTS.replace("5\t0", "5\t0\t7\t9"), "cannot read"),
        (COUNTS.replace("2x1", "1x1"), "names the spot 1x1 twice"),
        (COUNTS.replace("x", "y"), "share no spot"),
        ("", "it is empty"),
        ("\tA\tB\n", "share no spot"),
        (b"\0\0\0", "NUL"),
        (gzip.compress(COUNTS.encode(), mtime=0)[:-12], "cannot read"),
        (gzip.compress(COUNTS.encode(), mtime=0).replace(b"\x1f\x8b\x08", b"\x1f\x8b\x07"), "cannot read"),
        (b"\xff\xfe" + COUNTS.encode(), "cannot read|no table|share no"),
    ],
)
def test_what_is_no_table_of_counts_is_one_line(tmp_path, counts, said):
    with pytest.raises(SampleError, match=said) as caught:
        read(tmp_path, counts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (PLACES.replace("30", "here"), "pixel_x 'here' cannot be the place of a spot"),
        (PLACES.replace("30", "inf"), "cannot be the place of a spot"),
        (PLACES.replace("2\t1\t30", "\t1\t30"), "cannot be the place of a spot"),
        (PLACES.replace("pixel_x", "px"), "lacks the column pixel_x"),
        (PLACES.replace("2\t1\t", "1\t1\t"), "names the spot 1x1 twice"),
        (
            PLACES.replace("x\t", "selected\tx\t", 1).replace("\n1\t", "\ntumour\t1\t").replace("\n2\t", "\nno\t2\t"),
            "than 0 and 1",
        ),
        ("", "it is empty"),
    ],
)
def test_what_is_no_table_of_places_is_one_line(tmp_path, places, said):
    with pytest.raises(SampleError, match=said):
        read(tmp_path, places=places)


def test_spots_without_a_position_are_counted(tmp_path):
    (says,) = read(tmp_path, COUNTS + "9x9\t1\t1\ntotal\t7\t6\n").uns["nh2st"]["says"]
    assert says == "2 spots of c.tsv have no position, and are left out"


def test_spots_that_are_named_row_first_are_refused(tmp_path):
    counts = "\tA\n" + "".join(f"{y}x{x}\t1\n" for x in (1, 2, 3) for y in (1, 2))
    places = "x\ty\tpixel_x\tpixel_y\n" + "".join(f"{x}\t{y}\t10\t20\n" for x in (1, 2, 3) for y in (1, 2))
    with pytest.raises(SampleError, match=r"names its spots by row and column \(YxX\), p.tsv has x first"):
        read(tmp_path, counts, places)

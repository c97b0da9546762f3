"""Tables as people save them."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nh2st.reading.table import number, parse_table, plain_cell, read_frame, read_head, written_cell

WANTED = ("sample", "slide", "mpp")
TABLE = "sample,slide,mpp\nA,a.tif,0.5\nB,b.tif,\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        "sep=,\r\n" + TABLE,
        "SEP=;\n" + TABLE.replace(",", ";"),
        '"sep=,"\n' + TABLE,
        "\n,,\n" + TABLE + ",,\n\n ,,\n",
        TABLE.replace("A,a.tif", ' "A" ,“a.tif” '),
        TABLE.replace("A,a.tif", "'A',\xa0a.tif\u200b"),
        TABLE.replace("A,a.tif", '"A", "a.tif"'),
        TABLE.rstrip("\n"),
        TABLE.replace("\n", ",,\n"),
    ],
)
def test_the_same_table_however_it_was_saved(text):
    table = parse_table(text, WANTED)
    assert table.columns[:3] == ["sample", "slide", "mpp"]
    assert [row.cells[:3] for row in table.rows] == [["A", "a.tif", "0.5"], ["B", "b.tif", ""]]


def test_a_row_knows_its_line():
    assert [row.line for row in parse_table('sep=;\na;b\n\n1;2\n"3\n3";4\n5;6\n').rows] == [4, 5, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b\n1,"2\n3,4\n', "a quote in line 2 is never closed"),
        ('a,b\n1,"2\n' + "x,y\n" * 100_000, "a quote in line 2 is never closed"),
        ("a,b\n1," + "x" * 200_000 + "\n", "line 2 has a cell of more than 131072 letters"),
    ],
)
def test_a_table_that_is_damaged(text, said):
    with pytest.raises(ValueError, match=said):
        parse_table(text)


def test_two_hundred_thousand_rows_are_read_in_linear_time():
    began = time.process_time()
    assert len(parse_table("a,b,c\n" + "1,2,3\n" * 200_000).rows) == 200_000
    assert time.process_time() - began < 15  # under a second on an idle core


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''=1", "=a'", "name", "it's", "'quoted"])
def test_text_that_excel_would_run_comes_back_as_it_was(text):
    assert not written_cell(text).startswith(("=", "+", "-", "@"))
    assert plain_cell(written_cell(text)) == text


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(st.sampled_from("=+-@'ab1"), min_size=1))
def test_any_text_comes_back_as_it_was_unless_quotes_enclose_it(text):
    if text != plain_cell(text) and not text.lstrip("'").startswith(("=", "+", "-", "@")):
        return
    assert plain_cell(written_cell(text)) == text


@pytest.mark.parametrize(
    ("text", "comma", "value"),
    [("0.5", False, 0.5), ("0,5", False, 0.5), ("0,125", False, 0.125), ("1,234", True, 1.234), ("-12,5", True, -12.5)],
)
def test_numbers(text, comma, value):
    assert number(text, comma=comma) == value


@pytest.mark.parametrize("text", ["1,234", "1e400", "nan", "inf", "1_000", "٣", "", "1.2.3", "0x10"])
def test_what_is_no_number_or_two(text):
    with pytest.raises(ValueError, match=r"."):
        number(text, comma=False)


@pytest.mark.parametrize(
    "text",
    [
        "x\ty\n1.5\t2\n3\t4\n",
        "x;y\n1,5;2\n3;4\n",
        "x,y\r\n1.5,2\r\n3,4\r\n",
        "sep=;\nx;y\n1,5;2\n3;4\n",
        "x, y\n1.5, 2\n3, 4\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_frame_however_it_was_saved(tmp_path, text, encoding):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    frame = read_frame(tmp_path / "t.csv")
    assert frame.to_dict("list") == {"x": [1.5, 3.0], "y": [2, 4]}
    assert read_head(tmp_path / "t.csv") == ["x", "y"]


@pytest.mark.parametrize("word", ["1.e2147483648", "1.5e4294967296", "1e-99999999999999999999", "0.1E+2147483647"])
def test_an_exponent_that_no_integer_holds_ends_no_process(tmp_path, word):
    """Pandas' own reading of numbers crashes at some of them: run apart, so that this test could fail."""
    (tmp_path / "t.csv").write_text(f"a,b\n1,{word}\n2,3\n")
    (tmp_path / "m.txt").write_text(f"1 {word}\n2 3\n")
    code = (
        "import sys\nfrom napari_nh2st.errors import Nh2stError\n"
        "from napari_nh2st.reading import read_frame, read_numbers\n"
        "print(read_frame(sys.argv[1]).shape)\n"
        "try:\n    print(read_numbers(sys.argv[2], columns=2, skip=0, most=99).shape)\n"
        "except Nh2stError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t.csv"), str(tmp_path / "m.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-300:]
    assert done.stdout.startswith("(2, 2)")

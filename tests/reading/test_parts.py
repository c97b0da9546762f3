"""Tables read some rows at a time: as one table would be, however it was saved."""

import gzip

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import read_frame, read_frame_parts

TABLE = pd.DataFrame({"cell": [f"c{i}" for i in range(25)], "A": range(25), "B": np.arange(25) / 4})


def whole(path, rows=7):
    return pd.concat(read_frame_parts(path, values=3 * rows), ignore_index=True)


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("how", [{}, {"sep": ";", "decimal": ","}, {"sep": "\t"}, {"encoding": "utf-8-sig"}])
@pytest.mark.parametrize("packed", [False, True])
def test_parts_are_the_table(tmp_path, rows, how, packed):
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    TABLE.to_csv(path, index=False, **how)
    assert len(list(read_frame_parts(path, values=3 * rows))) == -(-len(TABLE) // rows)
    pd.testing.assert_frame_equal(whole(path, rows), TABLE, check_dtype=False)
    pd.testing.assert_frame_equal(whole(path, rows), read_frame(path), check_dtype=False)


def test_the_line_that_names_the_separator_is_no_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\n" + TABLE.to_csv(index=False, sep=";"))
    pd.testing.assert_frame_equal(whole(path), TABLE, check_dtype=False)


def test_a_table_without_rows_has_its_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("cell,A\n")
    (part,) = read_frame_parts(path, values=10)
    assert (list(part), len(part)) == (["cell", "A"], 0)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"", "it is empty"),
        ("t.csv", b"\n\n", "it is empty"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells"),
        ("t.csv", b'a,b\n1,"2\n', "never closed"),
        ("t.csv", b"a,b\n" + b"1,2\n" * 600_000 + b"1,\xe9\n", "it is not UTF-8 text: save it as UTF-8"),
        ("t.csv", b"PK\x03\x04\x14\0\0\0", "Excel"),
        ("t.csv.gz", b"a,b\n1,2\n", "not packed with gzip"),
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 5000)[:-20], "t.csv.gz"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(Nh2stError, match=words) as caught:
        list(read_frame_parts(path, values=3_000_000))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(Nh2stError, match="it is a folder"):
        list(read_frame_parts(tmp_path, values=10))

"""Counts and positions that stand in two files are joined by name, whatever the order and the letters."""

import numpy as np
import pyarrow as pa
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import parquet_file
from napari_nh2st.expression.counts import Counts
from napari_nh2st.expression.positions import joined

FILES = ("counts.h5", "places.csv")
NAMES = ["s_00002-1", "s_00010-1", "é-1", "a", "s_00002-10", "ß", "b"]


def counts(names):
    n = len(names)
    return Counts(np.arange(1, n + 1), np.zeros(n, np.int32), np.arange(n + 1), list(names), ["ERBB2"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("as_bytes", [False, True])
def test_each_unit_finds_its_own_place(seed, as_bytes):
    rng = np.random.default_rng(seed)
    placed, counted = ([NAMES[i] for i in rng.permutation(len(NAMES))] for _ in range(2))
    known = np.array([n.encode() for n in placed]) if as_bytes else placed
    data, places = joined(counts(counted), known, FILES, "cells")
    assert [placed[i] for i in places] == counted == list(data.obs_names)
    assert data.X.toarray().ravel().tolist() == list(range(1, len(NAMES) + 1))


def test_units_without_a_place_are_left_out_and_counted():
    data, places = joined(counts(NAMES), [*NAMES[3:], "another"], FILES, "cells")
    assert (list(data.obs_names), places.tolist()) == (NAMES[3:], [0, 1, 2, 3])
    assert data.X.toarray().ravel().tolist() == [4, 5, 6, 7]
    assert data.uns["says"] == ["3 cells of counts.h5 have no position, and are left out"]


@pytest.mark.parametrize(
    ("counted", "placed", "words"),
    [
        (["a", "b", "a"], ["a", "b"], "counts.h5 names a twice"),
        (["a", "b"], ["b", "é", "a", "é"], "places.csv names é twice"),
        (["a", "b"], ["c"], r"share none of their cells \(a and c\): write them alike"),
        (["a", "b"], [], r"share none of their cells \(a and nothing\)"),
        ([], ["a"], r"share none of their cells \(nothing and a\)"),
        (["ab"], ["abc"], "share none"),
    ],
)
def test_names_that_do_not_fit_are_one_line(counted, placed, words):
    with pytest.raises(SampleError, match=words) as caught:
        joined(counts(counted), placed, FILES, "cells")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "texts"),
    [
        ([["a", "bé", None, ""], ["longer"]], ["a", "bé", "", "", "longer"]),
        ([["ab", "cd"]], ["ab", "cd"]),
        ([["", ""]], ["", ""]),
        ([[None]], [""]),
        ([], []),
    ],
)
def test_text_of_a_parquet_column(parts, texts):
    column = pa.chunked_array([pa.array(part, pa.string()) for part in parts], pa.string())
    for each in (column, column.cast(pa.large_string()), column.cast(pa.binary()), column.dictionary_encode()):
        assert [text.decode() for text in parquet_file.as_array(each)] == texts
    if len(texts) > 1:
        assert [text.decode() for text in parquet_file.as_array(column.slice(1))] == texts[1:]


def test_text_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(parquet_file, "_MOST_TEXT", 1000)
    with pytest.raises(SampleError, match="text of 600 letters"):
        parquet_file.as_array(pa.chunked_array([["x" * 600, "y"]]))

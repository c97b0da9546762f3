"""A few mutated files for every parser; `python scripts/fuzz.py --examples 2000` tries many."""

import pytest

from support.parsers import PARSERS, fuzz

EXAMPLES = 25


@pytest.mark.parametrize("name", PARSERS)
def test_mutated_files_are_read_or_refused_in_one_line(name, tmp_path):
    counts = fuzz(PARSERS[name], tmp_path, EXAMPLES)
    assert not counts.faults
    assert counts.inputs >= EXAMPLES - 1


@pytest.mark.long
@pytest.mark.parametrize("name", PARSERS)
def test_many_mutated_files(name, tmp_path):
    assert not fuzz(PARSERS[name], tmp_path, 1000, number=1).faults

"""Covering blocks with windows: everything wanted, nothing twice, few and large."""

import numpy as np
import pytest

from napari_nh2st.engine.windows import Window, cover

RIM = 28 / 16


def cost(windows):
    return sum((w.shape[0] + RIM) * (w.shape[1] + RIM) for w in windows)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("largest", [1, 4, 12])
def test_every_block_is_covered_once(seed, largest):
    rng = np.random.default_rng(seed)
    wanted = rng.random((23, 31)) < rng.uniform(0.05, 0.95)
    missing = [(int(r) + 5, int(c) + 7) for r, c in np.argwhere(wanted)]
    windows = cover(missing, largest, RIM)
    blocks = [b for w in windows for b in w.blocks]
    assert len(blocks) == len(set(blocks))
    assert set(missing) <= set(blocks)
    assert all(max(w.shape) <= largest for w in windows)
    assert cost(windows) <= cost([Window(r, c, r + 1, c + 1) for r, c in missing])


def test_a_square_is_cut_into_equal_parts():
    windows = cover([(r, c) for r in range(14) for c in range(14)], 12, RIM)
    assert [w.shape for w in windows] == [(7, 7)] * 4


def test_two_pieces_of_tissue_are_not_bridged():
    left = [(r, c) for r in range(3) for c in range(3)]
    right = [(r, c + 9) for r, c in left]
    assert cover(left + right, 12, RIM) == [Window(0, 0, 3, 3), Window(0, 9, 3, 12)]


def test_nothing_missing_needs_no_window():
    assert cover([], 12, RIM) == []


def test_halves_are_the_whole():
    window = Window(2, 3, 7, 5)
    first, second = window.halves()
    assert sorted(first.blocks + second.blocks) == sorted(window.blocks)

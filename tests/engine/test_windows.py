"""Covering entries with windows: everything wanted, nothing twice, few and large."""

import numpy as np
import pytest

from napari_nh2st.engine.windows import LAST, Rules, Window, cover, evened, touched

RIM = 28 / 16


def square(rows, columns, top=0, left=0):
    return np.argwhere(np.ones((rows, columns), dtype=bool)) + np.array([top, left])


def cost(windows):
    return sum((w.shape[0] + RIM) * (w.shape[1] + RIM) for w in windows)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("largest", [1, 4, 12])
def test_every_entry_is_covered_once(seed, largest):
    rng = np.random.default_rng(seed)
    wanted = np.argwhere(rng.random((23, 31)) < rng.uniform(0.05, 0.95)) + np.array([5, 7])
    windows = cover(wanted, Rules(largest, RIM))
    entries = [e for w in windows for e in w.blocks(1)]
    assert len(entries) == len(set(entries))
    assert {(int(r), int(c)) for r, c in wanted} <= set(entries)
    assert all(max(w.shape) <= largest for w in windows)
    assert cost(windows) <= cost([Window(r, c, r + 1, c + 1) for r, c in wanted])


def test_a_square_is_cut_into_equal_parts():
    windows = cover(square(14, 14), Rules(12, RIM))
    assert [w.shape for w in windows] == [(7, 7)] * 4


def test_a_square_is_cut_between_blocks_if_the_parts_still_fit():
    windows = cover(square(42, 42, 3, 5), Rules(30, RIM, block=16))
    assert [(w.top, w.left) for w in windows] == [(3, 5), (3, 32), (32, 5), (32, 32)]
    assert [w.shape for w in cover(square(42, 42, 3, 5), Rules(21, RIM, block=16))] == [(21, 21)] * 4


def test_two_pieces_of_tissue_are_not_bridged():
    wanted = np.concatenate([square(3, 3), square(3, 3, 0, 9)])
    assert cover(wanted, Rules(12, RIM)) == [Window(0, 0, 3, 3), Window(0, 9, 3, 12)]


def test_a_hole_is_cut_out_where_that_saves_more_than_another_window_costs():
    mask = np.ones((40, 40), dtype=bool)
    mask[10:30, 10:30] = False
    found = cover(np.argwhere(mask), Rules(100, RIM))
    assert sum(w.shape[0] * w.shape[1] for w in found) == mask.sum()
    assert cover(np.argwhere(mask), Rules(100, RIM, each=1000)) == [Window(0, 0, 40, 40)]


def test_nothing_missing_needs_no_window():
    assert cover(np.empty((0, 2), dtype=np.int64), Rules(12, RIM)) == []


def test_only_windows_that_hold_an_entry_are_touched():
    windows = [Window(0, 0, 4, 4), Window(0, 4, 4, 8), Window(9, 9, 12, 12)]
    assert touched(windows, np.array([[3, 4], [5, 5], [30, 30]])) == [windows[1]]
    assert touched(windows, np.empty((0, 2), dtype=np.int64)) == []


def test_a_window_s_part_of_a_block():
    window = Window(3, 5, 20, 16)
    assert window.blocks(8) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert window.within((1, 0), 8) == Window(8, 5, 16, 8)
    assert window.within((1, 0), 8).seen_from(8, 0) == (slice(0, 8), slice(5, 8))


def test_halves_are_the_whole():
    window = Window(2, 3, 7, 5)
    first, second = window.halves()
    assert sorted(first.blocks(1) + second.blocks(1)) == sorted(window.blocks(1))


def test_halves_lie_between_blocks_where_they_can():
    assert [half.shape for half in Window(3, 0, 53, 20).halves(16)] == [(29, 20), (21, 20)]
    assert [half.shape for half in Window(1, 0, 5, 3).halves(16)] == [(2, 3), (2, 3)]


def test_no_thread_is_left_with_most_of_the_work():
    rules, windows = Rules(192, 16, 100, 16), [Window(0, 0, 10, 26), Window(16, 0, 119, 124), Window(120, 0, 150, 20)]
    even = evened(windows, rules, 2)
    costs = [*map(rules.cost, even)]
    assert 2 * max(costs) <= sum(costs)
    assert costs == sorted(costs, reverse=True)
    entries = sorted((r, c) for w in even for r in range(w.top, w.bottom) for c in range(w.left, w.right))
    assert entries == sorted((r, c) for w in windows for r in range(w.top, w.bottom) for c in range(w.left, w.right))


def test_many_windows_keep_their_order_but_for_the_last_ones():
    rules, windows = Rules(192, 16, 100, 16), [Window(20 * i, 0, 20 * i + 16, 8 + i) for i in range(30)]
    even = evened(windows, rules, 2)
    assert even[:-LAST] == windows[:-LAST]
    assert even[-LAST:] == windows[: -LAST - 1 : -1]
    assert evened([], rules, 2) == []
    assert evened([Window(0, 0, 30, 30)], rules, 2) == [Window(0, 0, 30, 30)]

"""Moran's I of what is predicted: against its formula, and on lattices of every size."""

import numpy as np
import pytest

from napari_nh2st.analysis.variability import neighbour_graph, some_places, variability
from napari_nh2st.engine.prediction import Prediction, is_constant
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.decoder import Decoder


def lattice(rows: int, columns: int) -> np.ndarray:
    return np.stack(np.mgrid[:rows, :columns], axis=-1).reshape(-1, 2)


def predicted(grid: np.ndarray | None, values: np.ndarray) -> Prediction:
    """A prediction whose genes have these values, (n, G)."""
    n, g = values.shape
    genes = [f"G{i}" for i in range(g)]
    card = Card(name="m", architecture=Architecture(dim=8, hidden=max(4, g)), mpp=1.0, pitch=112, genes=genes)
    centres = np.zeros((n, 2)) if grid is None else grid[:, ::-1] * 112.0 + 56
    hidden = values.astype(np.float16)
    return Prediction(
        TileSet(centres, 1.0, 112, grid), hidden, Decoder(np.eye(g, dtype=np.float32), np.zeros(g, np.float32)), card
    )


def moran(grid: np.ndarray, x: np.ndarray) -> float:
    """Moran's I, written out: N / S0 * sum w_ij z_i z_j / sum z_i^2, w = 1 between the eight neighbours."""
    z = x - x.mean()
    w = np.abs(grid[:, None] - grid[None]).max(axis=-1) == 1
    return len(x) / w.sum() * (w * np.outer(z, z)).sum() / (z**2).sum()


def test_equals_the_formula_on_a_ragged_piece_of_tissue() -> None:
    rng = np.random.default_rng(0)
    grid = lattice(12, 9)[rng.random(108) < 0.7] + (40, 3)
    grid = grid[rng.permutation(len(grid))]
    values = np.column_stack([rng.normal(size=len(grid)), grid[:, 0], (grid.sum(1)) % 2]).astype(np.float16)
    found = variability(predicted(grid, values))
    np.testing.assert_allclose(found, [moran(grid, v) for v in values.astype(float).T], atol=1e-6)
    assert found[1] > 0.6
    assert abs(found[0]) < 0.3


def test_constant_genes_and_places_that_are_not_predicted() -> None:
    grid = lattice(6, 6)
    values = np.column_stack([grid[:, 0], np.full(36, 2.5), 2.5 + 1e-6 * grid[:, 0]]).astype(np.float32)
    values[30:] = np.nan
    found = variability(predicted(grid, values))
    assert found[0] == pytest.approx(moran(grid[:30], values[:30, 0]))
    assert np.isnan(found[1:]).all()
    assert is_constant(2.5, 2.5001)
    assert not is_constant(2.5, 2.6)


def test_neighbours_do_not_reach_around_the_edge() -> None:
    graph = neighbour_graph(lattice(3, 4)).toarray()
    assert (graph == graph.T).all()
    assert graph.sum(axis=1).tolist() == [3, 5, 5, 3, 5, 8, 8, 5, 3, 5, 5, 3]
    assert graph[3, 4] == 0  # the end of a row and the beginning of the next


def test_a_large_lattice_is_measured_by_a_part_of_it() -> None:
    grid = lattice(200, 150)
    chosen = some_places(grid, 5_000)
    assert 4_500 < len(chosen) <= 5_000
    assert (np.diff(chosen) > 0).all()
    assert (some_places(grid, 5_000) == chosen).all()
    assert len(some_places(grid, len(grid))) == len(grid)
    links = neighbour_graph(grid[chosen]).sum(axis=1)
    assert links.mean() > 7  # whole windows: places have kept their neighbours
    parts = (grid[chosen] // (50, 50)) @ (3, 1)
    assert len(np.unique(parts)) > 9  # from all over the slide
    y, x = grid.T
    waves = np.column_stack([np.sin(y / 9) * np.cos(x / 7), np.random.default_rng(0).normal(size=len(grid))])
    made = predicted(grid, waves)
    np.testing.assert_allclose(variability(made, 5_000), variability(made, len(grid)), atol=0.03)


def test_what_cannot_be_measured_says_so() -> None:
    with pytest.raises(Nh2stError, match="not on a lattice"):
        variability(predicted(None, np.ones((3, 1))))
    with pytest.raises(Nh2stError, match="too little"):
        variability(predicted(lattice(2, 2), np.full((4, 1), np.nan)))
    with pytest.raises(Nh2stError, match="too little"):
        variability(predicted(np.array([[0, 0], [5, 5]]), np.array([[1.0], [2.0]])))
    with pytest.raises(Cancelled):
        variability(predicted(lattice(4, 4), np.ones((16, 1))), cancelled=lambda: True)

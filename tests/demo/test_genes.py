import numpy as np
import pytest

from napari_nh2st.demo.fields import STEP, Summed
from napari_nh2st.demo.genes import CONTEXT_GENES, GENES, OWN_GENES, RANGE
from napari_nh2st.demo.layout import NUCLEI, STRUCTURES
from napari_nh2st.demo.tissue import Section, make_section

GROUND = ("tissue", "tumour", "fat", "stroma")
OWN_AMOUNTS = (*GROUND, *(f"{kind} nuclei" for kind in NUCLEI), *STRUCTURES)


def amounts(section: Section) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centres = section.spots()
    own = np.stack([section.amounts.own(name, centres) for name in OWN_AMOUNTS], axis=1)
    around = np.stack([section.amounts.around(name, centres) for name in STRUCTURES], axis=1)
    return own, around, section.truth(centres)


def ridge(train_x, train_y, test_x):
    mean, sd = train_x.mean(axis=0), train_x.std(axis=0) + 1e-9
    a, b = (np.c_[(x - mean) / sd, np.ones(len(x))] for x in (train_x, test_x))
    return b @ np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ train_y)


def pcc(a, b):
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])


@pytest.fixture(scope="module")
def data():
    train = [np.concatenate(a) for a in zip(*(amounts(make_section(s)) for s in range(20, 24)), strict=True)]
    return train, amounts(make_section(30))


def expanded(x):
    """Squares and products too: what a model with curves could use."""
    pairs = [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i, x.shape[1])]
    return np.c_[x, np.stack(pairs, axis=1)]


def test_own_genes_follow_from_the_patch_and_context_genes_do_not(data) -> None:
    (own, around, truth), (test_own, test_around, test_truth) = data
    n = len(OWN_GENES)
    from_own = pcc(ridge(own, truth, test_own), test_truth)
    assert from_own[:n].min() > 0.98
    for predicted in (ridge(own, truth, test_own), ridge(expanded(own), truth, expanded(test_own))):
        assert np.abs(pcc(predicted, test_truth)[n:]).max() < 0.25
        assert pcc(predicted, test_truth)[n:].mean() < 0.1
    from_around = pcc(ridge(around, truth, test_around), test_truth)
    assert from_around[n:].min() > 0.98
    assert np.abs(from_around[:n]).max() < 0.25


def test_every_gene_varies_and_stays_within_bounds(data) -> None:
    truth = data[0][2]
    assert truth.shape[1] == len(GENES) == len(OWN_GENES) + len(CONTEXT_GENES)
    assert truth.std(axis=0).min() > 0.4
    assert truth.min() >= RANGE[0]
    assert truth.max() <= RANGE[1]
    assert np.mean(truth >= RANGE[1]) < 0.002


def test_names_are_unmistakably_invented() -> None:
    names = [gene.name for gene in GENES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("DEMO-") for name in names)
    assert {gene.group for gene in OWN_GENES} == {"own"}
    assert {gene.group for gene in CONTEXT_GENES} == {"context"}


def test_context_gene_changes_with_the_surroundings_only(small: Section) -> None:
    centre = np.array([[800.0, 700.0]])
    own, context = len(OWN_GENES), len(CONTEXT_GENES)
    assert small.truth(centre).shape == (1, own + context)
    for gene in CONTEXT_GENES:
        for name in gene.weights:
            table = small.amounts.around(name, centre)
            assert 0 <= table[0] < 4


def test_sums_over_squares_are_exact_between_cells() -> None:
    cells = np.random.default_rng(0).uniform(size=(9, 12))
    table = Summed.of(cells)
    centres = np.array([[5.0 * STEP, 4.0 * STEP], [4.5 * STEP, 4.0 * STEP], [0.0, 0.0]])
    whole = table.square(centres, 2 * STEP)
    assert whole[0] == pytest.approx(cells[3:5, 4:6].sum())
    assert whole[1] == pytest.approx((cells[3:5, 3] / 2 + cells[3:5, 4] + cells[3:5, 5] / 2).sum())
    assert whole[2] == pytest.approx(cells[0, 0])  # three quarters of the square lie off the grid

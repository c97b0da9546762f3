import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import choose_panel
from napari_nh2st.expression.panels import PANELS, choose_genes, listed_genes

PLAIN = [f"PLAIN{i}" for i in range(60)]
NAMES = ("FLAT", "PATCHY", "WILD", "RARE", "REST", *PLAIN)


def section(seed, name="S", genes=NAMES):
    """FLAT is high everywhere, PATCHY high on one half, WILD varies from spot to spot, RARE was counted twice."""
    rng = np.random.default_rng(seed)
    side = 14
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(side), np.arange(side)))
    n = side * side
    rates = {
        "FLAT": np.full(n, 200.0),
        "PATCHY": np.where(x < side / 2, 20.0, 2.0),
        "WILD": rng.choice([1.0, 40.0], n),
        "RARE": np.zeros(n),
        "REST": np.full(n, 2000.0),
        **{gene: np.full(n, 1.0 + i) for i, gene in enumerate(PLAIN)},
    }
    counts = np.stack([rng.poisson(rates[g]) for g in rates], axis=1).astype(np.float32)
    counts[:2, 3] = 1
    data = ad.AnnData(sp.csr_matrix(counts))
    data.var_names = list(genes)
    data.obs_names = [f"s{i}" for i in range(n)]
    data.obsm["spatial"] = np.stack([x, y], axis=1) * 100
    data.uns["nh2st"] = {"sample": name}
    return data


def test_the_first_of_each_panel_is_what_it_asks_for():
    sections = [section(0), section(1)]
    assert choose_genes(sections, "highest-mean", 2) == ["REST", "FLAT"] == choose_panel(sections, 2)
    assert choose_genes(sections, "spatially-variable", 1) == ["PATCHY"]
    assert choose_genes(sections, "most-variable", 1) == ["WILD"]


@pytest.mark.parametrize("kind", PANELS)
def test_every_panel_keeps_to_shared_genes_and_is_the_same_twice(kind):
    sections = [section(0), section(1)[:, ["FLAT", "PATCHY", "REST"]].copy()]
    found = choose_genes(sections, kind, 10)
    assert set(found) <= {"FLAT", "PATCHY", "REST"}
    assert len(set(found)) == len(found)
    assert found == choose_genes(sections, kind, 10)
    other = section(2, genes=[f"OTHER{i}" for i in range(len(NAMES))])
    with pytest.raises(SampleError, match="no gene in common"):
        choose_genes([sections[0], other], kind, 10)


def test_a_gene_that_is_hardly_ever_counted_is_not_taken_for_variable():
    assert "RARE" not in choose_genes([section(0)], "most-variable", 4)
    assert "RARE" not in choose_genes([section(0)], "spatially-variable", 4)


def test_a_pasted_list_is_found_whatever_its_case_and_what_lacks_is_named():
    sections = [section(0, "A"), section(1, "B")[:, ["FLAT", "PATCHY", "REST"]].copy()]
    found, lacking = listed_genes([" patchy", "REST", "Wild", "ERBB2", "REST", ""], sections)
    assert found == ["PATCHY", "REST"]
    assert lacking == {"Wild": ["B"], "ERBB2": ["A", "B"]}


def test_an_unknown_panel_is_a_line():
    with pytest.raises(SampleError, match="choose among highest-mean"):
        choose_genes([section(0)], "best", 3)

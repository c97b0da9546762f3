import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_nh2st.demo.genes import GENES
from napari_nh2st.demo.sheet import ARRAY_PITCH, DEPTH, measure, write_sample_sheet
from napari_nh2st.demo.tissue import Section, make_section
from napari_nh2st.errors import Cancelled


def labels(adata: ad.AnnData) -> np.ndarray:
    counts = adata.X.toarray().astype(float)
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def test_labels_of_the_counts_are_truth_and_noise(small: Section) -> None:
    found = labels(measure(small))[:, : len(GENES)]
    truth = small.truth(small.spots(ARRAY_PITCH))
    assert abs((found - truth).mean()) < 0.03
    assert (found - truth).std() < 0.25
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, truth.T, strict=True)) > 0.75


def test_panel_of_the_most_expressed_genes_is_the_demo_genes(small: Section) -> None:
    adata = measure(small)
    names = [gene.name for gene in GENES]
    by_label = adata.var_names[np.argsort(-labels(adata).mean(axis=0))[: len(names)]]
    by_count = adata.var_names[np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[: len(names)]]
    assert set(by_label) == set(by_count) == set(names)
    assert adata.X.sum() / adata.n_obs == pytest.approx(DEPTH, rel=0.15)


def test_sheet_lists_slides_and_counts_that_open(tmp_path) -> None:
    seen = []
    sheet = write_sample_sheet([6, 7], tmp_path, size_mm=(0.9, 0.9), progress=lambda *at: seen.append(at))
    table = pd.read_csv(sheet)
    assert list(table.columns) == ["sample", "patient", "slide", "expression", "format", "mpp"]
    assert table.patient.nunique() == 2
    assert seen == [(1, 2), (2, 2)]
    assert all((tmp_path / name).exists() for name in table.slide)
    adata = ad.read_h5ad(tmp_path / table.expression[0])
    section = make_section(6, size_mm=(0.9, 0.9))
    assert np.array_equal(adata.obsm["spatial"], section.spots(ARRAY_PITCH))
    assert adata.uns["napari_nh2st"]["synthetic"]


def test_sheet_stops_when_asked(tmp_path) -> None:
    with pytest.raises(Cancelled):
        write_sample_sheet([6], tmp_path, size_mm=(0.9, 0.9), cancelled=lambda: True)
    assert not (tmp_path / "samples.csv").exists()

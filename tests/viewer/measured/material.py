"""Measurements for tests: counts that follow a spot's place, so that the fake engine predicts them well."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp

from viewer.fakes import GENES

SPOTS = np.stack(np.meshgrid(np.arange(200, 1200, 100.0), np.arange(100, 900, 100.0)), axis=-1).reshape(-1, 2)


def counts_of(genes: list[str]) -> np.ndarray:
    rng = np.random.default_rng(0)
    rates = np.stack(
        [SPOTS[:, 0] / 20 + 5, SPOTS[:, 1] / 10 + 5, SPOTS.sum(axis=1) / 40, np.full(len(SPOTS), 400)], axis=1
    )
    return rng.poisson(rates)[:, [GENES.index(g) if g in GENES else 3 for g in genes]]


def h5ad(path: Path, genes: list[str] = GENES, spots: np.ndarray = SPOTS) -> str:
    data = ad.AnnData(sp.csr_matrix(counts_of(genes), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = list(genes), spots
    data.write_h5ad(path)
    return str(path)

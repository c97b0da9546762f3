"""Choosing the genes that a model learns to predict, from training sections: a table of ways.

Only training sections belong here: a panel chosen with the test section in sight is a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.labels import choose_panel, normalised
from napari_nh2st.expression.threads import threads_kept

if TYPE_CHECKING:
    import anndata as ad

_SEEN = 0.05  # a gene must be counted in so many of the spots: what is nearly always 0 varies by chance
_NEIGHBOURS = 6
_PLACES = 4000  # spots of a section on which Moran's I is computed


@dataclass(frozen=True)
class PanelKind:
    """A row of the table.

    Attributes
    ----------
    description : str
        One line for a menu.
    choose : callable
        ``choose(sections, n)``: the n genes, the best first, of those measured in every section.
    """

    description: str
    choose: Callable[[Sequence[ad.AnnData], int], list[str]]


def choose_genes(sections: Sequence[ad.AnnData], kind: str, n: int) -> list[str]:
    """Choose n genes of training sections.

    Parameters
    ----------
    sections : sequence of AnnData
        Raw counts over all measured genes, from `read_expression`.
    kind : str
        A key of `PANELS`.
    n : int

    Raises
    ------
    SampleError
        If there is no such kind, or no gene was measured in every section.
    """
    if kind not in PANELS:
        raise SampleError(f"there is no panel {kind!r}: choose among {', '.join(PANELS)}, or list the genes")
    return PANELS[kind].choose(sections, n)


def listed_genes(names: Iterable[str], sections: Sequence[ad.AnnData]) -> tuple[list[str], dict[str, list[str]]]:
    """Look a list of genes up in the sections.

    Parameters
    ----------
    names : iterable of str
        As typed or pasted; case does not matter where the symbol is plain without it.
    sections : sequence of AnnData

    Returns
    -------
    measured : list of str
        As the sections spell them, each once, in the order of the list: those measured in every section.
    lacking : dict
        The others: gene -> the sections that lack it (by ``uns["nh2st"]["sample"]``).
    """
    folded = [_by_fold(section) for section in sections]
    measured: list[str] = []
    lacking: dict[str, list[str]] = {}
    for gene in dict.fromkeys(word.strip() for word in names if word.strip()):
        spelt = [names.get(gene) or names.get(gene.casefold()) for names in folded]
        without = [
            str(s.uns["nh2st"]["sample"]) for s, name in zip(sections, spelt, strict=True) if name not in s.var_names
        ]
        if without or spelt[0] is None:
            lacking[gene] = without
        elif spelt[0] not in measured:
            measured.append(spelt[0])
    return measured, lacking


def _by_fold(section: ad.AnnData) -> dict[str, str]:
    names = {str(name).casefold(): str(name) for name in section.var_names}
    return names | {str(name): str(name) for name in section.var_names}


def _shared(sections: Sequence[ad.AnnData]) -> list[str]:
    """Genes measured in every section and counted in enough spots to say how they vary."""
    shared = sorted(set.intersection(*(set(s.var_names) for s in sections)))
    if not shared:
        raise SampleError("the sections have no gene in common: do they use the same gene names?")
    seen = np.zeros(len(shared))
    for section in sections:
        seen += np.asarray((section[:, shared].X > 0).sum(axis=0)).ravel()
    often = seen >= _SEEN * sum(s.n_obs for s in sections)
    return [gene for gene, enough in zip(shared, often, strict=True) if enough] or shared


def _most_variable(sections: Sequence[ad.AnnData], n: int) -> list[str]:
    """Highest dispersion for their mean, scanpy's `highly_variable_genes` over all sections as batches."""
    import anndata
    import scanpy as sc

    genes = _shared(sections)
    parts = [normalised(section)[:, genes] for section in sections]
    data = anndata.concat(parts, label="section", keys=[str(i) for i in range(len(parts))], index_unique="-")
    with threads_kept():
        sc.pp.highly_variable_genes(data, n_top_genes=min(n, len(genes)), batch_key="section", flavor="seurat")
    table = data.var[data.var["highly_variable"]]
    order = table.sort_values(["highly_variable_nbatches", "dispersions_norm"], ascending=False, kind="stable")
    return [str(gene) for gene in order.index[:n]]


def _spatially_variable(sections: Sequence[ad.AnnData], n: int) -> list[str]:
    """Highest Moran's I over the six nearest spots (scanpy), the mean over sections."""
    from scanpy.metrics import morans_i

    genes = _shared(sections)
    total: npt.NDArray[np.float64] = np.zeros(len(genes))
    for section in sections:
        data = normalised(section)[:, genes]
        taken = _some(data.obsm["spatial"])
        graph = _nearest(data.obsm["spatial"][taken])
        values = np.asarray(data.X[taken].toarray().T, dtype=np.float64)
        with threads_kept(), np.errstate(invalid="ignore"):
            total += np.nan_to_num(morans_i(graph, values))
    order = np.argsort(-total, kind="stable")[:n]
    return [genes[i] for i in order]


def _some(places: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Positions of a compact part of the spots: every k-th spot would have far neighbours."""
    if len(places) <= _PLACES:
        return np.arange(len(places))
    middle = np.median(places, axis=0)
    near: npt.NDArray[np.int64] = np.argsort(((places - middle) ** 2).sum(axis=1), kind="stable")[:_PLACES]
    return np.sort(near)


def _nearest(places: npt.NDArray[np.float64]) -> object:
    from sklearn.neighbors import kneighbors_graph

    return kneighbors_graph(places, min(_NEIGHBOURS, len(places) - 1), mode="connectivity")


PANELS: dict[str, PanelKind] = {
    "highest-mean": PanelKind("genes with the highest mean count", choose_panel),
    "most-variable": PanelKind("genes that vary most for their mean", _most_variable),
    "spatially-variable": PanelKind("genes that lie in patches (Moran's I)", _spatially_variable),
}

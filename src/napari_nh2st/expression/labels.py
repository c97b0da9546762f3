"""From counts to what a model learns: the counts of a panel and the choice of its genes."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.threads import threads_kept
from napari_nh2st.targets import LN1P_CP10K, SpotCounts
from napari_nh2st.terminal import option

if TYPE_CHECKING:
    import anndata as ad


_ALIKE = 0.75  # of difflib: ERB2 and ERBB2
_NAMED = 8


def normalised(data: ad.AnnData) -> ad.AnnData:
    """Return a copy with ln(1 + counts per 10,000 of the spot's whole library) in X."""
    import scanpy as sc

    out = data.copy()
    with threads_kept():
        sc.pp.normalize_total(out, target_sum=1e4)
        sc.pp.log1p(out)
    return out


def labels(data: ad.AnnData, genes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Labels of target "ln1p-cp10k", (n_spots, len(genes)); see `spot_counts`. A card makes those of its own target."""
    return LN1P_CP10K.make(spot_counts(data, genes), {})


def spot_counts(data: ad.AnnData, genes: Sequence[str]) -> SpotCounts:
    """Take a panel's counts, of which a card makes labels (`model.card.Card.labels`).

    Parameters
    ----------
    data : AnnData
        Raw counts over ALL measured genes: the library size is taken before the panel is.
    genes : sequence of str

    Returns
    -------
    SpotCounts

    Raises
    ------
    SampleError
        Naming the genes that were not measured.
    """
    missing = [g for g in genes if g not in data.var_names]
    if missing:
        shared = option("panel shared", "nh2st finetune --panel shared")
        alike = {g: get_close_matches(g.upper(), data.var_names, 2, _ALIKE) for g in missing[:_NAMED]}
        said = [f"{g} (did you mean {' or '.join(like)}?)" if like else g for g, like in alike.items()]
        names = ", ".join(said) + (", ..." if len(missing) > _NAMED else "")
        raise SampleError(
            f"{len(missing)} of {len(genes)} genes of the panel were not measured: {names}; "
            f"train with those that were measured in every section ({shared}), or list the genes in the settings"
        )
    columns = data.var_names.get_indexer(list(genes))
    counts = np.asarray(data.X[:, columns].toarray(), dtype=np.float32)
    return SpotCounts(counts, np.asarray(data.X.sum(axis=1, dtype=np.float64)).ravel())


def choose_panel(sections: Sequence[ad.AnnData], n: int = 250) -> list[str]:
    """Choose the n genes of highest mean raw count over all spots, among those measured in every section.

    By counts and not by labels: of a shallow spot one count already makes a high label, so there a mean of labels
    chooses by noise. Only training sections belong here: a panel chosen with the test section in sight is a leak.

    Parameters
    ----------
    sections : sequence of AnnData
        Raw counts.
    n : int

    Returns
    -------
    list of str
        Highest mean first; ties in alphabetical order, so that the choice does not depend on the file.
    """
    shared = sorted(set.intersection(*(set(s.var_names) for s in sections)))
    if not shared:
        raise SampleError("the sections have no gene in common: do they use the same gene names?")
    total = np.zeros(len(shared))
    for section in sections:
        columns = section.var_names.get_indexer(shared)
        total += np.asarray(section.X[:, columns].sum(axis=0, dtype=np.float64)).ravel()
    order = np.argsort(-total, kind="stable")[:n]
    return [shared[i] for i in order]

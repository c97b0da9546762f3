"""The card of a model to be trained: its panel, pixel size and pitch, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, spot_counts
from napari_nh2st.expression.columns import ensembl_id
from napari_nh2st.expression.panel_match import match_panel
from napari_nh2st.expression.panels import choose_genes
from napari_nh2st.model.card import Card
from napari_nh2st.model.find_genes import known_by
from napari_nh2st.model.folder import Model
from napari_nh2st.model.gene_names import ensembl_ids, other_symbols
from napari_nh2st.slides import open_slide
from napari_nh2st.targets import TARGETS, SpotCounts
from napari_nh2st.training.config import DEFAULT_TARGET, TrainingConfig

# Arrays whose spacing is known, micrometres; a measured spacing close to one of them is taken for it.
ARRAY_PITCHES = (100.0, 200.0)


def card_for(
    samples: Sequence[Sample],
    data: Sequence[Any],
    config: TrainingConfig,
    start: Model | None = None,
    *,
    seen: Sequence[Any] | None = None,
) -> Card:
    """Settle panel, geometry and architecture from training sections, or take them over from a base model.

    Parameters
    ----------
    samples : sequence of Sample
    data : sequence of AnnData
        From `read_expression`, in the same order.
    config : TrainingConfig
    start : Model, optional
        Base model.
    seen : sequence of AnnData, optional
        The spots by which a panel is chosen and the labels' facts are learnt, where not all of `data` may be looked at.
    """
    seen = data if seen is None else seen
    if start is not None:
        genes = _listed(config, [*start.card.genes, *_measured(data)]) or start.card.genes
        architecture, mpp, pitch = start.card.architecture, start.card.mpp, start.card.pitch
    else:
        genes = _listed(config, _measured(data)) or choose_genes(seen, config.panel_kind, config.panel)
        architecture = config.architecture
        mpp, pitch = _geometry(samples, data, config)
    ids, target = _ids(genes, data, start), target_for(config, None if start is None else start.card)
    return Card(
        name=config.name,
        description=config.description,
        licence=config.licence,
        tissue=config.tissue,
        citation=config.citation,
        synthetic=config.synthetic,
        architecture=architecture,
        mpp=mpp,
        pitch=pitch,
        genes=genes,
        ensembl=ids,
        label_recipe=target,
        label_facts=_label_facts(target, genes, ids, seen),
        gene_means=[0.0] * len(genes),
        seen_before=[] if start is None else start.card.seen,
        base=None if start is None else f"{start.card.name} {start.hash}",
    )


def target_for(config: TrainingConfig, base: Card | None) -> str:
    """Return the name of the target that a run learns: what the settings say, else what the base model predicts.

    A base model with labels that are not made here, such as a converted one, goes on with the default target.
    """
    if config.labels is not None:
        return config.labels
    return DEFAULT_TARGET if base is None or base.label_recipe not in TARGETS else base.label_recipe


def _label_facts(
    target: str, genes: Sequence[str], ids: Sequence[str | None] | None, data: Sequence[Any]
) -> dict[str, float | list[float]]:
    """Learn of the training spots what the labels of a target are made with."""
    if not TARGETS[target].facts:
        return {}
    named = [match_panel(section, genes, ids, other_symbols)[0] for section in data]
    return TARGETS[target].learn(SpotCounts.join([spot_counts(section, genes) for section in named]))


def _measured(data: Sequence[Any]) -> list[str]:
    """Return the symbols that were measured in every section."""
    return sorted(set.intersection(*(set(map(str, section.var_names)) for section in data)))


def _listed(config: TrainingConfig, known: Sequence[str]) -> list[str]:
    """Return the genes that the settings list, by their symbols; empty if they list none."""
    return list(dict.fromkeys(known_by(config.genes or (), known)))


def shared_panel(samples: Sequence[Sample], genes: Sequence[str]) -> list[str]:
    """Return the genes of a panel that were measured in every section, in the panel's order.

    Raises
    ------
    SampleError
        If there is none.
    """
    measured = [set(map(str, read_expression(sample).var_names)) for sample in samples]
    shared = [gene for gene in genes if all(gene in names for names in measured)]
    if not shared:
        raise SampleError(
            f"none of the {len(genes)} genes of the panel was measured in every section: do the gene names match? "
            "Without a model to start from, a panel is chosen from your own genes"
        )
    return shared


def _ids(genes: Sequence[str], data: Sequence[Any], start: Model | None) -> list[str | None] | None:
    """Return Ensembl ids of the panel: those of the base model, of the files, or of today's human genes."""
    ids: dict[str, str] = {}
    sources: list[dict[str, str | None]] = [dict(zip(genes, ensembl_ids(genes) or (), strict=False))]
    for section in data:
        if "gene_ids" in section.var:
            sources.append(
                dict(zip(map(str, section.var_names), map(ensembl_id, section.var["gene_ids"]), strict=True))
            )
    if start is not None and start.card.ensembl is not None:
        sources.append(dict(zip(start.card.genes, start.card.ensembl, strict=True)))
    for source in sources:  # the surest last
        ids |= {gene: known for gene in genes if (known := source.get(gene))}
    return [ids.get(gene) for gene in genes] if ids else None


def _geometry(samples: Sequence[Sample], data: Sequence[Any], config: TrainingConfig) -> tuple[float, int]:
    """Choose mpp and pitch so that the neighbour places fall on the array and on the encoder's cells.

    Arrays of 200 um take nine cells a pitch, denser ones six: a patch then spans about the pitch. Pooled places lie
    side by side: with seven cells, a patch is a place.
    """
    stride = config.architecture.stride
    if config.mpp is not None and config.pitch is not None:
        return config.mpp, config.pitch
    spacings = []
    for sample, section in zip(samples, data, strict=True):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            spots = section.obsm["spatial"]
            spacings.append(np.median(cKDTree(spots).query(spots, 5)[0][:, 1:]) * slide.require_mpp())
    spacing = float(np.median(spacings))
    array = min(ARRAY_PITCHES, key=lambda p: abs(p - spacing))
    spacing = array if abs(array - spacing) < 0.08 * array else spacing
    if config.mpp is not None:
        return config.mpp, max(stride, round(spacing / config.mpp / stride) * stride)
    pooled = all(section.uns.get("nh2st", {}).get("pooled") for section in data)
    pitch = config.pitch or stride * (7 if pooled else 9 if spacing > 150 else 6)
    return spacing / pitch, pitch

"""The card of a trained model: what it was trained on, how, and how well it predicts what was held out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from napari_nh2st import metrics
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card, Evaluation, GeneTrust, TrainingSample
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.training.network.network_module import HeldOutBlock
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.sections.section import Section


def trained_card(setup: TrainingSetup, blocks: Mapping[int, HeldOutBlock], learnt_before: Collection[str] = ()) -> Card:
    """Make the card of a model whose best epoch predicts the scored blocks of these sections, by number, so.

    Blocks of sections from which the base model has learnt, `learnt_before`, do not count.
    """
    scored = [(s, blocks[s.number]) for s in setup.sections if s.number in blocks and s.name not in learnt_before]
    return setup.card.model_copy(
        update={
            "training": [_sample(section) for section in setup.sections],
            "training_mpp": [round(s.mpp, 6) for s in setup.sections],
            "evaluation": _evaluation(setup, scored) if scored else None,
            "recipe": {"seed": setup.seed, **_recipe(setup)},
            "versions": {**versions(), "command": repeat_command()},
        }
    )


def refitted_card(card: Card, setup: TrainingSetup) -> Card:
    """Make the card of a model that was trained again, on all spots; the held-out figures stay."""
    trained = [
        sample.model_copy(update={"spots": len(section.labels)})
        for sample, section in zip(card.training, setup.sections, strict=True)
    ]
    again = {name: getattr(setup.card, name) for name in ("gene_means", "gene_stds", "architecture", "outputs")}
    return card.model_copy(update={**again, "training": trained})


def _sample(section: Section) -> TrainingSample:
    spots = int((~section.held_out).sum())
    return TrainingSample(sample=section.name, patient=section.patient, spots=spots, fingerprint=section.fingerprint)


def _recipe(setup: TrainingSetup) -> dict[str, Any]:
    """Keep the plain settings of a run, and its objectives; architecture and panel stand on the card already."""
    config = setup.config
    settings = config.model_dump(mode="json")
    plain = {k: v for k, v in settings.items() if not isinstance(v, (dict, list)) and k != "description"}
    plain.pop("objectives", None)
    for name, options in config.losses(setup.card.architecture).items():
        plain |= {f"objectives.{name}.{option}": value for option, value in options.items()}
    return {**plain, "precision": choose_precision(config.precision, choose_device(config.device))}


def _evaluation(setup: TrainingSetup, scored: Sequence[tuple[Section, HeldOutBlock]]) -> Evaluation:
    """Per-gene PCC on the held-out blocks, with an interval from resampling squares of spots."""
    scores, draws, weights = [], [], []
    for section, block in scored:
        squares = metrics.spatial_blocks(section.centres[block.spots, SELF], side=2.0 * setup.card.pitch)
        scores.append(metrics.pcc(block.measured, block.predicted).per_gene)
        draws.append(metrics.bootstrap(block.measured, block.predicted, squares, seed=setup.seed).pcc)
        weights.append(len(block.measured))
    per_gene = np.average(scores, axis=0, weights=weights)  # (G,)
    low, high = metrics.interval(np.average(draws, axis=0, weights=weights))
    genes = {
        gene: GeneTrust(pcc=round(float(p), 3), low=round(float(a), 3), high=round(float(b), 3))
        for gene, p, a, b in zip(setup.card.genes, per_gene, low, high, strict=True)
    }
    return Evaluation(
        kind="synthetic" if setup.card.synthetic else "same-patient",
        samples=[f"{section.name} (block)" for section, _ in scored],
        pcc_mean=round(float(per_gene.mean()), 4),
        genes=genes,
    )

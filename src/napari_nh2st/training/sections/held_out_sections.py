"""Whole sections that a run does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.panel_match import match_panel, none_found
from napari_nh2st.expression.patients import patient_key, patient_keys
from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_names import other_symbols
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.section import Section, load_section


def split_samples(samples: Sequence[Sample], config: TrainingConfig) -> tuple[list[Sample], list[Sample]]:
    """Split samples into those that a run learns from and those that it only scores.

    Returns
    -------
    train, held_out : list of Sample
        Each in the order of the sheet; nothing is held out where the settings name nothing: a block of each section
        is then. A patient that is held out is so with all sections, however its name is written.

    Raises
    ------
    SampleError
        If the settings name a sample or patient that the sheet does not have, or all of it.
    """
    sections, patients = config.hold_out_sections or [], config.hold_out_patients or []
    known = patient_keys(s.patient for s in samples)
    lacking = [f"sample {name}" for name in sections if name not in {s.sample for s in samples}]
    lacking += [f"patient {name}" for name in patients if patient_key(name) not in known]
    if lacking:
        names = ", ".join(f"{s.sample} (patient {s.patient})" for s in samples)
        raise SampleError(f"there is no {', '.join(lacking)} to hold out: the sheet has {names}")
    keys = patient_keys(patients)
    held_out = [s for s in samples if s.sample in sections or patient_key(s.patient) in keys]
    train = [s for s in samples if s not in held_out]
    if not train:
        raise SampleError("all sections are held out: leave at least one to train on")
    return train, held_out


@dataclass(eq=False)
class HeldOutSections:
    """Sections that are only scored, read in the geometry of the model in training.

    Attributes
    ----------
    samples : list of Sample
    sections : list of Section
        Labels are as wide as the panel; genes that were not measured in all of them are 0 there, and not in `genes`.
    genes : list of str
        Genes of the panel that were measured in all of them.
    """

    samples: list[Sample]
    sections: list[Section]
    genes: list[str]

    @classmethod
    def read(
        cls,
        samples: Sequence[Sample],
        card: Card,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> HeldOutSections:
        """Load held-out samples in the geometry of a card.

        Raises
        ------
        SampleError
            If none of the panel's genes were measured there, or as `load_section` does.
        """
        data = [match_panel(read_expression(s), card.genes, card.ensembl, other_symbols)[0] for s in samples]
        genes = [g for g in card.genes if all(g in d.var_names for d in data)]
        if samples and not genes:
            names = ", ".join(s.sample for s in samples)
            why = none_found(data[0], card.genes)
            raise SampleError(f"none of the panel's genes were measured in the held-out {names}: {why}")
        narrow = card.only(genes)
        sections: list[Section] = []
        for sample, counted in zip(samples, data, strict=True):
            progress(len(sections), len(samples))
            sections.append(load_section(sample, counted, narrow))
        columns = [card.genes.index(g) for g in genes]
        for section in sections:
            measured, section.labels = section.labels, np.zeros((len(section.labels), len(card.genes)), np.float32)
            section.labels[:, columns] = measured
            section.held_out[:] = True
        return cls(list(samples), sections, genes)

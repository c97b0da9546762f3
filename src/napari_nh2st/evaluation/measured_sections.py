"""The sections of a comparison, read once for each geometry, whatever the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_nh2st.engine.section_descriptor import describe_section
from napari_nh2st.expression import Sample, read_expression, spot_counts
from napari_nh2st.model.card import Card
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.findings import SectionFindings
from napari_nh2st.training.sections.held_apart import NamedSection
from napari_nh2st.training.sections.section import Section, load_section


@dataclass(eq=False)
class MeasuredSections:
    """Sections, read when somebody asks for them, and kept."""

    data: dict[str, Any] = field(default_factory=dict)
    read: dict[tuple[str, float, int], Section] = field(default_factory=dict)
    findings: dict[str, SectionFindings] = field(default_factory=dict)
    named: dict[str, NamedSection] = field(default_factory=dict)

    def expression(self, sample: Sample) -> Any:
        """Return a section's counts, an AnnData."""
        if sample.sample not in self.data:
            self.data[sample.sample] = read_expression(sample)
        return self.data[sample.sample]

    def examine(self, sample: Sample) -> SectionFindings:
        """Compare a section's spots with its slide, and describe it.

        Raises
        ------
        SampleError, MppNeeded
            If the section is refused.
        """
        if sample.sample not in self.findings:
            data = self.expression(sample)
            with open_slide(sample.slide, mpp=sample.mpp) as slide:
                findings = examine(sample, data, slide)
                findings.admit(sample.sample, data)
                self.named[sample.sample] = NamedSection.of_sample(sample, describe_section(slide, data))
            self.findings[sample.sample] = findings
        return self.findings[sample.sample]

    def get(self, sample: Sample, card: Card, genes: list[str]) -> Section:
        """Read a section in the card's geometry, with the labels of these genes."""
        key = (sample.sample, card.mpp, card.pitch)
        data = self.expression(sample)
        if key not in self.read:
            self.read[key] = load_section(sample, data, card.only(genes))
        section = self.read[key]
        joined = data[section.ids]
        assert list(joined.obs_names) == list(section.ids), "spots and labels are joined by id"
        return replace(section, labels=card.only(genes).labels(spot_counts(joined, genes)))

    def forget_all_but(self, samples: Sequence[Sample]) -> None:
        """Let go of everything that these sections do not need."""
        names = {sample.sample for sample in samples}
        for kept in (self.data, self.findings, self.named):
            for name in [name for name in kept if name not in names]:
                del kept[name]
        for key in [key for key in self.read if key[0] not in names]:
            del self.read[key]

"""Checks of the sections of a run, one at a time in the background, and what they say together. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_nh2st.expression import Sample
from napari_nh2st.viewer.finetune.sections_state import Overview, Section
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import count, error_words

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts


class SectionChecks:
    """Has each section checked that is not yet.

    Parameters
    ----------
    threads : Threads
    sections : callable
        Returns the sections as they are now.
    checked : callable
        Called when one more is checked.
    failed : callable
        Called with an error of the check itself.
    """

    def __init__(
        self,
        threads: Threads,
        sections: Callable[[], Sequence[Section]],
        checked: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._threads, self._sections, self._told, self._failed = threads, sections, checked, failed
        self._in_check: Section | None = None
        self._closed = False

    def close(self) -> None:
        """Check nothing any more."""
        self._closed = True

    def check_next(self) -> None:
        """Have the next section checked, one at a time."""
        sections = self._sections()
        if self._closed or self._in_check in sections:
            return
        self._in_check = next((section for section in sections if section.facts is None), None)
        if self._in_check is not None:
            section, sample = self._in_check, self._in_check.sample
            before = [other.facts for other in sections if other.facts is not None]
            then = partial(self._checked, section, sample)
            self._threads.call(_check, sample, before, then=then, failed=self._failed)

    def _checked(self, section: Section, sample: Sample, facts: SectionFacts) -> None:
        if self._in_check is section:
            self._in_check = None
        if self._closed or section not in self._sections():
            return  # removed meanwhile, or another sheet was chosen
        if replace(sample, sample="", patient="") == replace(section.sample, sample="", patient=""):
            section.facts = replace(facts, sample=section.sample)
        self._told()


def overview_of(sections: Sequence[Section], problem: str = "") -> Overview:
    """Sum sections up as they are now.

    Parameters
    ----------
    sections : sequence of Section
    problem : str
        What is wrong with their sheet.
    """
    checked = [section.facts for section in sections if section.facts is not None]
    facts: list[SectionFacts] = []
    stops: list[str] = []
    looks: list[str] = []
    if checked:
        from napari_nh2st.training.sections.section_check import check_together, named  # loaded by the check

        facts = named(checked)
        if len(checked) == len(sections):
            stops, looks = check_together(facts)
    judged = iter(facts)
    rows = tuple((s.sample, None if s.facts is None else next(judged)) for s in sections)
    note = problem or _summary([section.sample for section in sections], facts)
    return Overview(rows, tuple(facts), note, tuple(stops), tuple(looks))


def _summary(samples: Sequence[Sample], facts: Sequence[SectionFacts]) -> str:
    if not facts:
        return ""
    from napari_nh2st.training.sections.section_check import shared_genes

    patients = {sample.patient for sample in samples} - {""}
    whose = f" of {count(len(patients), 'patient')}" if all(sample.patient for sample in samples) else ""
    measured = "measured" if len(facts) == 1 else "shared by all"
    return f"{count(len(facts), 'section')}{whose}, {count(len(shared_genes(facts)), 'gene')} {measured}"


def _check(sample: Sample, before: list[SectionFacts]) -> SectionFacts:
    """Check one section, and which genes it shares with those before. Slow: not on the GUI thread."""
    from napari_nh2st.training.sections.held_apart import same_warnings
    from napari_nh2st.training.sections.section_check import SectionFacts, check_section, shared_genes

    try:
        facts = check_section(sample)
    except Exception as error:  # whatever a file can do: its row says so, the others are checked
        return SectionFacts(sample, "stop", (f"it cannot be read: {error_words(error)}",))
    shared_genes([*before, facts])  # remembered, as the pairs are: asked again on the GUI thread
    same_warnings([other.named for other in (*before, facts)])
    return facts

"""A look at the sections of a sheet before a run: what each of them brings, what is wrong with it and how to mend it.

Nothing is computed that takes long: counts are read, the tissue of the slide is found, spots are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_nh2st.engine.section_descriptor import UNDESCRIBED, SectionDescriptor, describe_section
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.patients import nobody, written_twice
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.held_apart import NamedSection, same_warnings

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.slides import Slide


SectionState = Literal["good", "look", "stop"]


_TOO_FEW_SPOTS, _FEW_SPOTS = 5, 50


_MIXED = 1.5  # pixel sizes that differ by more than this are worth a word


_SHALLOW = 500  # counts a spot


_SHARED = 0.5  # of the genes of the section with fewest: fewer in common are worth a word


NO_PATIENT = "which patient is it? Type it in: sections of one patient must not be on both sides of a comparison"


@dataclass(frozen=True)
class SectionFacts:
    """Facts about one section, found before a run.

    Attributes
    ----------
    sample : Sample
    state : "good", "look" or "stop"
        Fine, something to know, or a run with it would not start.
    says : tuple of str
        Sentences: what is wrong and how to mend it.
    spots : int or None
        Spots with counts, a position on the slide and tissue under them or not.
    on_tissue : int or None
        Those over tissue.
    genes : frozenset of str
        Measured genes.
    depth : float or None
        Median counts per spot.
    mpp : float or None
        Micrometres per level-0 pixel, and where that number comes from.
    mpp_source : str
    pitch_um : float or None
        Median distance of a spot to its four nearest, micrometres.
    descriptor : SectionDescriptor
        By which the section is known again, under whatever name.
    """

    sample: Sample
    state: SectionState
    says: tuple[str, ...] = ()
    spots: int | None = None
    on_tissue: int | None = None
    genes: frozenset[str] = frozenset()
    depth: float | None = None
    mpp: float | None = None
    mpp_source: str = ""
    pitch_um: float | None = None
    descriptor: SectionDescriptor = UNDESCRIBED

    @property
    def named(self) -> NamedSection:
        """The section as the sheet names it now, with what it is known by."""
        return NamedSection.of_sample(self.sample, self.descriptor)


def check_section(sample: Sample) -> SectionFacts:
    """Look at one section's files. Slow where they are: not on a GUI thread. What its names say: `named`."""
    try:
        data = read_expression(sample)
    except Nh2stError as error:
        return SectionFacts(sample, "stop", (_without_name(str(error), sample),))
    genes = frozenset(map(str, data.var_names))
    depth = float(np.median(data.obs["total_counts"]))
    counts = {"spots": data.n_obs, "genes": genes, "depth": depth}
    try:
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            return _beside_slide(sample, data, slide, counts)
    except (Nh2stError, OSError) as error:
        return SectionFacts(sample, "stop", (f"the slide cannot be used: {error}",), **counts)


def _beside_slide(sample: Sample, data: ad.AnnData, slide: Slide, counts: dict[str, object]) -> SectionFacts:
    findings, mpp = examine(sample, data, slide), slide.mpp
    stop, look = list(findings.refusals), list(findings.doubts)
    dropped = int(data.uns["nh2st"]["dropped"])
    if dropped:
        look.append(f"{dropped} spots without any count are left out")
    if repeated := int(data.uns["nh2st"]["repeated"]):
        look.append(f"genes with the name of an earlier one: {repeated}; the first of each name counts")
    if data.n_obs < _TOO_FEW_SPOTS:
        stop.append(f"only {data.n_obs} spots: too few to hold some out and learn from the others; leave it away")
    elif data.n_obs < _FEW_SPOTS:
        look.append(f"only {data.n_obs} spots: too few to learn much from")
    if (depth := float(np.median(data.obs["total_counts"]))) < _SHALLOW:
        look.append(f"shallow: {depth:,.0f} counts in the median spot")
    look += slide.warnings
    return SectionFacts(
        sample,
        "stop" if stop else "look" if look else "good",
        (*stop, *look),
        on_tissue=int(findings.on_tissue.sum()),
        mpp=mpp,
        mpp_source="sheet" if sample.mpp is not None else slide.mpp_source,
        pitch_um=findings.array.pixels * (mpp or 0) or None,
        descriptor=describe_section(slide, data),
        **counts,  # type: ignore[arg-type]
    )


def check_sections(
    samples: Sequence[Sample],
    progress: Callable[[int, int], object] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[SectionFacts]:
    """Look at every section of a sheet, one after the other.

    Raises
    ------
    Cancelled
    """
    out = []
    for i, sample in enumerate(samples):
        if cancelled():
            raise Cancelled("stopped")
        progress(i, len(samples))
        out.append(check_section(sample))
    return named(out)


def named(facts: Sequence[SectionFacts]) -> list[SectionFacts]:
    """Add problems with names: no patient, or a name or files that another section has too. Reads no file."""
    names = Counter(f.sample.sample for f in facts)
    files = Counter((f.sample.slide, f.sample.expression) for f in facts)
    out = []
    for fact in facts:
        sample = fact.sample
        wrong = [NO_PATIENT] if nobody(sample.patient) else []
        if not sample.sample:
            wrong.append("the section has no name: give it one of its own")
        elif names[sample.sample] > 1:
            wrong.append(f"another section is named {sample.sample} too: give each a name of its own")
        if files[sample.slide, sample.expression] > 1:
            wrong.append("the same slide and counts are listed twice: remove one of the two")
        first = 1 if fact.state == "stop" else 0  # what is wrong with the files is harder to mend
        says = (*fact.says[:first], *wrong, *fact.says[first:])
        out.append(replace(fact, state="stop", says=says) if wrong else fact)
    return out


def check_together(facts: Sequence[SectionFacts]) -> tuple[list[str], list[str]]:
    """Find what only shows when the sections are seen together.

    Returns
    -------
    stop : list of str
        Why a run would not start, and how to mend it.
    look : list of str
        What to know before it does.
    """
    readable = [f for f in facts if f.genes]
    stopped: dict[str, list[str]] = {}  # by what is wrong: which sections
    for f in facts:
        for text in f.says if f.state == "stop" else ():
            if text in (f.says[0], NO_PATIENT):
                stopped.setdefault(text, []).append(f.sample.sample)
    stop: list[str] = [f"{', '.join(names)}: {text}" for text, names in stopped.items()]
    look: list[str] = []
    shared = len(shared_genes(readable))
    if len(readable) > 1 and not shared:
        first = readable[0]
        odd = ", ".join(f.sample.sample for f in readable if not f.genes & first.genes)
        stop.append(
            f"{odd} and {first.sample.sample} have no gene in common: is one in symbols and the other in Ensembl ids?"
        )
    if shared and shared < _SHARED * min(len(f.genes) for f in readable):
        fewest = min(readable, key=lambda f: len(f.genes))
        look.append(
            f"genes that were measured in every section: only {shared:,} ({fewest.sample.sample} has the fewest, "
            f"{len(fewest.genes):,}); a model learns no other ones"
        )
    sizes = [f.mpp for f in facts if f.mpp is not None]
    if sizes and max(sizes) > _MIXED * min(sizes):
        look.append(
            f"pixels are {min(sizes):.3g} to {max(sizes):.3g} µm wide: all sections are read at one size, the coarser "
            "ones bring less detail"
        )
    pitches = [f.pitch_um for f in facts if f.pitch_um]
    if pitches and max(pitches) > _MIXED * min(pitches):
        look.append(
            f"spots lie {min(pitches):.0f} to {max(pitches):.0f} µm apart: neighbours are looked for at one distance"
        )
    look += [f"{text}: hold out both or none, or remove one" for text in same_warnings([f.named for f in facts])]
    look += written_twice(f.sample.patient for f in facts)
    patients = {f.sample.patient for f in facts}
    if len(facts) == 1:
        look.append("one section: a part of it is held out, which says little of any other slide")
    elif len(patients) == 1 and "" not in patients:
        look.append("one patient: how good the model is on another one cannot be measured with these sections")
    return stop, look


def shared_genes(facts: Sequence[SectionFacts]) -> frozenset[str]:
    """Return the genes that were measured in every section that could be read."""
    panels = [f.genes for f in facts if f.genes]
    return reduce(_in_both, panels) if panels else frozenset()


@lru_cache(maxsize=256)
def _in_both(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """Intersect; remembered, as sections are added one by one and asked about again after each edit."""
    return some if some <= others else some & others


def _without_name(text: str, sample: Sample) -> str:
    return text.removeprefix(f"sample {sample.sample}: ").replace(str(Path(sample.expression)), sample.expression.name)

"""The measurement of a slide that was predicted: read, and its spots checked on the slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.engine import prediction as engine
from napari_nh2st.errors import Nh2stError

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.engine.section_descriptor import SectionDescriptor
    from napari_nh2st.slides import Slide
    from napari_nh2st.training.sections.findings import SectionFindings


@dataclass(frozen=True, eq=False)
class MeasuredSection:
    """A measurement whose spots were checked on the slide.

    Attributes
    ----------
    name : str
        Of the file or folder.
    slide : Slide
        Open, with the pixel size that it was predicted with.
    data : AnnData
        Raw counts of the spots on the slide, ``obsm["spatial"]`` in level-0 pixels.
    findings : SectionFindings
    """

    name: str
    slide: Slide
    data: ad.AnnData
    findings: SectionFindings
    _counts: ad.AnnData

    @property
    def descriptor(self) -> SectionDescriptor:
        """Facts by which the section is known again; the slide's overview is read for them."""
        from napari_nh2st.engine.section_descriptor import describe_section

        return describe_section(self.slide, self._counts)


@contextmanager
def measured_section(
    prediction: engine.Prediction, paths: Sequence[str | Path], slide: str | Path | Slide | None
) -> Iterator[MeasuredSection]:
    """Read the measurement of the slide that was predicted.

    Parameters
    ----------
    paths : sequence of path
        A file, a folder, or counts and positions, and perhaps a transform: `expression.detect`.
    slide : path or Slide, optional
        Where it is now, if no longer where it was predicted.

    Raises
    ------
    Nh2stError
        If the slide is not found, or is another one.
    SampleError, MppNeeded
        If the measurement cannot be read, or is refused by `training.sections.examine`.
    """
    from napari_nh2st.expression import read_expression
    from napari_nh2st.expression.detect import detect
    from napari_nh2st.slides import Slide
    from napari_nh2st.training.sections.examine import examine

    files = detect([Path(path).expanduser() for path in paths]).complete()
    opened = slide if isinstance(slide, Slide) else _open(prediction, slide)
    try:
        image = _as_predicted(prediction, opened)
        sample = files.on(image.path, image.mpp)
        counts = read_expression(sample)
        findings = examine(sample, counts, image)
        yield MeasuredSection(files.name, image, findings.admit(files.name, counts), findings, counts)
    finally:
        if opened is not slide:
            opened.close()


def _open(prediction: engine.Prediction, path: str | Path | None) -> Slide:
    """Open the slide that was predicted: the spots are checked on it."""
    from napari_nh2st.formats.picture import find_slide
    from napari_nh2st.slides import open_slide

    if path is not None:
        return open_slide(path)
    found, reason = find_slide(prediction)
    if found is None:
        raise Nh2stError(f"{reason}; say where the slide is, so that the spots can be checked on it")
    return found


def _as_predicted(prediction: engine.Prediction, slide: Slide) -> Slide:
    """Return a slide with the pixel size that it was predicted with; refuse another one."""
    facts = prediction.slide
    if facts.get("fingerprint") not in (None, slide.fingerprint):
        raise Nh2stError(f"{slide.path} is another slide than the one that was predicted")
    mpp = facts.get("mpp")
    return slide if mpp in (None, slide.mpp) else slide.with_mpp(float(mpp))

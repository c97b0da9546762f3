"""Describe the training sections of a model without training it again, where its folder has no descriptors of them.

``python -m napari_nh2st.demo.descriptors MODEL SAMPLES.csv``: the sheet names the sections; their slides are unchanged.
For the bundled models of procedural tissue, ``--demo`` makes the sheet.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from napari_nh2st.demo.recipe import RECIPES, TRAINING_SEEDS, bundle_folder
from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.engine.descriptor_file import DESCRIPTORS, key_of, put_descriptors, read_descriptors
from napari_nh2st.engine.section_descriptor import SectionDescriptor, describe_section
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.model.folder import find_model, load_card
from napari_nh2st.slides import open_slide


def describe_sheet(sheet: Path) -> list[tuple[Sample, SectionDescriptor]]:
    """Describe the sections of a sheet."""
    described = []
    for sample in read_sheet(sheet):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            described.append((sample, describe_section(slide, read_expression(sample))))
    return described


def put_from_sheet(
    model: str | Path, described: Sequence[tuple[Sample, SectionDescriptor]], *, by_name: bool = False
) -> Path:
    """Write the descriptors of a model's training sections into its folder.

    Parameters
    ----------
    model : name or path
    described : sequence of (Sample, SectionDescriptor)
    by_name : bool
        Join by name and patient: for slides that are made again, whose files differ with the library that wrote them.

    Raises
    ------
    SampleError
        If none of them is in the sheet.
    """
    folder, card = find_model(model), load_card(model)
    slides = {(s.sample, s.patient) if by_name else descriptor.fingerprint: descriptor for s, descriptor in described}
    pairs = [(key_of(s), slides.get((s.sample, s.patient) if by_name else s.fingerprint)) for s in card.seen]
    own = {key: descriptor for key, descriptor in pairs if descriptor is not None}
    if not own:
        names = ", ".join(sample.sample for sample in card.seen) or "none that it names"
        raise SampleError(f"no slide of the sheet is one of the training slides of {card.name} ({names}), unchanged")
    put_descriptors({**read_descriptors(folder), **own}, folder)
    return folder / DESCRIPTORS


def main(argv: Sequence[str] | None = None) -> int:
    """Describe from the command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_nh2st.demo.descriptors", description=main.__doc__)
    parser.add_argument("model", nargs="?", help="a bundled model's name or a folder")
    parser.add_argument("sheet", nargs="?", type=Path, help="sample sheet of its training sections")
    parser.add_argument("--demo", action="store_true", help="the bundled models of procedural tissue")
    given = parser.parse_args(argv)
    if given.demo:
        with tempfile.TemporaryDirectory() as made:
            described = describe_sheet(write_sample_sheet(TRAINING_SEEDS, Path(made)))
        written = [put_from_sheet(bundle_folder() / name, described, by_name=True) for name in RECIPES]
    elif given.model is None or given.sheet is None:
        parser.error("name a model and a sheet, or give --demo")
    else:
        written = [put_from_sheet(given.model, describe_sheet(given.sheet))]
    for path in written:
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

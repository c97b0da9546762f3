"""`nh2st sheet`: the sections of a folder as a sample sheet, and what each of them lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_new
from napari_nh2st.cli.options import JsonOption
from napari_nh2st.cli.output import print_json
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import in_columns, interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.expression import Sample


def sheet(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With slides and their counts, four folders deep.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The sample sheet to write.", show_default=False)
    ] = Path("samples.csv"),
    patients: Annotated[
        str | None,
        typer.Option(
            "--patients",
            metavar="PATTERN or TABLE",
            help="A regular expression whose first group is the patient, in the section's name or its slide's path; "
            "or a CSV file with the columns sample and patient.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the measured sections of a folder, say what each lacks, and write them as a sample sheet.

    Counts belong to the slide of the same name, folders of assays to the image beside them. What a section lacks
    and you know, you fill in by hand.
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}", param_hint="FOLDER")
    check_new(out, overwrite)
    from napari_nh2st.expression import FORMATS, write_sheet
    from napari_nh2st.expression.find import find_sections
    from napari_nh2st.expression.name_patients import name_patients

    where = folder.expanduser().absolute()
    samples, says = find_sections(where, interruptible(), anew=True)
    if patients is not None:
        samples = name_patients(samples, patients, where)
    rows = [_row(sample) for sample in samples]
    # What is pooled needs the pixel size where the counts are read, before the slide is opened.
    samples = [
        replace(s, mpp=row["mpp"]) if FORMATS[s.format].pools and s.mpp is None else s
        for s, row in zip(samples, rows, strict=True)
    ]
    if samples:
        write_sheet(samples, out, unfinished=True)
    if as_json:
        print_json({"sheet": str(out) if samples else None, "sections": rows, "says": says})
        return
    _print(rows)
    for sentence in says:
        say(f"note: {sentence}")
    if not samples:
        raise Nh2stError("no section was found, so no sheet was written")
    print(out)
    if any(row["lacks"] for row in rows):
        say(f"note: fill in what is lacking in {out.name}, then: nh2st finetune {out} --estimate")


def _row(sample: Sample) -> dict[str, Any]:
    """Say what is known of a section, and what it lacks; nothing but the slide's head is read."""
    from napari_nh2st.expression import FORMATS
    from napari_nh2st.expression.patients import nobody
    from napari_nh2st.slides import open_slide

    mpp, lacks = None, []
    try:
        with open_slide(sample.slide) as slide:
            mpp = slide.mpp
    except Nh2stError as error:
        lacks.append(f"a slide that can be read ({error})")
    else:
        lacks += ["mpp"] if mpp is None else []
    if FORMATS[sample.format].needs_spots and sample.spots is None:
        lacks.append("positions")
    elsewhere = FORMATS[sample.format].elsewhere
    if elsewhere is not None and sample.transform is None and elsewhere(sample.expression):
        lacks.append("transform")
    lacks += ["patient"] if nobody(sample.patient) else []
    return {
        "sample": sample.sample,
        "patient": sample.patient,
        "slide": str(sample.slide),
        "expression": str(sample.expression),
        "format": sample.format,
        "mpp": mpp,
        "lacks": lacks,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from napari_nh2st.errors import one_line

    head = ("sample", "patient", "format", "um/px", "lacks")
    cells = [
        (
            one_line(row["sample"], 40),
            one_line(row["patient"], 20) or "-",
            row["format"],
            "-" if row["mpp"] is None else f"{row['mpp']:.4g}",
            ", ".join(row["lacks"]) or "nothing",
        )
        for row in rows
    ]
    if cells:
        print("\n".join(in_columns((head, *cells))))

"""`nh2st align`: lay the spots of a section on another scan, and write where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_new
from napari_nh2st.cli.options import JsonOption, MppOption
from napari_nh2st.cli.output import print_json
from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.expression import Sample
    from napari_nh2st.expression.transform import Landmarks, Transform
    from napari_nh2st.training.sections.align import Aligned
    from napari_nh2st.training.sections.findings import SectionFindings


def align(
    section: Annotated[
        list[Path],
        typer.Argument(
            metavar="SAMPLES.csv or COUNTS",
            help="A sample sheet; or, with --slide, one measurement (twice: counts, positions).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to write the transform.", show_default=False)
    ],
    landmarks: Annotated[
        Path | None,
        typer.Option("--landmarks", metavar="L.csv", help="Columns spot_x, spot_y, slide_x, slide_y; three or more."),
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", metavar="M", help="What Loupe Browser, Xenium Explorer, QuPath or nh2st wrote."),
    ] = None,
    snap: Annotated[
        bool, typer.Option("--snap", help="Then let the spots' outline follow that of the tissue.")
    ] = False,
    affine: Annotated[bool, typer.Option("--affine", help="Landmarks may also stretch and shear.")] = False,
    inverse: Annotated[bool, typer.Option("--inverse", help="The matrix leads the other way.")] = False,
    sample: Annotated[str | None, typer.Option("--sample", metavar="NAME", help="Which section of the sheet.")] = None,
    slide: Annotated[
        Path | None, typer.Option("--slide", metavar="SLIDE", help="On which to lay the spots of COUNTS.")
    ] = None,
    mpp: MppOption = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="F", help="For which program: nh2st, loupe, xenium or qupath.")
    ] = "nh2st",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Lay spots that were placed on another scan: by landmarks or a matrix, snapped to the tissue if you like.

    FILE goes into the column transform of the sample sheet. The spots are checked on the slide before and after.
    """
    _check(landmarks, matrix, snap, affine, inverse, sample, slide)
    check_new(out, overwrite)
    from napari_nh2st.expression.transform_files import TRANSFORMS, read_landmarks, read_transform, write_transform
    from napari_nh2st.slides import open_slide
    from napari_nh2st.training.sections.align import align as lay

    if kind not in TRANSFORMS or TRANSFORMS[kind].write is None:
        written = ", ".join(name for name, f in TRANSFORMS.items() if f.write)
        raise typer.BadParameter(f"{kind!r} is none of {written}", param_hint="--format")
    chosen = _measured(section, slide, mpp) if slide is not None else _of_sheet(section, sample, mpp)
    marks = None if landmarks is None else read_landmarks(landmarks)
    given = marks.fit("affine" if affine else "similarity") if marks is not None else None
    if matrix is not None:
        given = read_transform(matrix).inverse if inverse else read_transform(matrix)
    with open_slide(chosen.slide, mpp=chosen.mpp) as opened:
        found, um = lay(chosen, opened, given, snapping=snap), opened.mpp
    document = _document(chosen, found, marks, given, um)
    facts = {key: document[key] for key in ("sample", "landmarks", "snap") if document[key] is not None}
    write_transform(found.transform, out, kind, facts)
    document = {"out": str(out), **document}
    if as_json:
        print_json(document)
        return
    _print(document, found.transform, um)
    for doubt in (*found.after.refusals, *found.after.doubts):
        say(f"warning: {doubt}")
    if chosen.placed:
        say("note: this takes the place of the sheet's transform, scale, x and y: leave those empty")
    print(out)


def _check(
    landmarks: Path | None,
    matrix: Path | None,
    snap: bool,
    affine: bool,
    inverse: bool,
    sample: str | None,
    slide: Path | None,
) -> None:
    if landmarks is None and matrix is None and not snap:
        raise typer.BadParameter("say how: --landmarks L.csv, --matrix M or --snap")
    if landmarks is not None and matrix is not None:
        raise typer.BadParameter("give landmarks or a matrix, not both", param_hint="--landmarks, --matrix")
    if affine and landmarks is None:
        raise typer.BadParameter("goes with --landmarks", param_hint="--affine")
    if inverse and matrix is None:
        raise typer.BadParameter("goes with --matrix", param_hint="--inverse")
    if sample is not None and slide is not None:
        raise typer.BadParameter("names a section of a sheet; with --slide, give counts", param_hint="--sample")


def _of_sheet(paths: list[Path], name: str | None, mpp: float | None) -> Sample:
    from dataclasses import replace

    from napari_nh2st.expression import read_sheet

    if len(paths) != 1:
        raise typer.BadParameter("give one sample sheet, or counts with --slide", param_hint="SAMPLES.csv")
    samples = read_sheet(paths[0])
    named = [s for s in samples if name in (None, s.sample)]
    if len(named) != 1:
        names = one_line(", ".join(s.sample for s in samples), 200)
        raise Nh2stError(f"{paths[0]}: say which section with --sample: {names}")
    return named[0] if mpp is None else replace(named[0], mpp=mpp)


def _measured(paths: list[Path], slide: Path, mpp: float | None) -> Sample:
    from napari_nh2st.expression.detect import detect

    return detect(paths).complete().on(slide, mpp)


def _document(
    sample: Sample, found: Aligned, marks: Landmarks | None, given: Transform | None, mpp: float | None
) -> dict[str, Any]:
    """Say where the spots lie, how far landmarks are off, and what that changed."""
    transform, snapped = found.transform, found.snapped
    rows = None
    if marks is not None and given is not None:
        rows = [
            {
                "name": name,
                "spot": spot.tolist(),
                "slide": there.tolist(),
                "residual_px": round(float(away), 3),
                "residual_um": None if mpp is None else round(float(away) * mpp, 3),
            }
            for name, spot, there, away in zip(
                marks.names, marks.spots, marks.slide, marks.residuals(given), strict=True
            )
        ]
    return {
        "sample": sample.sample,
        "matrix": [list(row) for row in transform.matrix],
        "scale": transform.scale,
        "degrees": transform.degrees,
        "mirrored": transform.mirrors,
        "landmarks": rows,
        "snap": None
        if snapped is None
        else {
            "before": round(snapped.before, 4),
            "after": round(snapped.after, 4),
            "moved_px": round(snapped.moved, 2),
            "moved_um": None if mpp is None else round(snapped.moved * mpp, 2),
        },
        "spots": len(found.after.on_slide),
        "before": _lies(found.before),
        "after": _lies(found.after),
        "warnings": [*found.after.refusals, *found.after.doubts],
    }


def _lies(findings: SectionFindings) -> dict[str, int]:
    return {"on_slide": int(findings.on_slide.sum()), "on_tissue": int(findings.on_tissue.sum())}


def _print(document: dict[str, Any], transform: Transform, mpp: float | None) -> None:
    print(f"{document['sample']}: {transform.words}")
    if document["landmarks"]:
        unit, key = ("px", "residual_px") if mpp is None else ("um", "residual_um")
        width = max(len("landmark"), *(len(one_line(row["name"], 30)) for row in document["landmarks"]))
        print(f"{'landmark':{width}}  off by")
        for row in document["landmarks"]:
            print(f"{one_line(row['name'], 30):{width}}  {row[key]:.1f} {unit}")
    if document["snap"] is not None:
        snapped = document["snap"]
        moved = f"{snapped['moved_px']:.0f} px" if mpp is None else f"{snapped['moved_um']:.0f} um"
        print(f"outlines agree {snapped['before']:.3f} before, {snapped['after']:.3f} after; moved by {moved}")
    spots, before, after = document["spots"], document["before"], document["after"]
    print(f"spots over tissue: {before['on_tissue']} of {spots} before, {after['on_tissue']} after")

"""Matrices and landmarks as other programs write them: a table of formats, each with the direction that it means.

Which of them a file is, its content says, never its name.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.transform import NOWHERE_ELSE, Landmarks, Transform
from napari_nh2st.reading import number, read_json, read_table, read_text, reason, written_cell

if TYPE_CHECKING:
    from napari_nh2st.expression.sample import Sample

OWN, UNPLACED = "own_transform", "unplaced"
"""In uns of what a reader gives: where its image lies on the slide by its own files; or what is needed to know it."""

_OWN = "nh2st-transform"
_MOST = 16_000_000  # bytes: Loupe lists every spot of the array
_LONGEST_TABLE = 1_000_000
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ONLY_NUMBERS = re.compile(rf"(?:AffineTransform)?[\s\[\](),;]*{_NUMBER}(?:[\s\[\](),;]+{_NUMBER})*[\s\[\](),;]*")
# Columns of landmarks: our own, and those of the keypoints that Xenium Explorer writes, whose fixed image is its own.
_SPOT_COLUMNS = (("spot_x", "spot_y"), ("fixedx", "fixedy"))
_SLIDE_COLUMNS = (("slide_x", "slide_y"), ("alignmentx", "alignmenty"))
_NAMES = ("name", "landmark")
WANTED = (
    "six numbers, a matrix of 3 x 3, landmarks (columns spot_x, spot_y, slide_x, slide_y), or a JSON file of nh2st, "
    "Loupe Browser or QuPath"
)

Content = Mapping[str, Any] | list[float] | Landmarks


@dataclass(frozen=True)
class TransformFormat:
    """A row of the table.

    Attributes
    ----------
    description : str
        What writes it, and from where to where its numbers lead.
    read : callable
        Content of a file -> Transform; None where the file is none of this format. Raises SampleError for a broken one.
    write : callable or None
        Transform, facts for the file -> text; None where nothing is written in it.
    """

    description: str
    read: Callable[[Content], Transform | None]
    write: Callable[[Transform, Mapping[str, Any]], str] | None


def read_transform(path: str | Path) -> Transform:
    """Read where spots lie on a slide: a matrix of any program in the table, or landmarks.

    Raises
    ------
    SampleError
        One line.
    """
    content = _content(Path(path))
    try:
        found = next((t for f in TRANSFORMS.values() if (t := f.read(content)) is not None), None)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SampleError(f"{path} holds no transform that can be read: {reason(error)}") from error
    except SampleError as error:
        raise SampleError(f"{path}: {error}") from error
    if found is None:
        raise SampleError(f"{path} holds no transform: give {WANTED}")
    return found


def read_landmarks(path: str | Path) -> Landmarks:
    """Read landmarks: a table with columns spot_x, spot_y (the spots' own pixels), slide_x, slide_y, and perhaps name.

    Raises
    ------
    SampleError
        One line.
    """
    table = read_table(path, "the landmarks", SampleError, wanted=[c for pair in _SPOT_COLUMNS for c in pair])
    names = [c.casefold() for c in table.columns]
    spot, slide = (
        next((pair for pair in pairs if set(pair) <= set(names)), None) for pairs in (_SPOT_COLUMNS, _SLIDE_COLUMNS)
    )
    if spot is None or slide is None:
        raise SampleError(f"{path} holds no landmarks: name the columns spot_x, spot_y, slide_x and slide_y")
    columns = [names.index(c) for c in (*spot, *slide)]
    called = next((names.index(c) for c in _NAMES if c in names), None)
    places: list[list[float]] = []
    labels: list[str] = []
    for row in table.rows:
        cells = row.cells + [""] * (len(names) - len(row.cells))
        try:
            places.append([number(cells[i], comma=table.delimiter != ",") for i in columns])
        except ValueError as error:
            said = ", ".join(one_line(cells[i], 20) or "nothing" for i in columns)
            raise SampleError(f"{path}: line {row.line}: {said}: give four numbers") from error
        labels.append(cells[called] if called is not None and cells[called] else str(len(labels) + 1))
    values = np.asarray(places, dtype=np.float64).reshape(-1, 4)
    return Landmarks.of(values[:, :2], values[:, 2:], labels)


def is_transform(path: Path) -> bool:
    """Tell whether a file, perhaps one among several that were given together, holds a transform or landmarks."""
    end = path.suffix.lower()
    if end not in (".json", ".csv", ".txt", ".tsv") or not path.is_file():
        return False
    if end == ".json":
        return True
    if path.stat().st_size > _LONGEST_TABLE:  # counts
        return False
    try:
        return not isinstance(_content(path), Mapping)
    except SampleError:
        return False


def transform_of(sample: Sample) -> Transform:
    """Return where the spots of a sample lie: its transform first, then its scale, x and y.

    Raises
    ------
    SampleError
        As `read_transform`.
    """
    given = sample.transform
    first = NOWHERE_ELSE if given is None else given if isinstance(given, Transform) else read_transform(given)
    return first.then(Transform.scaled(sample.scale, sample.x, sample.y))


def write_transform(
    transform: Transform, path: str | Path, kind: str = "nh2st", facts: Mapping[str, Any] | None = None
) -> None:
    """Write a transform in a format of the table; a file that is there is replaced.

    Parameters
    ----------
    facts : mapping, optional
        What else the file is to say, in our own format: landmarks, residuals, provenance.

    Raises
    ------
    SampleError
        If nothing is written in that format.
    OSError
        If the file cannot be written.
    """
    write = TRANSFORMS[kind].write if kind in TRANSFORMS else None
    if write is None:
        raise SampleError(f"transforms are written as {', '.join(k for k, f in TRANSFORMS.items() if f.write)}")
    with finished_file(Path(path)) as draft:
        draft.write_text(write(transform, facts or {}), encoding="utf-8")


def inline(text: str) -> Transform | None:
    """Read a transform that stands in a cell itself, six numbers with blanks between them; None where it does not."""
    numbers = _numbers(text)
    return Transform.of(np.reshape(numbers, (2, 3))) if len(numbers) == 6 else None


def inlined(transform: Transform) -> str:
    """Write a transform as `inline` reads it."""
    return " ".join(repr(float(v)) for row in transform.matrix for v in row)


def _content(path: Path) -> Content:
    """Read a file as what it is: JSON, numbers alone, or a table of landmarks."""
    text = read_text(path, "the transform", SampleError, most=_MOST, guess=True)
    if numbers := _numbers(text):
        return numbers
    if text.lstrip()[:1] == "{":
        document = read_json(path, "the transform", SampleError, most=_MOST)
        if isinstance(document, dict):
            return document
    return read_landmarks(path)


def _numbers(text: str) -> list[float]:
    """Return the numbers of a text that holds nothing else than a matrix."""
    if len(text) > 2000 or not _ONLY_NUMBERS.fullmatch(text):
        return []
    return [float(v) for v in re.findall(_NUMBER, text)]


def _rows(matrix: Any) -> Transform:
    return Transform.of([[float(v) for v in row] for row in matrix])


def _lines(transform: Transform) -> str:
    return "".join(",".join(repr(float(v)) for v in row) + "\n" for row in transform.square)


def _read_own(content: Content) -> Transform | None:
    if not isinstance(content, Mapping) or content.get("format") != _OWN:
        return None
    return _rows(content["matrix"])


def _write_own(transform: Transform, facts: Mapping[str, Any]) -> str:
    says = "x, y on the slide (level-0 pixels) = matrix x (x, y, 1) of a spot in its own pixels"
    document = {"format": _OWN, "says": says, "matrix": [list(row) for row in transform.matrix], **facts}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _read_landmarks(content: Content) -> Transform | None:
    return content.fit() if isinstance(content, Landmarks) else None


def _read_loupe(content: Content) -> Transform | None:
    """Read an alignment of Loupe Browser.

    `transform` leads from the array (x, y of its spots) to the image that was aligned (imageX, imageY). For CytAssist,
    that is the picture of the instrument, and `transformImages` leads from the full-resolution image to it.
    """
    if not isinstance(content, Mapping) or content.get("format") == _OWN:
        return None
    if isinstance(content.get("cytAssistInfo"), Mapping):
        return _rows(content["cytAssistInfo"]["transformImages"]).inverse
    if content.get("transform") and isinstance(content["transform"], list):
        return _rows(content["transform"])
    spots = [s for key in ("fiducial", "oligo") for s in content.get(key) or () if "imageX" in s]
    if not spots:
        return None
    array, image = ([[float(s[k]) for k in keys] for s in spots] for keys in (("x", "y"), ("imageX", "imageY")))
    return Landmarks.of(array, image).fit("affine")


def _write_loupe(transform: Transform, facts: Mapping[str, Any]) -> str:
    return json.dumps({"transform": transform.square.tolist()}, indent=1) + "\n"


def _read_xenium(content: Content) -> Transform | None:
    """Read what Xenium Explorer exports: from the H&E image to the pixels of Xenium's own (morphology) image."""
    if isinstance(content, list) and len(content) == 9:
        return Transform.of(np.reshape(content, (3, 3))).inverse
    return None


def _write_xenium(transform: Transform, facts: Mapping[str, Any]) -> str:
    return _lines(transform.inverse)


def _read_qupath(content: Content) -> Transform | None:
    """Read what QuPath's interactive alignment shows, or the same object as JSON.

    It draws the image that is laid over with the inverse, so its numbers lead from the open image to that one: here
    from the slide to the spots' own image.
    """
    if isinstance(content, list) and len(content) == 6:
        return Transform.of(np.reshape(content, (2, 3))).inverse
    if not isinstance(content, Mapping):
        return None
    affine = content.get("transform") if isinstance(content.get("transform"), Mapping) else content
    if not {"m00", "m01", "m02", "m10", "m11", "m12"} <= set(affine):  # type: ignore[arg-type]
        return None
    return Transform.of([[float(affine[f"m{row}{column}"]) for column in range(3)] for row in range(2)]).inverse  # type: ignore[index]


def _write_qupath(transform: Transform, facts: Mapping[str, Any]) -> str:
    return ",\n".join(", ".join(repr(float(v)) for v in row) for row in transform.inverse.matrix) + "\n"


def write_landmarks(landmarks: Landmarks, path: str | Path) -> None:
    """Write landmarks as `read_landmarks` reads them; a file that is there is replaced."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["name", *_SPOT_COLUMNS[0], *_SLIDE_COLUMNS[0]])
    for name, spot, slide in zip(landmarks.names, landmarks.spots, landmarks.slide, strict=True):
        table.writerow([written_cell(name), *(repr(float(v)) for v in (*spot, *slide))])
    with finished_file(Path(path)) as draft:
        draft.write_text(out.getvalue(), encoding="utf-8")


TRANSFORMS: dict[str, TransformFormat] = {
    "nh2st": TransformFormat("our own JSON: from the spots' own pixels to the slide's", _read_own, _write_own),
    "landmarks": TransformFormat("a table of pairs of places, fitted by a similarity", _read_landmarks, None),
    "loupe": TransformFormat(
        "Loupe Browser's alignment: from the array to the image; for CytAssist, from its picture to the slide",
        _read_loupe,
        _write_loupe,
    ),
    "xenium": TransformFormat(
        "Xenium Explorer's matrix, 3 x 3: from the slide to the spots' own image", _read_xenium, _write_xenium
    ),
    "qupath": TransformFormat(
        "QuPath's alignment, six numbers: from the slide, open, to the spots' own image, laid over it",
        _read_qupath,
        _write_qupath,
    ),
}

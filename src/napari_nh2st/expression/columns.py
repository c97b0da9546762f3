"""Columns of a measurement by their names: spot centres, what lies under tissue, gene symbols, Ensembl ids.

A name counts, not a place: R writes (row, col) or (imagerow, imagecol) where Python writes (x, y).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError

UNDER_TISSUE = frozenset(
    ("intissue", "arrayintissue", "selected", "isselected", "undertissue", "ontissue", "isintissue", "istissue")
)
LIBRARY = ("totalcounts", "ncounts", "ncountspatial", "ncountrna", "numis", "nummis", "ncount", "totalumis")
SYMBOLS = (
    "featurename",
    "genesymbols",
    "genesymbol",
    "genenames",
    "genename",
    "symbol",
    "symbols",
    "hgncsymbol",
    "genesname",
    "name",
)
_ENSEMBL = re.compile(r"ENS[A-Z]{0,6}G\d{9,12}(\.\d+)?(_PAR_Y)?", re.IGNORECASE)
_ENSEMBL_AT_END = re.compile(r"[_|:;. ](ENS[A-Z]{0,6}G\d{9,12})(\.\d+)?$")
_ENSEMBL_AT_START = re.compile(r"^(ENS[A-Z]{0,6}G\d{9,12})(\.\d+)?[_|:; ](?=.)")
_GENOME = re.compile(r"^(GRCh3[78]|GRCm3[89]|hg19|hg38|mm10|mm39)_+(?=.)")
_MOST = 0.5  # a column holds ids if more than this part of it does

# What a name says beside the axis; longer words first, as they hold shorter ones.
_WORDS = (
    *("coordinates", "coordinate", "position", "location", "fullres", "spatial", "center", "centre", "pixels"),
    *("coords", "pixel", "image", "coord", "spots", "slide", "spot", "axis", "pxl", "img", "loc", "pos", "px"),
    *("in", "of"),
)
_AXES = {"x": "x", "col": "x", "cols": "x", "column": "x", "y": "y", "row": "y", "rows": "y"}
_TURNED = {"x": "y", "y": "x", "col": "row", "cols": "rows", "column": "row", "row": "col", "rows": "cols"}
_NUMBERED = re.compile(r"(x|spatial|coord|coords|dim|pc|component|v|c|column|col|axis)?0*(\d+)")
_ARRAY_PLACES = 200  # arrays have fewer rows and columns than this: 33 x 35, 64 x 64, 78 x 128, 128 x 192


@dataclass(frozen=True)
class Centres:
    """Names of the two columns that hold spot centres, and how clearly they say pixels of the slide."""

    x: str
    y: str
    rank: int


def fold(name: object) -> str:
    """Fold a column's name: no case, no signs between its words."""
    return re.sub(r"[\W_]+", "", str(name).casefold())


def find(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Return the first of the wanted (folded) names that is there, as it is written."""
    there = {fold(name): name for name in names}
    return next((there[w] for w in wanted if w in there), None)


def centres(names: Sequence[str]) -> Centres | None:
    """Find the columns of spot centres in pixels of the slide; of several pairs the one that says so most clearly."""
    sorted_by_axis: dict[str, dict[tuple[str, ...], dict[str, str]]] = {"x": {}, "y": {}}
    for name in names:
        words, axis = _axis(name)
        if axis in _AXES:
            sorted_by_axis[_AXES[axis]].setdefault(words, {})[axis] = name
    pairs = []
    for words, across in sorted_by_axis["x"].items():
        down = sorted_by_axis["y"].get(words, {})
        for axis, x in across.items():
            y = next((down[a] for a in (_TURNED[axis], *down) if a in down and (a == "y") == (axis == "x")), None)
            if y is not None:
                pairs.append(Centres(x, y, _rank(words, axis)))
    return min(pairs, key=lambda pair: pair.rank, default=None)


def _axis(name: str) -> tuple[tuple[str, ...], str]:
    rest, words = fold(name), []
    for word in _WORDS:
        if word in rest and rest not in _AXES:
            rest = rest.replace(word, "", 1)
            words.append(word)
    return tuple(words), rest


PIXELS, IMAGE = 1, 2
"""Ranks up to which a pair of columns names pixels, or an image, in so many words."""


def _rank(words: tuple[str, ...], axis: str) -> int:
    if "fullres" in words:
        return 0
    if {"pixel", "pixels", "px", "pxl"} & set(words):
        return 1
    if {"image", "img"} & set(words):
        return 2
    return 4 if axis == "x" else 5


def positional(names: Sequence[str]) -> bool:
    """Tell whether names say no more than the first and the second: 0 and 1, spatial1 and spatial2."""
    numbers = [_NUMBERED.fullmatch(fold(name)) for name in names[:2]]
    if len(numbers) < 2 or None in numbers:
        return False
    first, second = (int(m.group(2)) for m in numbers if m is not None)
    return second == first + 1


def centres_of_table(
    names: Sequence[str], values: Callable[[str], npt.NDArray[np.float64]], where: str
) -> npt.NDArray[np.float64]:
    """Return spot centres (n, 2) float64, x before y, of a table whose columns have names.

    Raises
    ------
    SampleError
        If the names do not say which column is x and which y, in pixels.
    """
    pair = centres(names)
    if pair is not None:
        return np.stack([values(pair.x), values(pair.y)], axis=1)
    if positional(names):
        return np.stack([values(name) for name in names[:2]], axis=1)
    raise SampleError(
        f"{where} has the columns {', '.join(names[:6])}: name those of the spot centres x and y, pixels of the slide"
    )


def places_of_array(spots: npt.NDArray[np.float64]) -> bool:
    """Tell whether numbers look like rows and columns of an array instead of pixels."""
    return bool(np.isfinite(spots).all() and (spots == np.round(spots)).all() and np.abs(spots).max() < _ARRAY_PLACES)


def under_tissue(values: Sequence[object] | npt.NDArray[np.generic]) -> npt.NDArray[np.bool_] | None:
    """Read a column that says which spots lie under tissue: 0 and 1, true and false, yes and no.

    Returns
    -------
    (n,) bool, or None
        None where something else stands there.
    """
    yes, no = {"1", "1.0", "true", "t", "yes", "y"}, {"0", "0.0", "false", "f", "no", "n"}
    column = np.asarray(values)
    if column.dtype.kind in "iufb":  # millions of bins
        return column != 0 if np.isin(np.unique(column), (0, 1)).all() else None
    words = [str(v).strip().casefold() for v in values]
    if not set(words) <= yes | no:
        return None
    return np.array([w in yes for w in words], dtype=bool)


def without_genomes(names: Sequence[str]) -> list[str]:
    """Return names without the genome before them (GRCh38_ERBB2), if most have one."""
    there = sum(_GENOME.match(name) is not None for name in names)
    return [_GENOME.sub("", name) for name in names] if there > _MOST * len(names) else list(names)


def several_genomes(names: Sequence[str]) -> list[str]:
    """Say that names are of several genomes, as those of a graft in a mouse are."""
    genomes = sorted({m.group(1) for name in names if (m := _GENOME.match(str(name))) is not None})
    return [f"its genes are of {len(genomes)} genomes ({', '.join(genomes)})"] if len(genomes) > 1 else []


def ensembl_id(text: object) -> str:
    """Return an Ensembl id without its version, or an empty text."""
    word = _GENOME.sub("", str(text).strip())
    return word.split(".")[0].upper() if _ENSEMBL.fullmatch(word) else ""


def ensembl_ids(values: Sequence[object]) -> list[str] | None:
    """Return ids without their versions, if a column holds mostly such; an empty text where there is none."""
    ids = [ensembl_id(v) for v in values]
    return ids if sum(map(bool, ids)) > _MOST * len(ids) else None


@dataclass(frozen=True)
class GeneColumns:
    """Genes of a file: symbols, and Ensembl ids where the file has them."""

    symbols: list[str]
    ids: list[str] | None


def genes(names: Sequence[str], columns: dict[str, list[str]]) -> GeneColumns:
    """Sort out which names are symbols and which are Ensembl ids.

    Parameters
    ----------
    names : sequence of str
        The index of the table of genes.
    columns : dict
        Its columns that hold text.

    Returns
    -------
    GeneColumns
        Symbols are those of the index, or of a column of symbols where the index holds Ensembl ids; a gene without
        a symbol keeps its id.
    """
    names = [str(name).strip() for name in names]
    ids = ensembl_ids(names)
    if ids is None:
        names, ids = _parted(names)
    if ids is not None and all(map(ensembl_id, names[:1])):
        column = next((columns[c] for c in _symbol_columns(columns)), None)
        if column is not None:
            names = [_symbol(s) or known or n for s, known, n in zip(column, ids, names, strict=True)]
    else:
        ids = ids or next((found for c in columns.values() if (found := ensembl_ids(c)) is not None), None)
    names = without_genomes(names)
    blank = [i for i, name in enumerate(names) if not name or name.casefold() == "nan"]
    for i in blank:
        names[i] = (ids[i] if ids else "") or f"unnamed-{i + 1}"
    return GeneColumns(list(names), ids)


def _symbol_columns(columns: dict[str, list[str]]) -> list[str]:
    folded = {fold(name): name for name in columns}
    return [folded[s] for s in SYMBOLS if s in folded and ensembl_ids(columns[folded[s]]) is None]


def _symbol(text: object) -> str:
    """Return a symbol without an id behind it, with which CELLxGENE tells genes of one symbol apart."""
    word = str(text).strip()
    return "" if word.casefold() in ("nan", "none", "") else _ENSEMBL_AT_END.sub("", word)


def _parted(names: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Part names such as ENSG00000141736_ERBB2 or ERBB2_ENSG00000141736."""
    for pattern in (_ENSEMBL_AT_END, _ENSEMBL_AT_START):
        matches = [pattern.search(name) for name in names]
        if names and sum(m is not None for m in matches) > _MOST * len(names):
            return [pattern.sub("", name) for name in names], [m.group(1).upper() if m else "" for m in matches]
    return list(names), None

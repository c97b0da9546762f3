"""Tables that people save: commas, semicolons or tabs, quotes, empty rows, decimal commas."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.reading.files import MB, contents, open_plain, told
from napari_nh2st.reading.text import SAVE, read_text, text_of

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LONG_EXPONENT, _LONG_EXPONENT_BYTES = re.compile(r"[eE][-+]?\d{7}"), re.compile(rb"[eE][-+]?\d{7}")
_HEAD = 2 * MB
_SHEET_LIMIT = 64 * MB
_FRAME_LIMIT = 4000 * MB
_LONGEST_LINE = 64 * MB
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t ]*', re.IGNORECASE)  # the first line, for Excel alone
_LINE = 10_000  # letters of a first line that are looked at
_FIRST = 20  # lines among which that of the columns' names may stand, below a title or a comment
_BLANKS = " \t\r\n\v\f\x1a\xa0\u2007\u202f\u200b\ufeff"
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "”": "”", "‘": "’", "«": "»", "»": "«"}
_COMMANDS = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins with one is a formula to Excel


@dataclass(frozen=True)
class Row:
    """A row that is not empty: the line it begins on, and its cells without blanks and quotes around them."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table with named columns.

    Attributes
    ----------
    columns : list of str
        As they are called in the file, without blanks around them.
    rows : list of Row
    delimiter : str
    """

    columns: list[str]
    rows: list[Row]
    delimiter: str


def read_table(
    path: str | Path,
    what: str = "",
    error: type[Nh2stError] = Nh2stError,
    *,
    wanted: Sequence[str] = (),
    most: int = _SHEET_LIMIT,
) -> Table:
    """Read a table with a line of column names; empty rows are left out.

    Parameters
    ----------
    path : path
    what, error
        As in `told`.
    wanted : sequence of str
        Names of columns, lower case: what stands between most of them separates the columns.
    most : int
        Bytes.

    Raises
    ------
    Nh2stError
        Of the type `error`, on one line.
    """
    text = read_text(path, what, error, most=most, guess=True)
    with told(path, what, error):
        return parse_table(text, wanted)


def parse_table(text: str, wanted: Sequence[str] = (), delimiter: str | None = None) -> Table:
    """Parse a table.

    Raises
    ------
    ValueError
        It names the line that has another form.
    """
    text, said = _without_separator_line(text)
    delimiter = delimiter or said or _delimiter(text, wanted)
    rows = list(_rows(text, delimiter, 1 if said is None else 2))
    if wanted and rows and all(len(row.cells) == 1 for row in rows):
        rows, delimiter = _unwrapped(rows, wanted, delimiter)
    elif delimiter != ",":
        rows = _without_padding(rows)
    return _below_names(rows, wanted, delimiter)


def _unwrapped(rows: list[Row], wanted: Sequence[str], delimiter: str) -> tuple[list[Row], str]:
    """Split rows of which each is one quoted cell, as Excel saves a sheet whose separators it did not know."""
    inner = _delimiter("\n".join(row.cells[0] for row in rows), wanted)
    names = {plain_cell(cell).casefold() for cell in rows[0].cells[0].split(inner)}
    if len(names & set(wanted)) < 2:
        return rows, delimiter
    split = [next(_rows(row.cells[0], inner, row.line), None) for row in rows]
    return [row for row in split if row is not None], inner


def _without_padding(rows: list[Row]) -> list[Row]:
    """Take off the commas at the end of all rows, which a program has added that separates by them."""
    if not rows or not all(row.cells[-1].endswith(",") for row in rows):
        return rows
    return [Row(row.line, [*row.cells[:-1], row.cells[-1].rstrip(",").rstrip()]) for row in rows]


def _below_names(rows: list[Row], wanted: Sequence[str], delimiter: str) -> Table:
    """Take the line that has the most wanted names for that of the columns, the first one if it is as good."""
    if not rows:
        return Table([], [], delimiter)

    def fits(row: Row) -> int:
        return len({cell.casefold() for cell in row.cells} & set(wanted))

    head = max(range(min(len(rows), _FIRST)), key=lambda n: (fits(rows[n]), -n))
    return Table(rows[head].cells, rows[head + 1 :], delimiter)


def read_lines(path: str | Path, what: str = "", error: type[Nh2stError] = Nh2stError) -> list[str]:
    """Read the lines of a text file, without their ends."""
    return re.split(r"\r\n|\n|\r", read_text(path, what, error, guess=True))


def read_head(path: str | Path, error: type[Nh2stError] = Nh2stError, *, wanted: Sequence[str] = ()) -> list[str]:
    """Read the names of the columns, plain or packed with gzip, from the beginning of a file."""
    with told(path, "", error):
        data = contents(path, _HEAD, unpack=True, cut=True)
        whole = data if len(data) < _HEAD else data[: data.rfind(b"\n") + 1]
        text, said = _without_separator_line(text_of(whole, guess=True))
        row = next(_rows(text, said or _delimiter(text, wanted), 1), None)
        return [] if row is None else row.cells


def read_frame(
    path: str | Path,
    what: str = "",
    error: type[Nh2stError] = Nh2stError,
    *,
    index: bool = False,
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a large table of numbers, plain or packed with gzip.

    Parameters
    ----------
    path : path
    what, error
        As in `told`.
    index : bool
        Whether the first column names the rows.
    names : sequence of str
        The columns, lower case, of a file that may lack the line of their names: none of them stands in its first line.
    """
    import pandas as pd

    with told(path, what, error):
        data = contents(path, _FRAME_LIMIT, unpack=True)
        decoded, said = _without_separator_line(text_of(data, guess=True))
        delimiter = said or _delimiter(decoded, ())
        first = decoded.lstrip("\ufeff\r\n").partition("\n")[0][:_LINE]
        bare = bool(names) and not {plain_cell(cell).casefold() for cell in first.split(delimiter)} & set(names)
        with _said_plainly():
            return pd.read_csv(
                io.StringIO(decoded),
                sep=delimiter,
                index_col=0 if index else None,
                header=None if bare else "infer",
                names=list(names) if bare else None,
                decimal=_decimal(decoded, delimiter),
                skipinitialspace=True,
                float_precision=_precision(decoded),
            )


def read_frame_parts(
    path: str | Path, what: str = "", error: type[Nh2stError] = Nh2stError, *, values: int
) -> Iterator[pd.DataFrame]:
    """Read a table of numbers that may be larger than memory, plain or packed with gzip, some rows at a time.

    A table that begins with other letters than those of ASCII comes as a whole, as from `read_frame`.

    Parameters
    ----------
    path : path
    what, error
        As in `told`.
    values : int
        About how many a part has.

    Yields
    ------
    DataFrame
        With the columns of the first; types of columns may differ from part to part.
    """
    import pandas as pd

    with told(path, what, error):
        head = contents(path, _HEAD, unpack=True, cut=True).removeprefix(codecs.BOM_UTF8)
    if not head.isascii() or b"\0" in head:
        yield read_frame(path, what, error)
        return
    text, said = _without_separator_line(head.decode("ascii"))
    delimiter = said or _delimiter(text, ())
    columns = text.lstrip("\r\n").partition("\n")[0].count(delimiter) + 1
    with told(path, what, error), open_plain(path) as raw, _Lines(raw, encoding="utf-8-sig", newline="") as file:
        if said:
            file.readline()
        with (
            _said_plainly(),
            pd.read_csv(
                file,
                sep=delimiter,
                decimal=_decimal(text, delimiter),
                skipinitialspace=True,
                float_precision="round_trip",  # see `_precision`
                low_memory=False,  # else wide tables are read a few rows at a time, and joined
                chunksize=max(1, values // columns),
            ) as parts,
        ):
            yield from parts


class _Lines(io.TextIOWrapper):
    """A text file whose lines must end: no table has one that fills the memory."""

    _open = 0

    def read(self, size: int | None = -1, /) -> str:
        """Read some letters.

        Raises
        ------
        ValueError
            If a line is far too long.
        """
        part = super().read(size)
        end = part.rfind("\n")
        self._open = self._open + len(part) if end < 0 else len(part) - end
        if self._open > _LONGEST_LINE:
            raise ValueError(f"a line is longer than {_LONGEST_LINE / MB:.4g} MB: it is no table, or it is damaged")
        return part


def read_numbers(
    path: str | Path, what: str = "", error: type[Nh2stError] = Nh2stError, *, columns: int, skip: int, most: int
) -> npt.NDArray[np.float64]:
    """Read lines of numbers with blanks between them, plain or packed with gzip.

    Parameters
    ----------
    path : path
    what, error
        As in `told`.
    columns, skip : int
        Numbers on a line, and lines before the first.
    most : int
        Bytes, unpacked.

    Returns
    -------
    (lines, columns) float64
    """
    import pandas as pd

    with told(path, what, error):
        data = contents(path, most, unpack=True)
        with _said_plainly("it has no numbers"):
            frame = pd.read_csv(
                io.BytesIO(data),
                sep=r"\s+",
                header=None,
                skiprows=skip,
                names=range(columns),
                index_col=False,
                dtype=np.float64,
                float_precision=_precision(data),
            )
        return frame.to_numpy()


def _precision(text: str | bytes) -> Literal["round_trip"] | None:
    """Choose pandas' way to read numbers: its own crashes at exponents that no int holds, such as 1.e2147483648."""
    there = _LONG_EXPONENT_BYTES.search(text) if isinstance(text, bytes) else _LONG_EXPONENT.search(text)
    return None if there is None else "round_trip"


def _decimal(text: str, delimiter: str) -> str:
    """Return the decimal mark below the line of names: a comma only where nothing else can be meant."""
    body = text.find("\n") + 1
    if delimiter == "," or re.compile(r"\d,\d").search(text, body) is None:
        return "."
    return "." if re.compile(r"\d\.\d").search(text, body) else ","


@contextmanager
def _said_plainly(empty: str = "it is empty") -> Iterator[None]:
    """Turn what pandas says of a table into a `ValueError` in a person's words."""
    import pandas as pd

    try:
        yield
    except UnicodeDecodeError as cause:
        raise ValueError(f"it is not UTF-8 text: {SAVE}") from cause
    except pd.errors.EmptyDataError as cause:
        raise ValueError(empty) from cause
    except pd.errors.ParserError as cause:
        raise ValueError(_parser_words(str(cause))) from cause


def _parser_words(said: str) -> str:
    """Say pandas' complaint in a person's words; its rows begin at 0."""
    if (opened := re.search(r"EOF inside string starting at row (\d+)", said)) is not None:
        return f"a quote in row {int(opened[1]) + 1} is never closed: close it, or remove it"
    if (ragged := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said)) is not None:
        return f"line {ragged[2]} has {ragged[3]} cells, the lines above {ragged[1]}: quote cells with commas in them"
    return said.removeprefix("Error tokenizing data. C error: ")


def _without_separator_line(text: str) -> tuple[str, str | None]:
    """Take off the line ``sep=;``, and return what it names."""
    first, _, rest = text.partition("\n")
    match = _SEPARATOR_LINE.fullmatch(first.strip("\r\n "))
    return (text, None) if match is None or match[1] not in DELIMITERS else (rest, match[1])


def _delimiter(text: str, wanted: Sequence[str]) -> str:
    """Find what separates the columns: that which names the most wanted ones, else what stands most often there."""
    lines = (line for line in io.StringIO(text, newline=None) if line.strip(_BLANKS + ",;|"))
    first = list(islice(lines, _FIRST if wanted else 1))
    head = first[0] if first else ""

    def fits(delimiter: str) -> tuple[int, int]:
        cells = [{plain_cell(cell).casefold() for cell in line.split(delimiter)} for line in first]
        return max((len(names & set(wanted)) for names in cells), default=0), head.count(delimiter)

    if not wanted and "\t" in head:
        return "\t"
    return max(DELIMITERS, key=fits)


def _rows(text: str, delimiter: str, first: int) -> Iterator[Row]:
    """Split a text into rows, those without a cell left out."""
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=delimiter != "\t")
    line, begun, ended = first, 0, 0
    while True:
        begun = ended
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(_row_words(text, begun, line, error)) from error
        ended, begun_line, line = file.tell(), line, first + reader.line_num
        if ended >= len(text) and _open_quote(text[begun:], delimiter):
            raise ValueError(_unclosed(begun_line))
        plain = [plain_cell(cell) for cell in cells]
        if any(plain):
            yield Row(begun_line, plain)


def _open_quote(row: str, delimiter: str) -> bool:
    """Tell whether the last row of a text ends within a quote."""
    try:
        list(csv.reader(io.StringIO(row, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _unclosed(line: int) -> str:
    return f"a quote in line {line} is never closed: close it, or remove it"


def _row_words(text: str, begun: int, line: int, error: csv.Error) -> str:
    if "field limit" not in str(error):
        return f"line {line}: {one_line(error, 200)}"
    end = text.find("\n", begun)
    within = (len(text) if end < 0 else end) - begun > csv.field_size_limit()
    return f"line {line} has a cell of more than {csv.field_size_limit()} letters" if within else _unclosed(line)


def plain_cell(text: str) -> str:
    """Return a cell without blanks and quotes around it, and without the mark that `written_cell` put before it."""
    text = text.strip(_BLANKS)
    if text.startswith("'") and text.lstrip("'").startswith(_COMMANDS):
        return text[1:]
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip(_BLANKS)
    return text


def written_cell(text: str) -> str:
    """Return text for a cell of a table, marked so that Excel shows it and does not run it as a formula."""
    return f"'{text}" if text.lstrip("'").startswith(_COMMANDS) else text


def written_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose names and text are as `written_cell` has them; numbers stay numbers."""
    out = frame.rename(columns=lambda name: written_cell(str(name)))
    for place, kind in enumerate(frame.dtypes):
        if str(kind) in ("object", "category", "string", "str"):
            cells = [written_cell(cell) if isinstance(cell, str) else cell for cell in frame.iloc[:, place]]
            out.isetitem(place, cells)
    return out


def number(text: str, *, comma: bool) -> float:
    """Return the finite number in a cell.

    Parameters
    ----------
    text : str
    comma : bool
        Whether a comma is surely the decimal one, as where semicolons separate the columns. Otherwise ``1,234`` may be
        either of two numbers, and is refused.

    Raises
    ------
    ValueError
        If there is none.
    """
    if re.fullmatch(r"[+-]?\d+,\d+", text):
        if not comma and re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text):
            raise ValueError("has a comma that may be for decimals or for thousands: write it without one")
        text = text.replace(",", ".")
    value = float(text) if text.isascii() and "_" not in text else math.nan
    if not math.isfinite(value):
        raise ValueError("is not a number")
    return value

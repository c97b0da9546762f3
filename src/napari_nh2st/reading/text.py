"""Text in the encodings that people's programs save."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading.files import TEXT_LIMIT, contents, told

_MARKS = (  # the longer first: UTF-32 begins like UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive: open it and save the sheet as “CSV UTF-8”",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: open it and save the sheet as “CSV UTF-8”",
    b"\x1f\x8b": "packed with gzip: unpack it",
    b"PAR1": "a parquet file: save the table as CSV",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"II*\0": "a picture",
    b"MM\0*": "a picture",
    b"%PDF": "a PDF file",
    b"{\\rtf": "a file of a word processor: save it as plain text",
}
# Letters that have the same byte in the code pages of Western, Central and Southern Europe, and quotes and dashes,
# which stand at a word's edge. Other bytes mean one letter here and another there.
_PAGES = ("cp1252", "cp1250", "cp1254", "iso8859-15")
_LETTERS = {b for b in range(0xA1, 0x100) if len({bytes([b]).decode(page, "replace") for page in _PAGES}) == 1} | {0xA0}
_QUOTES = {0x85, 0x91, 0x92, 0x93, 0x94, 0x96, 0x97}
_INSIDE_WORD = re.compile(rb"[A-Za-z][\x80-\x9f][A-Za-z]")
_FOREIGN_RUN = re.compile(rb"[\xa1-\xff]{3}")
SAVE = "save it as UTF-8 (in Excel “CSV UTF-8”)"
"""What to do with text in another encoding."""


def text_of(data: bytes, *, guess: bool = False) -> str:
    """Decode UTF-8, or what a byte order mark names.

    Parameters
    ----------
    data : bytes
    guess : bool
        Whether Windows-1252 (Latin-1) is read as well, as long as all its letters mean the same in its neighbours.

    Raises
    ------
    ValueError
        If it is no text, or it is not clear in which encoding.
    """
    other = next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
    if other is not None:
        raise ValueError(f"it is {other}")
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    if not mark and data[1:2] == b"\0" and data[:1] not in (b"", b"\0") and len(data) % 2 == 0:
        encoding = "utf-16-le"  # without a mark
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or not guess or not _same_everywhere(data):
            line = data[: error.start].count(b"\n") + 1
            raise ValueError(f"line {line} is not UTF-8 text: {SAVE}") from error
        text = data.decode("cp1252")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"line {line} holds a NUL character: it is not a text file, or it is damaged")
    return text


def _same_everywhere(data: bytes) -> bool:
    """Tell whether text in Windows-1252 would read the same in the code pages of its neighbours."""
    high = {b for b in set(data) if b > 0x7F}
    return high <= _LETTERS | _QUOTES and not _INSIDE_WORD.search(data) and not _FOREIGN_RUN.search(data)


def read_text(
    path: str | Path,
    what: str = "",
    error: type[Nh2stError] = Nh2stError,
    *,
    most: int = TEXT_LIMIT,
    guess: bool = False,
) -> str:
    """Read a text file; one line of the house if it is none. Parameters as in `told`, `contents` and `text_of`."""
    with told(path, what, error):
        return text_of(contents(path, most), guess=guess)

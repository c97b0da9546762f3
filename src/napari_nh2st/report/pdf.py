"""A report as a PDF of A4 pages, drawn with matplotlib: the content of the HTML page, from top to bottom."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.formats.figure import MM
from napari_nh2st.markup import figure_text
from napari_nh2st.report.content import Picture, Report, Section, Table
from napari_nh2st.report.drawn import Told, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

DPI = 300
PAGE = 210.0, 297.0  # mm
EDGE, FOOT = 15.0, 14.0
WIDTH = PAGE[0] - 2 * EDGE
GAP = 6.0  # between pictures
NAMES = 34.0  # mm for the names of facts

TITLE, HEAD, TEXT, SMALL = 16.0, 11.0, 9.0, 8.0  # pt
_SOFT, _ALARM, _LINE = "#555555", "#b00020", "#c4c8cd"
_LEADING = 1.4
_MONO = "DejaVu Sans Mono"
_LARGE = 100.0  # pt


class _Pages:
    """Pages that are filled from top to bottom; `at` is the distance from the top, mm."""

    def __init__(self, file: PdfPages, foot: str) -> None:
        self._file, self._foot, self._number = file, foot, 0
        self._figure: Figure | None = None
        self.at = 0.0

    def room(self, height: float) -> None:
        """Begin another page if there is no room for a block of this height."""
        if self._figure is None or self.at + height > PAGE[1] - FOOT - EDGE / 2:
            self.turn()

    def turn(self) -> None:
        """Begin another page."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.close()
        self._number += 1
        self._figure = Figure(figsize=(PAGE[0] * MM, PAGE[1] * MM), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self._figure)
        self.write(self._foot, EDGE, PAGE[1] - FOOT + 3, 7, color=_SOFT)
        self.write(str(self._number), PAGE[0] - EDGE, PAGE[1] - FOOT + 3, 7, color=_SOFT, ha="right")
        self.at = EDGE

    def close(self) -> None:
        """Put the last page into the file."""
        if self._figure is not None:
            self._file.savefig(self._figure, dpi=DPI)  # type: ignore[no-untyped-call]

    def write(self, text: str, x: float, y: float, size: float, **look: Any) -> None:
        """Write a line with its top at a place, mm from the top left corner."""
        assert self._figure is not None
        self._figure.text(x / PAGE[0], 1 - y / PAGE[1], figure_text(text), fontsize=size, va="top", **look)

    def axes(self, x: float, width: float, height: float, down: float = 0.0) -> Axes:
        """Make axes of this size (mm), `down` below the place where the page is."""
        assert self._figure is not None
        top = self.at + down
        place = x / PAGE[0], 1 - (top + height) / PAGE[1], width / PAGE[0], height / PAGE[1]
        return self._figure.add_axes(place)

    def rule(self) -> None:
        """Draw a line across the page."""
        from matplotlib.lines import Line2D

        assert self._figure is not None
        y = 1 - self.at / PAGE[1]
        ends = [EDGE / PAGE[0], 1 - EDGE / PAGE[0]]
        self._figure.add_artist(Line2D(ends, [y, y], color=_LINE, linewidth=0.6))

    def paragraph(self, text: str, size: float = TEXT, *, x: float = EDGE, width: float = WIDTH, **look: Any) -> None:
        """Write a paragraph, line by line."""
        for line in lines_of(text, width, size, str(look.get("family", ""))):
            self.room(leading(size))
            self.write(line, x, self.at, size, **look)
            self.at += leading(size)


def leading(size: float) -> float:
    """Return the height of a line, mm."""
    return size * _LEADING / 72 / MM


def width_of(text: str, size: float, family: str = "") -> float:
    """Return the width of a text, mm."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=family) if family else FontProperties()))
    font.set_size(_LARGE, 72)  # large: in small letters, hinting rounds every width up
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72 / MM * size / _LARGE


def lines_of(text: str, width: float, size: float, family: str = "") -> list[str]:
    """Break a text into lines of at most this width (mm); words that are too long are cut."""
    letter = width_of("abcdefghijklmnopqrstuvwxyz " * 4, size, family) / 108
    room = max(8, int(width / letter))
    while room > 8:
        lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        if max(width_of(line, size, family) for line in lines) <= width:
            return lines
        room -= max(1, room // 30)
    return textwrap.wrap(text, room) or [""]


def write_pdf(report: Report, path: Path, told: Told) -> None:
    """Write a report."""
    from matplotlib.backends.backend_pdf import PdfPages

    drawn = {picture: png_of(picture, DPI) for picture in told(report.pictures)}
    record = {"Title": f"{report.title}: predicted gene expression", "Subject": report.subtitle}
    with PdfPages(path, metadata=record) as file:
        pages = _Pages(file, f"{report.title}. {report.subtitle}")
        pages.turn()
        pages.paragraph(report.title, TITLE, weight="bold")
        pages.paragraph(report.subtitle, SMALL, color=_SOFT)
        for sentence in report.warnings:
            _warn(pages, sentence)
        for section in report.sections:
            _write_section(pages, section, drawn)
        pages.close()


def _warn(pages: _Pages, sentence: str) -> None:
    """Write a sentence that nobody must miss, in a frame."""
    from matplotlib.patches import Rectangle

    lines = lines_of(sentence, WIDTH - 8, TEXT)
    height = len(lines) * leading(TEXT) + 4
    pages.at += 2
    pages.room(height)
    frame = pages.axes(EDGE, WIDTH, height)
    frame.axis("off")
    frame.add_patch(Rectangle((0, 0), 1, 1, transform=frame.transAxes, fill=False, edgecolor=_ALARM, linewidth=1.4))
    for number, line in enumerate(lines):
        look = {"color": _ALARM, "weight": "bold"}
        pages.write(line, EDGE + 3, pages.at + 2 + number * leading(TEXT), TEXT, **look)
    pages.at += height + 2


def _write_section(pages: _Pages, section: Section, drawn: dict[Picture, bytes]) -> None:
    beginning = leading(HEAD) + 3 * leading(TEXT) + 8
    pages.room(beginning)
    pages.at += 5
    pages.paragraph(section.title, HEAD, weight="bold")
    pages.rule()
    pages.at += 2
    for sentence in section.paragraphs:
        pages.paragraph(sentence)
    if len(section.pictures) == 1 and section.facts:
        _write_beside(pages, section, drawn)
    else:
        _write_pictures(pages, section.pictures, drawn)
        _write_facts(pages, section.facts, EDGE, WIDTH)
    if section.table is not None:
        _write_table(pages, section.table)
    for sentence in section.notes:
        pages.paragraph(sentence, SMALL, color=_SOFT)
    for command in section.commands:
        pages.at += 1
        pages.paragraph(command, 7.5, family=_MONO)


def _write_beside(pages: _Pages, section: Section, drawn: dict[Picture, bytes]) -> None:
    """Write one picture with the facts to its right."""
    picture, half = section.pictures[0], (WIDTH - GAP) / 2
    shape, height = _sized(drawn[picture], half)
    pages.room(height + 12)
    page, top = pages, pages.at
    _draw(page, shape, EDGE, half, height)
    pages.at = top + height + 1
    pages.paragraph(picture.caption, SMALL, width=half, color=_SOFT)
    below = pages.at
    pages.at = top
    _write_facts(pages, section.facts, EDGE + half + GAP, half)
    pages.at = max(below, pages.at) + 1


def _write_pictures(pages: _Pages, pictures: list[Picture], drawn: dict[Picture, bytes]) -> None:
    """Write pictures in rows of two, each with its title and caption."""
    half = (WIDTH - GAP) / 2
    for start in range(0, len(pictures), 2):
        row = pictures[start : start + 2]
        sized = [_sized(drawn[picture], half) for picture in row]
        says = [lines_of(f"{p.title}: {p.caption}" if p.caption else p.title, half, SMALL) for p in row]
        tall, lines = max(height for _, height in sized), max(map(len, says))
        pages.room(tall + 2 + lines * leading(SMALL) + 3)
        pages.at += 1
        for number, (shape, height) in enumerate(sized):
            left = EDGE + number * (half + GAP)
            _draw(pages, shape, left, half, height)
            for line, text in enumerate(says[number]):
                pages.write(text, left, pages.at + height + 1 + line * leading(SMALL), SMALL, color=_SOFT)
        pages.at += tall + 1 + lines * leading(SMALL) + 3


def _sized(png: bytes, width: float) -> tuple[Any, float]:
    """Return the pixels of a picture, and its height (mm) at a width."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels, width * pixels.shape[0] / pixels.shape[1]


def _draw(pages: _Pages, pixels: Any, left: float, width: float, height: float) -> None:
    axes = pages.axes(left, width, height)
    axes.axis("off")
    axes.imshow(pixels, aspect="auto", interpolation="nearest")


def _write_facts(pages: _Pages, facts: list[tuple[str, str]], x: float, width: float) -> None:
    names = min(NAMES, width * 0.3)
    for name, value in facts:
        lines = lines_of(value, width - names, TEXT)
        pages.room(len(lines) * leading(TEXT))
        pages.write(name, x, pages.at, TEXT, color=_SOFT)
        pages.paragraph(value, x=x + names, width=width - names)


def _write_table(pages: _Pages, table: Table) -> None:
    """Write a table; its head again on each page."""
    widths = [
        max(width_of(text, SMALL) for text in column) + 5 for column in zip(table.columns, *table.rows, strict=True)
    ]
    size = SMALL * min(1.0, WIDTH / sum(widths))
    ends, x = [], EDGE
    for width in widths:
        x += width * size / SMALL
        ends.append(x - 5)

    def line(cells: tuple[str, ...], **look: Any) -> None:
        for number, cell in enumerate(cells):
            if number < table.names:
                pages.write(cell, EDGE if not number else ends[number - 1] + 5, pages.at, size, **look)
            else:
                pages.write(cell, ends[number], pages.at, size, ha="right", **look)
        pages.at += leading(size) + 0.8

    pages.room(3 * leading(size))
    pages.at += 1
    line(table.columns, color=_SOFT)
    for row in table.rows:
        before = pages.at
        pages.room(leading(size) + 1)
        if pages.at < before:
            line(table.columns, color=_SOFT)
        line(row)
    pages.at += 1

"""The content of a report, before it is a page: HTML and PDF are written from the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table of texts; the first `names` columns name the row, the others are set to the right."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    names: int = 1


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that is drawn when it is needed.

    Attributes
    ----------
    draw : callable
        ``draw(dpi)`` returns a figure of matplotlib.
    title, caption : str
        Below the picture.
    """

    draw: Callable[[int], Figure]
    title: str
    caption: str


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report; what is empty takes no room.

    Attributes
    ----------
    pictures : list of Picture
        Beside each other where there is room.
    facts : list of (name, value)
    paragraphs : list of str
        Before the table.
    notes : list of str
        What the figures mean, small, after the table.
    commands : list of str
        For a shell.
    """

    title: str
    pictures: list[Picture] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    table: Table | None = None
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Report:
    """A report of one slide.

    Attributes
    ----------
    title, subtitle : str
    warnings : list of str
        Sentences that go before everything else: the maps mean nothing, say.
    sections : list of Section
    """

    title: str
    subtitle: str
    warnings: list[str]
    sections: list[Section]

    @property
    def pictures(self) -> list[Picture]:
        """The pictures of all sections."""
        return [picture for section in self.sections for picture in section.pictures]

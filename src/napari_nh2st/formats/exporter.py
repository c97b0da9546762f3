"""One line of the table of exporters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WHOLE = 4  # copies of a table of float32 that are in memory at once while a library writes it

Progress = Callable[[float], None]  # receives the share that is written, 0 to 1; what it raises stops the export


def whole_table(tiles: int, genes: int) -> int:
    """Return the bytes of memory for a format that has all its values in memory before it writes them."""
    return _WHOLE * 4 * tiles * genes


def in_blocks(rows: int) -> Callable[[int, int], int]:
    """Return the need of memory of a format that decodes and writes so many tiles at a time."""
    return lambda tiles, genes: whole_table(min(rows, tiles), genes)


@dataclass(frozen=True)
class Exporter:
    """One format that predictions can be written to.

    Attributes
    ----------
    name : str
        On the command line and in the widget.
    suffix : str
        Of the file, with its dot.
    description : str
        One line for a menu.
    write : callable
        ``write(prediction, path, genes, progress)`` writes a complete file at `path`, or fills the empty folder `path`.
        It receives a prediction with at least one place, all of them predicted, and genes of the panel; it calls
        `progress` as often as it can be stopped. `export` takes care of half-written files.
    sidecar : bool
        True if the format has no room for provenance: `export` then writes ``<file name>.provenance.json``.
    read_record : callable or None
        ``read_record(path)`` returns the provenance in a file; without a sidecar only. It may raise anything where the
        file is another one.
    other_suffixes : tuple of str
        Endings that mean this format too.
    folder : bool
        True if it writes a folder.
    lattice : bool
        True for images: places must lie on the slide's lattice.
    package : str
        A package that not every installation has, and the extra that brings it.
    most_values : int or None
        How many values (tiles x genes) its readers take, None for any number.
    keeps_intervals : bool
        True if `write` takes ``intervals``, and then writes half-widths beside the values.
    keeps_regions : bool
        True if `write` takes ``regions``, `formats.shapes.Outlines`, and keeps them beside the tiles.
    memory : callable
        ``memory(tiles, genes)`` returns about how many bytes writing takes beside the prediction itself.
    """

    name: str
    suffix: str
    description: str
    write: Callable[..., None]
    sidecar: bool = False
    read_record: Callable[[Path], dict[str, Any]] | None = None
    other_suffixes: tuple[str, ...] = ()
    folder: bool = False
    lattice: bool = False
    package: str = ""
    most_values: int | None = None
    keeps_intervals: bool = False
    keeps_regions: bool = False
    memory: Callable[[int, int], int] = whole_table

    @property
    def suffixes(self) -> tuple[str, ...]:
        """All endings; new files get the first."""
        return (self.suffix, *self.other_suffixes)

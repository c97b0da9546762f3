"""The choices for a figure and for an export, and in words what will be written. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import EXPORTERS, check_size, format_of
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.figure import DPI, DPIS, ONE_COLUMN, TWO_COLUMNS, WIDTHS
from napari_nh2st.model.card import Card
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.viewer.kit.phrases import count

MM_PER_INCH = 25.4
REPORT_SUFFIXES = {"HTML": ".html", "PDF": ".pdf"}
FIGURE_SUFFIXES = {"PDF": ".pdf", "PNG": ".png", "SVG": ".svg", "TIFF": ".tiff"}
EXPORT_SUFFIXES = {exporter.name: exporter.suffix for exporter in EXPORTERS.values()}
# Other endings that people give a file -> format.
FIGURE_ENDINGS = {".tif": "TIFF"}
EXPORT_ENDINGS = {ending: exporter.name for exporter in EXPORTERS.values() for ending in exporter.other_suffixes}
NO_FILE = "Choose a file"

NO_FOLDER_OF_VALUES = "left out: nh2st, since this heatmap was opened from a file that holds values alone"
_OF_VALUES = {name: exporter for name, exporter in EXPORTERS.items() if name != "nh2st"}

if TYPE_CHECKING:
    ExportFormat = str
    ValuesFormat = str
else:
    ExportFormat = Literal[tuple(EXPORTERS)]
    ValuesFormat = Literal[tuple(_OF_VALUES)]

FileToWrite = Annotated[Path | None, Field(json_schema_extra={"mode": "w"})]


class FigureChoice(BaseModel):
    """A figure for print."""

    genes: list[str] = Field(
        default=[],
        description="one panel a gene; empty: the gene that is shown",
        json_schema_extra={"placeholder": "the gene that is shown"},
    )
    width: float | None = Field(
        default=None, gt=0, description=f"empty: {ONE_COLUMN:g} mm for one gene and {TWO_COLUMNS:g} mm for several"
    )
    unit: Literal["mm", "inches"] = Field(default="mm", description="unit of the width")
    dpi: int = Field(default=DPI, ge=DPIS[0], le=DPIS[1], description="dots per inch")
    format: Literal["PDF", "PNG", "SVG", "TIFF"] = Field(default="PDF", description="in PDF and SVG text stays text")
    file: FileToWrite = Field(default=None, description="where the figure is saved")

    @property
    def width_mm(self) -> float | None:
        """The width in millimetres, None for that of a page's columns.

        Raises
        ------
        Nh2stError
            If no page is so narrow or so wide.
        """
        if self.width is None:
            return None
        per_unit = MM_PER_INCH if self.unit == "inches" else 1.0
        if not WIDTHS[0] <= self.width * per_unit <= WIDTHS[1]:
            low, high = (f"{limit / per_unit:.3g}" for limit in WIDTHS)
            raise Nh2stError(f"A figure is {low} to {high} {self.unit} wide, not {self.width:g}")
        return self.width * per_unit


class ExportChoice(BaseModel):
    """A prediction as a file for other programs."""

    format: ExportFormat = Field(
        default="h5ad", description="; ".join(f"{e.name}: {e.description}" for e in EXPORTERS.values())
    )
    genes: list[str] = Field(
        default=[], description="empty: all genes of the model", json_schema_extra={"placeholder": "all genes"}
    )
    file: FileToWrite = Field(default=None, description="where it is saved")


class ValuesChoice(ExportChoice):
    """A heatmap that was opened from a file of values, as a file for other programs."""

    format: ValuesFormat = Field(
        default="h5ad",
        description="; ".join([*(f"{e.name}: {e.description}" for e in _OF_VALUES.values()), NO_FOLDER_OF_VALUES]),
    )


class ReportChoice(BaseModel):
    """A report of one slide."""

    genes: list[str] = Field(
        default=[],
        description="a map each; empty: the gene that is shown and those that are pinned",
        json_schema_extra={"placeholder": "the gene that is shown, and pinned ones"},
    )
    check_tissue: bool = Field(
        default=True, description="say how much of the tissue is unlike the training tissue; takes up to a minute"
    )
    format: Literal["HTML", "PDF"] = Field(
        default="HTML", description="HTML: a page for the browser, which needs no network. PDF: pages to print"
    )
    file: FileToWrite = Field(default=None, description="where the report is saved")
    open: bool = Field(default=True, description="open the report when it is written")


def genes_in(card: Card, names: Sequence[str]) -> tuple[str, ...]:
    """Return symbols of a model's genes, however they are written, each once.

    Raises
    ------
    UnknownGene
        As `find_genes`.
    """
    return tuple(dict.fromkeys(find_genes(card, names)))


def display_with(display: Display, genes: Sequence[str]) -> Display:
    """Return a display of other genes; locked limits are those of the gene that is shown."""
    if not genes or tuple(genes) == display.genes:
        return display
    main = display.limits_for(display.genes[0])
    limits = {gene: main for gene in genes} if display.locked and main is not None else display.limits
    return display.changed(genes=tuple(genes), limits=limits)


def figure_words(choice: FigureChoice, card: Card, gene: str, *, in_sight: bool) -> str:
    """Say what will be drawn.

    Parameters
    ----------
    gene : str
        The one that is shown.
    in_sight : bool
        Of the part of the slide that the window shows, else of all that is predicted.

    Raises
    ------
    Nh2stError
        If it cannot be drawn; in one line.
    """
    genes = genes_in(card, choice.genes) or (gene,)
    width = choice.width_mm or (ONE_COLUMN if len(genes) == 1 else TWO_COLUMNS)
    size = f"{width:.4g} mm wide, {round(width / MM_PER_INCH * choice.dpi):,} pixels"
    part = "the part of the slide that the window shows" if in_sight else "all that is predicted"
    return f"{count(len(genes), 'panel')} ({', '.join(genes)}) of {part}, {size}. {file_words(choice.file)}"


def report_words(choice: ReportChoice, card: Card, genes: Sequence[str], regions: int) -> str:
    """Say what will be in a report.

    Parameters
    ----------
    genes : sequence of str
        Those that are shown and pinned.
    regions : int
        Number of drawn regions.

    Raises
    ------
    Nh2stError
        If it cannot be written; in one line.
    """
    shown = genes_in(card, choice.genes) or tuple(genes)
    drawn = f", {count(regions, 'region')}" if regions else ""
    return f"{count(len(shown), 'map')} ({', '.join(shown)}){drawn}, trust and origin. {file_words(choice.file)}"


def export_words(choice: ExportChoice, card: Card, places: int) -> str:
    """Say what will be exported.

    Raises
    ------
    Nh2stError
        If it cannot be exported; in one line.
    """
    genes = genes_in(card, choice.genes)
    which = "all " if not genes else ""
    exporter, number = EXPORTERS[choice.format], len(genes or card.genes)
    check_size(choice.format, places, number)
    table = f"{count(places, 'tile')} and {which}{count(number, 'gene')}"
    return f"{exporter.description}: {table}. {file_words(choice.file, folder=exporter.folder)}"


def file_words(file: Path | None, *, folder: bool = False) -> str:
    """Say which file will be written.

    Parameters
    ----------
    folder : bool
        The format is a folder: an earlier one may be replaced.

    Raises
    ------
    Nh2stError
        If none is chosen, or it cannot be one.
    """
    if file is None or not file.name:
        raise Nh2stError(NO_FILE)
    if file.is_dir() and not (folder and format_of(file)):
        raise Nh2stError(f"{file} is a folder: add the name of a file")
    if not file.expanduser().parent.is_dir():
        raise Nh2stError(f"There is no folder {file.parent}")
    return f"It replaces {file.name}, which is there already." if file.exists() else f"It is saved as {file.name}."

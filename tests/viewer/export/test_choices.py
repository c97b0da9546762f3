"""Choices for a figure and an export: what they say, what is wrong with them, and files that end as their format."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import EXPORTERS
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.figure import SUFFIXES
from napari_nh2st.viewer.export.choice_form import ChoiceForm
from napari_nh2st.viewer.export.choices import (
    EXPORT_ENDINGS,
    EXPORT_SUFFIXES,
    FIGURE_ENDINGS,
    FIGURE_SUFFIXES,
    ExportChoice,
    FigureChoice,
    display_with,
    export_words,
    figure_words,
    genes_in,
)
from viewer.fakes import card


@pytest.fixture
def form(tmp_path: Path) -> ChoiceForm[FigureChoice]:
    words = partial(figure_words, card=card(), gene="ERBB2", in_sight=True)
    return ChoiceForm(FigureChoice(file=tmp_path / "C9-ERBB2.pdf"), FIGURE_SUFFIXES, words, FIGURE_ENDINGS)


def test_a_figure_in_words(form: ChoiceForm[FigureChoice], tmp_path: Path) -> None:
    assert form.preview == (
        "1 panel (ERBB2) of the part of the slide that the window shows, 85 mm wide, 1,004 pixels. "
        "It is saved as C9-ERBB2.pdf."
    )
    form.draft.change("genes", ["krt8", "CD3E", "KRT8"])
    form.draft.change("dpi", 600)
    (tmp_path / "C9-ERBB2.pdf").touch()
    assert form.preview.startswith("2 panels (KRT8, CD3E) of ")
    assert form.preview.endswith("180 mm wide, 4,252 pixels. It replaces C9-ERBB2.pdf, which is there already.")
    form.draft.change("unit", "inches")
    form.draft.change("width", "3.5")
    assert "88.9 mm wide" in form.preview
    assert form.result().width_mm == pytest.approx(88.9)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("genes", ["KRT8", "NOPE", "ESR1"], "the model her2st does not predict NOPE, ESR1"),
        ("width", "900", "A figure is 30 to 500 mm wide, not 900"),
        ("width", "wide", "width should be a valid number"),
        ("dpi", 20, "dpi should be greater than or equal to 50"),
        ("file", None, "Choose a file"),
        ("file", Path("/nowhere/a.pdf"), "There is no folder /nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(form: ChoiceForm[FigureChoice], name: str, value: object, problem: str) -> None:
    form.draft.change(name, value)
    assert (form.problem, form.preview) == (problem, "")


def test_limits_of_the_width_are_in_its_unit() -> None:
    with pytest.raises(Nh2stError, match=r"^A figure is 1.18 to 19.7 inches wide, not 85$"):
        _ = FigureChoice(width=85, unit="inches").width_mm


def test_a_folder_is_no_file(form: ChoiceForm[FigureChoice], tmp_path: Path) -> None:
    form.draft.change("file", tmp_path)
    assert form.problem == f"{tmp_path} is a folder: add the name of a file"


def test_the_file_ends_as_its_format_does(form: ChoiceForm[FigureChoice], tmp_path: Path) -> None:
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))
    form.draft.change("format", "PNG")
    assert form.result().file == tmp_path / "C9-ERBB2.png"
    form.draft.change("file", tmp_path / "other.tif")
    assert (form.result().format, form.result().file) == ("TIFF", tmp_path / "other.tif")
    form.draft.change("file", tmp_path / "b.final")  # as when it is being typed
    assert form.draft.value("file") == tmp_path / "b.final"
    assert form.result().file == tmp_path / "b.final.tiff"
    assert form.preview.endswith("b.final.tiff.")
    assert told


def test_an_export_in_words(tmp_path: Path) -> None:
    words = partial(export_words, card=card(), places=1234)
    form = ChoiceForm(ExportChoice(file=tmp_path / "C9.h5ad"), EXPORT_SUFFIXES, words, EXPORT_ENDINGS)
    assert "1,234 tiles and all 4 genes. It is saved as C9.h5ad." in form.preview
    form.draft.change("genes", ["KRT8"])
    form.draft.change("format", "csv")
    assert form.preview.endswith("1,234 tiles and 1 gene. It is saved as C9.csv.")
    form.draft.change("genes", ["NOPE"])
    assert form.problem == "the model her2st does not predict NOPE"


def test_endings_of_two_parts_and_folders(tmp_path: Path) -> None:
    words = partial(export_words, card=card(), places=1234)
    form = ChoiceForm(ExportChoice(file=tmp_path / "C9.h5ad"), EXPORT_SUFFIXES, words, EXPORT_ENDINGS)
    form.draft.change("format", "ome-zarr")
    assert form.result().file == tmp_path / "C9.ome.zarr"
    (tmp_path / "C9.ome.zarr").mkdir()
    assert form.preview.endswith("It replaces C9.ome.zarr, which is there already.")
    form.draft.change("file", tmp_path / "C9.ome.tiff")
    assert (form.result().format, form.result().file) == ("ome-tiff", tmp_path / "C9.ome.tiff")
    form.draft.change("format", "csv")
    assert form.result().file == tmp_path / "C9.csv"
    form.draft.change("format", "geojson")
    assert export_words(form.result(), card(), 500_000).startswith("Tiles")
    with pytest.raises(Nh2stError, match="at most 3 genes"):
        export_words(form.result(), card(), 600_000)


def test_formats_are_those_that_can_be_written() -> None:
    assert set(FIGURE_SUFFIXES.values()) <= set(SUFFIXES)
    assert list(FIGURE_SUFFIXES) == ["PDF", "PNG", "SVG", "TIFF"]
    assert list(EXPORT_SUFFIXES) == list(EXPORTERS)
    assert get_args(ExportChoice.model_fields["format"].annotation) == tuple(EXPORTERS)


def test_genes_however_they_are_written() -> None:
    assert genes_in(card(), ["erbb2", "KRT-8"]) == ("ERBB2", "KRT8")


def test_other_genes_have_limits_of_their_own_unless_these_are_locked() -> None:
    display = Display(genes=("ERBB2",), limits={"ERBB2": (0.0, 2.0)})
    assert display_with(display, ()) == display
    several = display_with(display, ("ERBB2", "KRT8"))
    assert [several.limits_for(gene) for gene in several.genes] == [(0, 2), None]
    locked = display_with(display.changed(locked=True), ("KRT8", "CD3E"))
    assert [locked.limits_for(gene) for gene in locked.genes] == [(0, 2), (0, 2)]

"""What the docks remember from one start to the next, and where napari keeps it; no window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.heatmap import COLORMAPS
from napari_nh2st.viewer.predict.region_section import _CHOICES
from napari_nh2st.viewer.state import preferences
from napari_nh2st.viewer.state.preferences import PLACES, Preferences, stored_preferences
from napari_nh2st.viewer.state.style import PERCENTILES

CHOSEN = {
    "model": "demo",
    "device": "cpu",
    "where": "whole",
    "detail": "fine",
    "colormap": "magma",
    "percentiles": "5 to 95 %",
    "locked": True,
    "smooth": True,
    "scale_bar": False,
    "pinned": ("ERBB2", "KRT8"),
    "recent_genes": ("CD3E",),
    "model_folders": ("/runs/a, b/model", "C:\\runs\\model"),
    "open_sections": ("Measured", "Several genes"),
    "last_run": "/runs/a, b",
    "last_sheet": "/runs/sheet.csv",
    "slide_folder": "/slides",
    "save_folder": "/results",
    "tour_seen": True,
}


@pytest.fixture(autouse=True)
def folder(keep_settings_in: Path) -> Path:
    return keep_settings_in


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


def values(of: Preferences) -> dict[str, Any]:
    return {name: getattr(of, name) for name in CHOSEN}


def start_again() -> Preferences:
    from napari import settings

    settings._clear_plugin_settings_cache()
    return stored_preferences()


def test_what_is_set_is_there_the_next_time() -> None:
    first = stored_preferences()
    assert values(first) == values(Preferences())
    for name, value in CHOSEN.items():
        setattr(first, name, value)
    assert values(start_again()) == CHOSEN


def test_every_value_has_its_place() -> None:
    assert list(PLACES) == list(CHOSEN) == list(values(Preferences()))


def test_they_lie_in_napari_s_own_file(folder: Path) -> None:
    stored_preferences().where = "whole"
    assert "where: whole" in (folder / "napari-nh2st.yaml").read_text()


def test_a_damaged_file_is_the_first_start_again(folder: Path) -> None:
    (folder / "napari-nh2st.yaml").write_text("dock:\n  colormap: nonsense\n  lock: perhaps\n  where: whole\n")
    assert values(stored_preferences()) == values(Preferences(where="whole"))


def test_docks_follow_napari_s_preferences(connections: Connections) -> None:
    dock, other = stored_preferences(connections), stored_preferences(connections)
    preferences._stored().dock.colormap = "magma"
    preferences._stored().remembered.pinned = " KRT8,ERBB2 ,"
    for each in (dock, other):
        assert (each.colormap, each.pinned) == ("magma", ("KRT8", "ERBB2"))
    connections.close()
    preferences._stored().dock.colormap = "viridis"  # a closed dock hears nothing
    assert dock.colormap == "magma"


def test_docks_do_not_follow_each_other_and_the_last_choice_is_kept(connections: Connections) -> None:
    dock, other = stored_preferences(connections), stored_preferences(connections)
    for name, value in CHOSEN.items():
        setattr(dock, name, value)
    assert values(other) == values(Preferences())
    other.use_gene("ERBB2")
    other.where = "shape"
    assert dock.where == "whole"
    kept = start_again()
    assert (kept.where, kept.colormap) == ("shape", "magma")
    assert kept.recent_genes == ("ERBB2", "CD3E")  # both were used


def test_what_is_kept_stays_when_plugins_come_or_go() -> None:
    dock = stored_preferences()
    start_again()
    dock.colormap = "magma"
    assert start_again().colormap == "magma"


def test_the_last_ones_come_first_and_no_more_than_eight() -> None:
    made = Preferences()
    for name in "abcdefghija":
        made.use_gene(name)
        made.use_model_folder(name)
    assert made.recent_genes == made.model_folders == tuple("ajihgfed")


def test_sections_are_open_until_they_are_closed() -> None:
    made = Preferences()
    for title, on in (("Trust", True), ("Measured", True), ("Trust", True), ("Measured", False)):
        made.open_section(title, on)
    assert made.open_sections == ("Trust",)


def test_the_manifest_offers_what_the_dock_does() -> None:
    fields = {
        name: field
        for group in (preferences._stored().dock, preferences._stored().remembered)
        for name, field in type(group).model_fields.items()
    }
    assert list(fields) == [place.name for place in PLACES.values()]
    offered = {name: (field.json_schema_extra or {}).get("enum") for name, field in fields.items()}
    assert offered["colormap"] == list(COLORMAPS)
    assert offered["percentiles"] == list(PERCENTILES)
    assert offered["where"] == [name for name, *_ in _CHOICES]
    assert offered["detail"] == ["coarse", "fine"]
    assert all(field.title and field.description for field in fields.values())


def test_without_the_plugin_s_manifest_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "PLUGIN", "not-there")
    stored_preferences().colormap = "magma"
    assert stored_preferences().colormap == "viridis"

"""Preferences of the docks, kept from one start to the next: one model, stored in napari's settings. No Qt.

*File > Preferences > NH2ST* shows the same values and changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nh2st.viewer.state.dock_state import Where
from napari_nh2st.viewer.state.style import DEFAULT_COLORMAP

if TYPE_CHECKING:
    from napari_nh2st.viewer.kit.connections import Connections

PLUGIN = "napari-nh2st"
_KEPT = 8  # of genes and of folders that were used before
Names = tuple[str, ...]


@dataclass(eq=False)
class Preferences:
    """Choices of the user. Only what a person does is to be written here, never what a program sets.

    Connect to ``preferences.events.<attribute>`` to hear of a change.

    Attributes
    ----------
    model : str
        Name or folder; empty takes one that suits the slide.
    device : str
    where : {"view", "shape", "whole"}
    detail : {"coarse", "fine"}
    colormap, percentiles : str
        Of heatmaps; `percentiles` is a key of `style.PERCENTILES`.
    locked, smooth : bool
    scale_bar : bool
        Whether a scale bar stands on the canvas.
    pinned : tuple of str
        Genes at hand in every slide.
    recent_genes, model_folders : tuple of str
        The last one first.
    open_sections : tuple of str
        Titles.
    last_run, last_sheet : str
        Of the fine-tune dock.
    slide_folder : str
        Where the last slide lay.
    save_folder : str
        Where a person saved a file last, where that is not beside the slide.
    tour_seen : bool
        Whether the tour was taken or declined: it is not offered again.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    model: str = ""
    device: str = "auto"
    where: Where = "view"
    detail: Literal["coarse", "fine"] = "coarse"
    colormap: str = DEFAULT_COLORMAP
    percentiles: str = "1 to 99 %"
    locked: bool = False
    smooth: bool = False
    scale_bar: bool = True
    pinned: Names = ()
    recent_genes: Names = ()
    model_folders: Names = ()
    open_sections: Names = ()
    last_run: str = ""
    last_sheet: str = ""
    slide_folder: str = ""
    save_folder: str = ""
    tour_seen: bool = False

    def use_gene(self, gene: str) -> None:
        """Remember a gene that was looked at."""
        self.recent_genes = _first(gene, self.recent_genes)

    def use_model_folder(self, folder: str) -> None:
        """Remember a model folder."""
        self.model_folders = _first(folder, self.model_folders)

    def open_section(self, title: str, on: bool) -> None:
        """Remember that a section of the dock is open, or closed."""
        others = tuple(name for name in self.open_sections if name != title)
        self.open_sections = (*others, title) if on else others


@dataclass(frozen=True)
class _Place:
    """The place of a value in napari's settings.

    Attributes
    ----------
    separator : str
        Joins the names of a list, a type that napari lacks.
    gathers : bool
        A list of what was used: names from other docks stay on it.
    """

    group: str
    name: str
    separator: str = ""
    gathers: bool = False

    def read(self, stored: Any) -> Any:
        return self.value(getattr(getattr(stored, self.group), self.name))

    def value(self, text: Any) -> Any:
        if not self.separator:
            return text
        return tuple(part.strip() for part in text.split(self.separator) if part.strip())

    def write(self, value: Any) -> None:
        stored = _stored()  # napari makes another one when plugins come or go
        if stored is None:
            return
        before = self.read(stored)
        if self.gathers:
            value = (*value, *(name for name in before if name not in value))[:_KEPT]
        if before != value:
            text = f"{self.separator} ".join(value) if self.separator else value
            with _a_dock_writes():
                setattr(getattr(stored, self.group), self.name, text)


PLACES = {
    **{name: _Place("dock", name) for name in ("model", "device", "where", "detail", "colormap", "percentiles")},
    "locked": _Place("dock", "lock"),
    "smooth": _Place("dock", "smooth"),
    "scale_bar": _Place("dock", "scale_bar"),
    "pinned": _Place("remembered", "pinned", ","),
    "recent_genes": _Place("remembered", "recent_genes", ",", gathers=True),
    "model_folders": _Place("remembered", "model_folders", ";", gathers=True),
    "open_sections": _Place("remembered", "open_sections", ","),
    "last_run": _Place("remembered", "last_run"),
    "last_sheet": _Place("remembered", "last_sheet"),
    "slide_folder": _Place("remembered", "slide_folder"),
    "save_folder": _Place("remembered", "save_folder"),
    "tour_seen": _Place("remembered", "tour_seen"),
}


def stored_preferences(connections: Connections | None = None) -> Preferences:
    """Return what napari keeps. What is set there is kept; nothing is where this plugin is not among napari's.

    Parameters
    ----------
    connections : Connections, optional
        With them, changes in napari's Preferences are followed, until they are closed. What another dock keeps there
        is for the next start: docks do not follow each other.
    """
    preferences, stored = Preferences(), _stored()
    if stored is None:
        return preferences
    for name, place in PLACES.items():
        setattr(preferences, name, place.read(stored))
        preferences.events[name].connect(place.write)
        if connections is not None:
            emitter = getattr(getattr(stored, place.group).events, place.name)
            connections.add(emitter, _reader(preferences, name, place))
    return preferences


def _stored() -> Any:
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def _reader(preferences: Preferences, name: str, place: _Place) -> Callable[[Any], None]:
    def read(event: Any) -> None:
        if not _writing:
            setattr(preferences, name, place.value(event.value))

    return read


_writing: list[None] = []  # not empty while a dock writes: napari's Preferences do at all other times


@contextmanager
def _a_dock_writes() -> Iterator[None]:
    _writing.append(None)
    try:
        yield
    finally:
        _writing.pop()


def _first(name: str, names: Names) -> Names:
    return (name, *(other for other in names if other != name))[:_KEPT]

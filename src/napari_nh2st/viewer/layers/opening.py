"""Slides that are being opened: a placeholder stands in the window at once, the slide when its file has been read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from psygnal import Signal

from napari_nh2st.errors import Nh2stError, OtherImage, UnknownFormat
from napari_nh2st.markup import untagged
from napari_nh2st.slide_path import slide_file
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.layers.frames import frame_of, slide_layer_data
from napari_nh2st.viewer.layers.lazy_level import BlockReading, LazyLevel, lazy_levels
from napari_nh2st.viewer.layers.names import slide_name
from napari_nh2st.viewer.layers.roles import KEY, OpeningRole, give_role, is_opening, role_in, slide_role
from napari_nh2st.viewer.layers.slide_copy import copies_of
from napari_nh2st.viewer.layers.stacking import gather

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.slides import Slide, SlideHeader

LayerData = tuple[Any, dict[str, Any], str]
_UNKNOWN = (2048, 2048)  # height and width of a placeholder while not even the header has been read
_GREY = 226
_COARSEST = 1024  # napari draws the coarsest level of a placeholder whole


class OpeningEvents:
    """Tells the docks of all windows what became of a slide; each looks whether it is its own."""

    opened = Signal(object)
    """The layer that now shows its slide."""
    failed = Signal(object, str)
    """The viewer, and why something could not be opened in it."""


EVENTS = OpeningEvents()


class Opening:
    """A slide that is being opened in a window.

    Parameters
    ----------
    name : str
        For its layer, and for the person who waits.
    open_it : callable
        Opens the slide. Called in a thread; slow.
    header : SlideHeader, optional
        The facts that are known already: the placeholder is as large as the slide.
    path : Path, optional
        The file, which a line about an error names.
    """

    def __init__(
        self,
        name: str,
        open_it: Callable[[], Slide],
        header: SlideHeader | None = None,
        path: Path | None = None,
    ) -> None:
        self.name = untagged(name)
        self._open_it, self._header, self._path = open_it, header, path
        self._role = OpeningRole()
        self._frame = frame_of(None if header is None else header.mpp)
        self._busy = BusySign(self.name)

    def placeholder(self) -> LayerData:
        """Return the layer that holds the slide's place; it keeps its name, and whatever the user does to it."""
        shape = _UNKNOWN if self._header is None else self._header.shape
        meta = {"name": self.name, "rgb": True, "multiscale": True, "metadata": {KEY: self._role}, **self._frame}
        return _blank_levels(shape), meta, "image"

    def start(self) -> None:
        """Read in a thread. Call it on the GUI thread."""
        from napari_nh2st.viewer.kit.background import read_aside

        self._busy.show()
        read_aside(self._read)

    def _read(self) -> Callable[[], None]:
        try:
            slide = self._open_it()
            levels = levels_for_window(slide)
        except Exception as error:
            reason = error  # Python forgets the name at the end of this clause
            return lambda: self._failed(reason)
        return lambda: self._opened(slide, levels)

    def _opened(self, slide: Slide, levels: list[Any]) -> None:
        self._busy.hide()
        places = list(self._places())
        if not places:  # the placeholder was deleted, or the window was closed
            slide.close()
        for viewer, layer in places:
            self._fill(viewer, layer, slide, levels)

    def _fill(self, viewer: ViewerModel, layer: Layer, slide: Slide, levels: list[Any]) -> None:
        """Put the slide where its placeholder is; a scale that the user chose stays."""
        if np.array_equal(layer.scale, self._frame["scale"]):
            layer.scale = frame_of(slide.mpp)["scale"]
        show_levels(layer, slide, levels)
        gather(viewer, layer)
        if all(other == layer or is_opening(other) for other in viewer.layers):
            viewer.fit_to_view()  # since it was put there, the slide's size became known and napari's panels grew
        EVENTS.opened.emit(layer)

    def _failed(self, error: Exception) -> None:
        self._busy.hide()
        for viewer, layer in list(self._places()):
            viewer.layers.remove(layer)
            if isinstance(error, OtherImage) and self._path is not None:
                open_with_napari(viewer, self._path)
            else:
                complain(viewer, error, self._path)

    def _places(self) -> Iterator[tuple[ViewerModel, Layer]]:
        for viewer in open_viewers():
            for layer in viewer.layers:
                if role_in(layer.metadata) is self._role:
                    yield viewer, layer


class BusySign:
    """A bar in napari's activity dialog, and a word in its status line."""

    def __init__(self, name: str) -> None:
        self._bar: Any = None
        self._name, self._said = name, f"Opening {name}…"

    def show(self) -> None:
        """Show that something is being opened."""
        from napari import current_viewer
        from napari.utils import progress

        self._bar = progress(total=0, desc=f"Opening {self._name}")
        viewer = current_viewer()
        if viewer is not None:
            viewer.status = self._said

    def hide(self) -> None:
        """Take the bar and the word away."""
        if self._bar is not None:
            with contextlib.suppress(RuntimeError):  # the window is gone, and the bar with it
                self._bar.close()
            self._bar = None
        for viewer in open_viewers():
            if viewer.status == self._said:
                viewer.status = ""


def open_viewers() -> list[Any]:
    """Return the viewers of all open windows."""
    from napari.viewer import Viewer

    return list(Viewer._instances)


def once_slides_change(viewer: ViewerModel, then: Callable[[], None]) -> None:
    """Call `then` once, after the docks: when a slide was opened, could not be opened, or a layer was deleted."""
    from napari_nh2st.viewer.kit.background import read_aside

    connections = Connections()

    def look(*told: object) -> None:
        connections.close()
        read_aside(lambda: then)

    for told in (EVENTS.opened, EVENTS.failed, viewer.layers.events.removed):
        connections.add(told, look)


def begin_opening(path: Path, header: SlideHeader | None = None, *, mpp: float | None = None) -> Opening:
    """Return the opening of a slide file, which has yet to be started."""

    def open_it() -> Slide:
        from napari_nh2st.slides import open_slide  # a second of imports, the first time

        return open_slide(path, mpp=mpp)

    return Opening(slide_name(path), open_it, header, path)


def levels_for_window(slide: Slide, *, first_look: bool = True) -> list[Any]:
    """Return levels that napari draws without waiting. The coarsest is read at once: call this in a thread.

    With `first_look`, a slide whose overviews have yet to be made has a sketch of it instead.
    """
    from napari_nh2st.viewer.kit.gui_thread import window_is_live

    return lazy_levels(slide, window_is_live, first_look=first_look)


def slide_for_script(slide: Slide) -> LayerData:
    """Return a slide as layer data: a script gets the pixels it asks for, and later nobody at the window waits."""
    from napari_nh2st.viewer.kit.background import read_aside

    data, meta, kind = slide_layer_data(slide)
    if meta["multiscale"]:
        data = levels_for_window(slide, first_look=False)
        BlockReading(data, read_aside, partial(_draw_again, data[0]))
    return data, meta, kind


def _draw_again(level: LazyLevel) -> None:
    for viewer in open_viewers():
        for layer in viewer.layers:
            if layer.visible and getattr(layer, "multiscale", False) and layer.data[0] is level:
                layer.refresh(extent=False, thumbnail=False)


def add_slide(viewer: ViewerModel, slide: Slide, levels: list[Any]) -> Layer:
    """Add an open slide to a window, with levels of `levels_for_window`."""
    _, meta, _ = slide_layer_data(slide)
    layer = viewer.add_image(levels, **{**meta, "multiscale": True})
    show_levels(layer, slide, levels)
    return layer


def show_levels(layer: Layer, slide: Slide, levels: list[Any]) -> None:
    """Put a slide behind its layer, with levels that are read when napari draws them.

    Parameters
    ----------
    levels : list
        As `lazy_levels` makes them.
    """
    from napari_nh2st.viewer.kit.background import read_aside

    here = ref(layer)

    def draw() -> None:
        shown = here()
        for each in [] if shown is None else [shown, *copies_of(shown)]:
            if each.visible:
                each.refresh(extent=False, thumbnail=False)

    def coarsest_in_sight() -> bool:
        shown = here()
        return any(each.data_level == len(levels) - 1 for each in ([] if shown is None else [shown, *copies_of(shown)]))

    give_role(layer, slide_role(slide))
    reading = BlockReading(levels, read_aside, draw, coarsest_in_sight)
    layer.data = levels
    layer.events.set_data.connect(reading.drawn)
    reading.drawn()


def complain(viewer: ViewerModel | None, error: Exception, path: Path | None = None) -> None:
    """Say in one line why something could not be opened, as a notification and in the dock."""
    from napari.utils.notifications import show_error

    words = error.brief if isinstance(error, UnknownFormat) else error_words(error)
    if path is not None and isinstance(error, Nh2stError):  # its name is enough where a person reads
        words = words.replace(str(slide_file(path)), slide_file(path).name)
    show_error(words)
    EVENTS.failed.emit(viewer, words)


def note(viewer: ViewerModel, words: str) -> None:
    """Say what to know of something that was opened, as a notification and in the dock."""
    from napari.utils.notifications import show_warning

    show_warning(words)
    EVENTS.failed.emit(viewer, words)


def open_with_napari(viewer: ViewerModel, path: Path) -> None:
    """Leave an image that is no slide to napari's own reader."""
    try:
        viewer.open(str(path), plugin="napari")
    except Exception as error:
        complain(viewer, error, path)


def _blank_levels(shape: tuple[int, int]) -> list[Any]:
    """Return grey levels of a size, which take no memory."""
    height, width = shape
    levels: list[Any] = []
    while not levels or max(levels[-1].shape) > _COARSEST:
        levels.append(np.broadcast_to(np.uint8(_GREY), (height, width, 3)))
        height, width = max(height // 2, 1), max(width // 2, 1)
    return levels

"""Charts by matplotlib in the colours and the font of the window.

matplotlib is loaded in the background when a chart is shown for the first time; pyplot is never used. A chart is drawn
anew a few times a second at most, and only while it is in sight.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypedDict

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QColor, QCursor, QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip
from superqt.utils import QSignalThrottler

from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import plain_tip

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import Event, MouseEvent
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_EVERY_MS = 300  # between two drawings
_FRAME = 0.4  # opacity of frames
_NARROWEST = 180
_DPI = 72  # a point of matplotlib is a logical pixel
Colour = tuple[float, float, float, float]


class Font(TypedDict):
    """Family and size in pixels, as matplotlib's text takes them."""

    family: str
    size: float


@dataclass(frozen=True, eq=False)
class Surface:
    """An empty figure to draw on. Lengths are logical pixels from its top left corner, y downwards.

    Attributes
    ----------
    figure : Figure
        A point of matplotlib is a logical pixel in it.
    width, height : float
    line : float
        Height of a line of text.
    ink, paper : RGBA
        Colours of text and background.
    font : Font
    """

    figure: Figure
    width: float
    height: float
    line: float
    ink: Colour
    paper: Colour
    font: Font

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes in a box, with a faint frame and without ticks."""
        width, height = max(width, 0.0), max(height, 0.0)  # a chart that is not laid out yet has no room
        axes = self.figure.add_axes(
            (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        )
        axes.set_facecolor("none")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_edgecolor(self.ink)
            spine.set_alpha(_FRAME)
            spine.set_linewidth(1)
        return axes

    def write(
        self, x: float, y: float, text: str, *, align: Literal["left", "center", "right"] = "left", bold: bool = False
    ) -> Text:
        """Write a line around the height y; `align` says which end of it is at x."""
        return self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            ha=align,
            va="center_baseline",
            color=self.ink,
            weight="bold" if bold else "normal",
            parse_math=False,
            **self.font,
        )

    def wide(self, text: str, *, bold: bool = False) -> float:
        """Return the width of a line."""
        from matplotlib.font_manager import FontProperties

        font = FontProperties(weight="bold" if bold else "normal", **self.font)
        width, _, _ = self.figure.canvas.get_renderer().get_text_width_height_descent(text, font, ismath=False)
        return float(width) / float(self.figure.canvas.device_pixel_ratio)

    def shortened(self, text: str, width: float) -> str:
        """Return a text that fits into a width, with an ellipsis where it was cut off."""
        short = text
        while short and self.wide(short if short == text else f"{short}…") > width:
            short = short[:-1].rstrip()
        return short if short == text else f"{short}…"


class Chart(QLabel):  # napari's style sheet gives a label the font and the colour of its settings
    """A figure as wide as the dock, which a subclass draws in `plot`.

    Parameters
    ----------
    name : str
        For people who do not see it.
    tooltip : str
    """

    def __init__(self, name: str, tooltip: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName(name)
        self.setToolTip(plain_tip(tooltip))
        self.setWordWrap(True)
        # height for width, and no fixed height set on resizing: with that, a scroll bar that comes and goes with the
        # height would resize the chart for ever
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumWidth(_NARROWEST)
        self.canvas: FigureCanvasQTAgg | None = None
        self._stale = True
        self._background = Background()
        self.destroyed.connect(self._background.close)
        self._tip = ""
        self._picture: object = None  # without marks, while there are some
        self._marks: Sequence[Artist] = ()
        self._throttle = QSignalThrottler(self)
        self._throttle.setTimeout(_EVERY_MS)
        self._throttle.triggered.connect(self._draw)

    # for subclasses

    def plot(self, surface: Surface) -> None:
        """Draw on an empty figure."""
        raise NotImplementedError

    def height_for(self, width: int, line: int) -> int:
        """Return the height for a width and the height of a line of text, all in pixels."""
        raise NotImplementedError

    def marks(self) -> Sequence[Artist]:
        """Add to the axes what changes without the rest, such as a ring where the mouse is, and return it."""
        return ()

    def tip_at(self, event: MouseEvent) -> str:
        """Say what lies under the mouse; empty leaves the chart's own tooltip."""
        return ""

    def mouse_left(self) -> None:
        """Take note that the mouse has left."""

    # for everybody

    def redraw(self) -> None:
        """Draw everything anew: at once, or soon after the last drawing. A hidden chart waits until it is shown."""
        self._stale = True
        self.updateGeometry()
        if self.isVisible():
            self._throttle.throttle()

    def redraw_marks(self) -> None:
        """Draw the marks anew, and nothing else."""
        if self.canvas is None or self._stale:
            return
        if self._picture is None:
            self._picture = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        else:
            self.canvas.restore_region(self._picture)
        for artist in self._marks:
            artist.remove()
        self._marks = self.marks()
        for artist in self._marks:
            artist.set_animated(True)  # not drawn with the rest
            artist.axes.draw_artist(artist)
        self.canvas.update()

    # Qt

    def hasHeightForWidth(self) -> bool:
        """Return True if the height follows the width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height for a width."""
        return self.height_for(width, self.fontMetrics().height())

    def sizeHint(self) -> QSize:
        """Return a size for layouts that do not ask for the height that goes with a width."""
        width = max(_NARROWEST, self.width())
        return QSize(width, self.heightForWidth(width))

    minimumSizeHint = sizeHint

    def event(self, event: QEvent) -> bool:
        """Prefer what is said of the place under the mouse to the tooltip."""
        if event.type() == QEvent.Type.ToolTip and self._tip:
            QToolTip.showText(QCursor.pos(), plain_tip(self._tip), self)
            return True
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what has changed while nobody looked."""
        super().showEvent(event)
        if self._stale:
            self.redraw()

    def hideEvent(self, event: QHideEvent) -> None:
        """Leave no timer running: a window may be deleted from another thread, which cannot stop them."""
        super().hideEvent(event)
        self._throttle.cancel()
        self._throttle.flush(restart_timer=False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Follow the dock."""
        super().resizeEvent(event)
        if self.canvas is not None:
            self.canvas.setGeometry(self.rect())
        self._stale = True
        if self.isVisible():
            self._throttle.throttle()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme and the font."""
        super().changeEvent(event)
        kind = QEvent.Type
        if event.type() in (kind.FontChange, kind.StyleChange, kind.PaletteChange) and hasattr(self, "_throttle"):
            self.redraw()

    def eventFilter(self, canvas: QObject, event: QEvent) -> bool:
        """Let the wheel scroll the dock, and notice when the mouse leaves."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        if event.type() == QEvent.Type.Leave:
            self._tip = ""
            self.mouse_left()
        return False

    def _draw(self) -> None:
        if not self._stale or not self.isVisible() or not self._ready():
            return
        assert self.canvas is not None
        self._stale = False
        self._picture, self._marks = None, ()
        figure, palette = self.canvas.figure, self.palette()
        ink, paper = _rgba(palette.windowText().color()), _rgba(palette.window().color())
        figure.clear()
        figure.set_size_inches(self.width() / _DPI, self.height() / _DPI, forward=False)
        figure.set_facecolor(paper)
        font = Font(family=_family(self.fontInfo().family()), size=self.fontInfo().pixelSize())
        line = float(self.fontMetrics().height())
        self.plot(Surface(figure, float(self.width()), float(self.height()), line, ink, paper, font))
        self.canvas.draw()

    def _ready(self) -> bool:
        """Return True if there is a canvas to draw on; matplotlib is loaded in the background first."""
        if self.canvas is None and hasattr(sys.modules.get("matplotlib.backends.backend_agg"), "FigureCanvasAgg"):
            self._make_canvas()
        elif self.canvas is None and not self._background.busy:
            self._background.call(_load_matplotlib, then=lambda _: self._draw(), failed=self._failed)
        return self.canvas is not None

    def _failed(self, error: Exception) -> None:
        self.setText(f"The chart cannot be drawn: {error_words(error)}")

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.canvas = FigureCanvasQTAgg(Figure(dpi=_DPI))
        self.canvas.installEventFilter(self)
        self.canvas.mpl_connect("motion_notify_event", self._mouse_moved)
        self.canvas.mpl_connect("draw_event", self._drawn)
        self.canvas.setParent(self)
        self.canvas.setGeometry(self.rect())
        self.canvas.show()

    def _mouse_moved(self, event: MouseEvent) -> None:
        tip = self.tip_at(event)
        if tip != self._tip:
            self._tip = tip
            QToolTip.showText(QCursor.pos(), plain_tip(tip), self)

    def _drawn(self, event: Event) -> None:
        """Put the marks on a picture that was drawn anew, on another screen say."""
        self._picture = None
        self.redraw_marks()


def _load_matplotlib() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401


def _rgba(colour: QColor) -> Colour:
    red, green, blue, alpha = colour.getRgbF()
    return red, green, blue, alpha


@cache
def _family(name: str) -> str:
    """Return the family that matplotlib has for one of Qt's."""
    from matplotlib.font_manager import FontProperties, findfont

    try:
        findfont(FontProperties(family=name), fallback_to_default=False)
    except ValueError:
        return "sans-serif"
    return name

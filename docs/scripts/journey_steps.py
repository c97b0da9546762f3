"""The steps of a person on each of the six journeys: clicks, keys and files dropped, never a call into the dock's code.

`Person` finds buttons by the words on them, as a person does. Only choices in a combo box are set by their text, since
a popup cannot be clicked in every theme and size.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import own_settings  # noqa: F401  # before napari

# isort: split
import napari
import numpy as np
import tifffile
from heartbeat import Heartbeat
from napari.settings import get_settings
from napari.utils.notifications import ErrorNotification, notification_manager
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QWidget,
)

from napari_nh2st.demo.sheet import write_sample_sheet

SECTIONS = (901, 902, 903)
NONE = Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton


class Person:
    """A person before a window of napari, with sections of procedural tissue in a folder."""

    def __init__(self, pictures: Path, data: Path, look: Any) -> None:
        self.pictures, self.data, self.faults = pictures, data, []  # type: Path, Path, list[str]
        self.sheet = write_sample_sheet(SECTIONS, data, size_mm=(2.8, 2.2))
        sys.excepthook = self._raised
        threading.excepthook = lambda args: self._raised(args.exc_type, args.exc_value, args.exc_traceback)
        notification_manager.notification_ready.connect(self._notified)
        # napari asks once for each ending which reader is meant, and this person has answered
        readers = dict.fromkeys(("*.tif", "*.svs", "*.jpg", "*.png"), "napari-nh2st")
        get_settings().plugins.extension2reader = readers
        self.viewer = napari.Viewer()
        self.viewer.theme = look.theme
        self.window = self.viewer.window._qt_window
        self.window.resize(int(look.width / look.scale), int(look.height / look.scale))
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.dock: Any = None
        self._number = 0
        self.rest(1)
        self.heart = Heartbeat()

    # what went wrong

    def _raised(self, kind: Any, error: Any, trace: Any) -> None:
        self.faults.append("".join(traceback.format_exception(kind, error, trace)))

    def _notified(self, notification: Any) -> None:
        unforeseen = isinstance(notification, ErrorNotification)  # with a traceback; a sentence of ours has none
        if unforeseen or "Inconsistent units" in notification.message:
            self.faults.append(f"{self.heart.step}: napari says: {notification.message[:400]}")

    def leave(self) -> None:
        """Close the window by its cross, which is not how a script does it: layers need not go one by one."""
        self.heart.step = "close the window"
        self.window.close()
        self.rest(1)
        self.heart.close()
        with suppress(RuntimeError):  # Qt may have deleted the closed window by now
            self.viewer.close()

    # time

    def live(self, steps: Callable[[], None]) -> None:
        """Take the steps while the event loop runs, as in a person's napari: opening differs where a script waits."""
        ended: list[BaseException | None] = []

        def take() -> None:
            try:
                steps()
                ended.append(None)
            except BaseException as error:
                ended.append(error)
            QApplication.exit()

        QTimer.singleShot(0, take)
        QApplication.exec()
        if ended[0] is not None:
            raise ended[0]

    def rest(self, seconds: float = 0.3) -> None:
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, seconds + 60)

    def wait(self, done: Callable[[], bool], seconds: float = 240) -> None:
        """Wait, with the window alive."""
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                raise SystemExit(f"error: waited {seconds:.0f} s in vain at {self.heart.step}")
            QApplication.processEvents()
            time.sleep(0.002)

    def now(self, step: str) -> None:
        """Begin a step."""
        self.rest(0.05)
        self.heart.step = step

    def look(self, name: str, seconds: float = 1.0) -> None:
        """Take a picture of the whole window."""
        self.rest(seconds)
        self._number += 1
        top = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w is not self.window]
        shots = [self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]]
        for number, widget in enumerate(top):
            if widget.width() > 120 and widget.height() > 60:
                widget.grab().save(str(self.pictures / f"{self._number:02} {name} - {number + 1}.png"))
        Image.fromarray(shots[0]).quantize(256, kmeans=0).save(self.pictures / f"{self._number:02} {name}.png")
        self.heart.forget()

    # the dock

    def open_dock(self, name: str = "NH2ST") -> Any:
        self.now(f"open {name}")
        self.area, self.dock = self.viewer.window.add_plugin_dock_widget("napari-nh2st", name)
        self.rest(0.5)
        return self.dock

    def close_dock(self) -> None:
        self.now("close the dock")
        self.viewer.window.remove_dock_widget(self.area)
        self.dock = None
        self.rest(0.5)

    def seen(self, kind: type, where: QWidget | None = None) -> list[Any]:
        """Widgets of the dock that are there for a person."""
        owner = where or self.dock
        return [widget for widget in owner.findChildren(kind) if widget.isVisibleTo(owner)]

    def says(self, text: str) -> bool:
        """Tell whether the dock says something, in a label."""
        from qtpy.QtWidgets import QLabel

        return any(text.lower() in label.text().lower() for label in self.seen(QLabel))

    def button(self, text: str, where: QWidget | None = None) -> Any:
        """Find a button by its words, or their beginning."""
        buttons = self.seen(QAbstractButton, where)
        exact = [b for b in buttons if b.text().replace("&", "") == text]
        begun = [b for b in buttons if b.text().replace("&", "").startswith(text)]
        if not exact + begun:
            raise SystemExit(f"error: no button “{text}”; there are {sorted({b.text() for b in buttons if b.text()})}")
        return (exact + begun)[0]

    def bring(self, widget: QWidget) -> None:
        """Scroll until a widget is in sight."""
        parent = widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea):
                parent.ensureWidgetVisible(widget)
            parent = parent.parentWidget()
        self.rest(0.1)

    def press(self, text: str, where: QWidget | None = None) -> Any:
        button = self.button(text, where)
        self.bring(button)
        self.now(f"press {text}")
        QTest.mouseClick(button, LEFT, NONE, QPoint(min(12, button.width() // 2), button.height() // 2))
        self.rest(0.05)
        return button

    def choose(self, text: str) -> None:
        """Choose an entry in whichever list has it."""
        for combo in self.seen(QComboBox):
            index = next((i for i in range(combo.count()) if combo.itemText(i).startswith(text)), -1)
            if index >= 0:
                self.now(f"choose {text}")
                combo.setCurrentIndex(index)
                combo.activated.emit(index)
                self.rest(0.5)
                return
        raise SystemExit(f"error: no list has “{text}”")

    def fold(self, title: str) -> QWidget:
        """Open one fold, and close the others."""
        for fold in self.dock.folds.values():
            if fold.title != title and fold.button.isChecked():
                fold.button.click()
        self.now(f"unfold {title}")
        fold = self.dock.folds[title]
        if not fold.button.isChecked():
            self.bring(fold.button)
            QTest.mouseClick(fold.button, LEFT, NONE, QPoint(12, fold.button.height() // 2))
        self.rest(0.5)
        bar = self.scroll.verticalScrollBar()
        bar.setValue(min(bar.maximum(), fold.mapTo(self.scroll.widget(), QPoint(0, 0)).y()))
        return fold

    @property
    def scroll(self) -> Any:
        return self.dock if isinstance(self.dock, QScrollArea) else self.dock.findChild(QScrollArea)

    def top(self) -> None:
        """Scroll the dock back to its top."""
        self.scroll.verticalScrollBar().setValue(0)

    def type(self, field: Any, text: str, enter: bool = True) -> None:
        self.now(f"type {text}")
        inner = field.lineEdit() if isinstance(field, QAbstractSpinBox | QComboBox) else field
        self.bring(inner)
        QTest.mouseClick(inner, LEFT, NONE, QPoint(8, inner.height() // 2))
        if isinstance(inner, QLineEdit) and inner.selectedText() != inner.text():
            inner.selectAll()
        QTest.keyClicks(inner, text)
        if enter:
            QTest.keyClick(inner, Qt.Key.Key_Return)
        self.rest(0.5)

    def gene(self, name: str) -> None:
        self.type(self.dock.genes.field, name)

    def predict_whole(self) -> None:
        self.press("whole slide")
        self.press("Predict")
        self.until_idle()

    def until_idle(self) -> None:
        self.rest(0.4)
        self.wait(lambda: not self.dock.controller.running)
        self.rest(0.3)

    # the canvas

    def at(self, x: float, y: float) -> QPoint:
        return QPoint(int(x * self.canvas.width()), int(y * self.canvas.height()))

    def click(self, x: float, y: float, double: bool = False) -> None:
        point = self.at(x, y)
        QTest.mouseMove(self.canvas, point)
        self.rest(0.05)
        (QTest.mouseDClick if double else QTest.mouseClick)(self.canvas, LEFT, NONE, point)
        self.rest(0.05)

    def hover(self, x: float, y: float) -> None:
        self.now("hover")
        for step in (0.99, 1.0):
            QTest.mouseMove(self.canvas, self.at(x * step, y))
            self.rest(0.2)

    def hover_over(self, layer: Any, index: int) -> None:
        """Hover over a point of a layer."""
        camera, size = self.viewer.scene.camera, (self.canvas.height(), self.canvas.width())
        world = np.asarray(layer.data_to_world(layer.data[index]))[-2:]
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom / size + 0.5
        self.hover(float(x), float(y))

    def zoom(self, factor: float) -> None:
        self.now(f"zoom {factor}")
        self.viewer.scene.camera.zoom *= factor
        self.rest(0.5)

    def pan(self, x: float, y: float) -> None:
        self.now("pan")
        a, b = self.at(0.5, 0.5), self.at(0.5 + x, 0.5 + y)
        QTest.mousePress(self.canvas, LEFT, NONE, a)
        for step in np.linspace(0, 1, 6)[1:]:
            QTest.mouseMove(self.canvas, a + (b - a) * float(step))
            self.rest(0.02)
        QTest.mouseRelease(self.canvas, LEFT, NONE, b)
        self.rest(0.3)

    def draw_region(self, *corners: tuple[float, float]) -> None:
        self.now("draw a region")
        for x, y in corners:
            self.click(x, y)
        self.click(*corners[-1], double=True)

    def key(self, key: Any, where: QWidget | None = None, modifier: Any = NONE) -> None:
        self.now(f"key {key.name}")
        QTest.keyClick(where or self.canvas, key, modifier)
        self.rest(0.3)

    # files

    def drop(self, *paths: Path | str, on: QWidget | None = None) -> None:
        """Drop files on the canvas, or on a widget."""
        self.now("drop " + ", ".join(Path(path).name for path in paths))
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        copy = Qt.DropAction.CopyAction
        event = QDropEvent(QPointF(20, 20), copy, mime, LEFT, NONE)
        try:
            if on is None:
                self.viewer.window._qt_viewer.dropEvent(event)
            else:
                target = on.widget() if isinstance(on, QScrollArea) else on
                QApplication.sendEvent(target, QDragEnterEvent(QPoint(20, 20), copy, mime, LEFT, NONE))
                QApplication.sendEvent(target, event)
        except Exception as error:  # a person sees a traceback
            self._raised(type(error), error, error.__traceback__)
        self.rest(0.3)

    def until_slide(self, count: int = 1) -> None:
        """Wait until so many slides are open, and the chosen one is ready."""
        self.wait(lambda: self.dock.slides.combo.count() >= count and self.dock.state.slide is not None)
        self.rest(0.5)

    def section(self, number: int, suffix: str = "tif") -> Path:
        return self.data / f"S{number}.{suffix}"


def newcomer(person: Person) -> None:
    """Open the dock on nothing, take the demo tissue, follow the view, walk through genes."""
    dock = person.open_dock()
    person.look("nothing open")
    person.press("Try the demo tissue")
    person.look("a moment later", 0.1)
    person.until_slide()
    person.look("the demo tissue")
    person.press("what I see")
    person.press("Predict")
    person.look("the first moment", 0.3)
    person.rest(2)
    person.wait(lambda: not dock.controller.running)
    person.look("what I see")
    person.zoom(2.5)
    person.pan(0.2, 0.1)
    person.look("moved on", 2)
    person.gene("STROMIN")
    person.look("a gene typed")
    for _ in range(3):
        person.key(Qt.Key.Key_Down, dock.genes.field.lineEdit())
    person.look("walked down the list")
    person.hover(0.5, 0.5)
    person.look("under the mouse", 0.3)
    person.press("Stop")
    person.look("stopped")


def whole_slide(person: Person) -> None:
    """Two slides: predict one whole, cancel, go on, export, print."""
    dock = person.open_dock()
    person.drop(large_tiff(person), person.section(902))
    person.until_slide(2)
    person.look("two slides")
    person.choose("large")
    person.look("the first chosen")
    person.press("whole slide")
    person.press("Predict")
    person.wait(lambda: dock.state.map is not None and dock.state.map.count > 20, 120)
    person.look("running", 0.1)
    began = time.monotonic()
    person.press("Cancel")
    person.wait(lambda: not dock.controller.running)
    person.heart.step = f"cancelled after {time.monotonic() - began:.2f} s"
    print(person.heart.step)
    person.look("cancelled")
    person.press("Predict")
    person.until_idle()
    person.look("gone on to the end")
    person.press("Predict")
    person.until_idle()
    person.look("predicted again")
    person.press("+")
    person.gene("ERBB2")
    person.press("+")
    person.look("pinned")
    person.press("lock")
    person.gene("GNAS")
    person.look("limits locked")
    person.press("lock")
    person.press("Copy command line")
    person.look("command copied", 0.3)
    dialog(person, "Export…", "export", person.data / "out.h5ad")
    menu(person, "More…", "more")
    person.choose("S902")
    person.look("the other slide")


def dialog(person: Person, button: str, name: str, path: Path) -> None:
    """Press a button that opens a file dialog or one of ours; picture it, and leave it."""
    asked: list[Any] = []
    real = QFileDialog.getSaveFileName
    QFileDialog.getSaveFileName = staticmethod(lambda *a, **k: asked.append(a) or (str(path), ""))
    try:
        leave_soon(person, name, lambda: QApplication.activeModalWidget() or other_window(person))
        person.press(button)
        person.rest(2.5)
        person.look(f"after {name}")
    finally:
        QFileDialog.getSaveFileName = real


def menu(person: Person, button: str, name: str) -> None:
    """Open a button's menu, picture it, and close it."""
    leave_soon(person, name, QApplication.activePopupWidget)
    person.press(button)
    person.rest(1.5)


def leave_soon(person: Person, name: str, find: Callable[[], QWidget | None]) -> None:
    """Picture and close, in a moment, what a press will have opened: the press itself waits for it."""

    def leave() -> None:
        opened = find()
        if opened is not None:
            person.look(name, 0.5)
            opened.close()

    QTimer.singleShot(800, leave)


def other_window(person: Person) -> QWidget | None:
    """Return a window that is in sight beside napari's."""
    shown = (w for w in QApplication.topLevelWidgets() if w.isVisible())
    return next((w for w in shown if w is not person.window), None)


def measured(person: Person) -> None:
    """Hold a prediction against a measurement, its own and another slide's."""
    dock = person.open_dock()
    person.drop(person.section(901), person.section(902))
    person.until_slide(2)
    person.choose("S901")
    person.predict_whole()
    fold = person.fold("Measured")
    person.look("nothing measured")
    section = fold.section
    person.drop(person.section(901, "h5ad"), on=section)
    person.look("reading", 0.1)
    person.wait(lambda: section.comparison is not None)
    person.look("compared")
    person.press("difference", section)
    person.look("difference")
    person.bring(section.table)
    person.look("table")
    person.hover_over(section.difference.layer, len(section.difference.layer.data) // 2)
    person.look("under the mouse", 0.3)
    person.top()
    person.choose("S902")
    person.predict_whole()
    person.fold("Measured")
    person.drop(person.section(901, "h5ad"), on=section)
    person.rest(6)
    person.look("another slide's counts")
    person.top()
    person.choose("S901")
    person.look("back on the first")
    assert dock.state.slide is not None


def exploring(person: Person) -> None:
    """Regions, domains, the surroundings, trust, several genes, slides side by side."""
    dock = person.open_dock()
    person.drop(person.section(902))
    person.until_slide()
    person.drop(person.section(901))
    person.until_slide(2)
    person.predict_whole()
    person.fold("Regions")
    person.look("no regions yet")
    person.press("Draw regions")
    person.draw_region((0.3, 0.3), (0.45, 0.28), (0.45, 0.5), (0.3, 0.5))
    person.draw_region((0.6, 0.5), (0.75, 0.5), (0.75, 0.7), (0.6, 0.7))
    person.look("two regions")
    person.click(0.5, 0.3)
    person.key(Qt.Key.Key_Escape)
    person.look("a click too many, Esc")
    person.press("Compare")
    person.rest(4)
    person.look("compared")
    person.press("Find domains")
    person.look("finding domains", 0.1)
    person.rest(1)
    person.wait(lambda: not dock.folds["Regions"].section.domains.task.running)
    person.bring(dock.folds["Regions"].section.domains)
    person.look("domains")
    person.fold("Context")
    person.look("context, no tile yet")
    tile = [b for b in person.seen(QAbstractButton) if b.text().startswith("Pick a tile")]
    if tile:
        person.press("Pick a tile")
    person.click(0.55, 0.45)
    person.rest(3)
    person.look("a tile and its surroundings")
    person.key(Qt.Key.Key_Escape)
    person.fold("Trust")
    person.look("trust")
    person.press("Check the tissue")
    person.wait(lambda: not dock.folds["Trust"].section.tissue.task.running)
    person.look("tissue checked")
    person.press("Show spread")
    person.rest(0.5)
    person.wait(lambda: not dock.folds["Trust"].section.spread.task.running)
    person.look("spread")
    person.fold("Several genes")
    section = dock.folds["Several genes"].section
    for combo, gene in zip(section.composite.combos, ("DEMO-TUMORIN", "DEMO-IMMUNIN", "DEMO-STROMIN"), strict=True):
        combo.setCurrentText(gene)
    person.press("Show together")
    field = person.seen(QPlainTextEdit, section)[0]
    person.bring(field)
    field.setPlainText("DEMO-IMMUNIN, DEMO-LYMPHALIN, CD3E")
    person.rest(0.5)
    person.press("Score")
    person.rest(3)
    person.look("three genes and a signature")
    person.top()
    person.choose("S902")
    person.predict_whole()
    person.look("the second slide")
    person.fold("Several slides")
    person.press("Slides side by side")
    person.look("side by side", 2)
    person.press("Slides side by side")
    person.look("one again")
    several_models(person)
    report(person)


def several_models(person: Person) -> None:
    """Predict with a second model; side by side, in the same colours, where they disagree."""
    dock = person.dock
    person.top()
    person.choose("demo-paper")
    person.predict_whole()
    person.look("a second model")
    section = person.fold("Several models").section
    person.look("several models")
    person.press("Models side by side")
    person.rest(1)
    person.look("models side by side", 2)
    person.press("same colours")
    person.look("the same colours")
    person.press("Models side by side")
    person.press("Compare", section)
    person.wait(lambda: section.agreement.table.frame is not None)
    person.press("where they disagree")
    person.bring(section.agreement.table)
    person.look("where they disagree")
    person.press("where they disagree")
    assert dock.state.map is not None


def report(person: Person) -> None:
    """Ask for a report, and read its first page."""
    person.top()
    path = person.data / "S902.pdf"
    section = person.dock.result
    asked = section.ask_report()
    asked.fields.rows["format"].widget.value = "PDF"
    asked.fields.rows["file"].widget.value = path
    asked.fields.rows["open"].widget.value = False
    person.look("report")
    person.press("Save", asked)
    person.look("report, writing", 0.1)
    person.wait(path.exists)
    person.look("report written")


def fine_tune(person: Person) -> None:
    """From a sheet to a model of one's own."""
    dock = person.open_dock("NH2ST fine-tune")
    person.look("nothing chosen")
    bad = person.data / "semicolons.csv"
    bad.write_text(person.sheet.read_text().replace(",", ";"))
    person.drop(bad, on=dock)
    person.look("a sheet with semicolons", 3)
    person.drop(person.sheet, on=dock)
    person.look("reading the sheet", 0.1)
    person.wait(lambda: dock.sections.table.rowCount() >= len(SECTIONS))
    dock.run.setText(str(person.data / "evening"))
    dock.choices.epochs.setValue(3)
    dock.choices.number.setValue(30)
    person.wait(dock.start.isEnabled, 300)
    person.look("ready")
    scroll = dock.verticalScrollBar() if hasattr(dock, "verticalScrollBar") else person.scroll.verticalScrollBar()
    person.press("Start")
    person.look("begun", 0.3)
    run = dock.presenter.run
    person.wait(lambda: run.metrics().stage is not None, 600)
    person.look("preparing", 0.1)
    person.wait(lambda: len(run.metrics().curve("val_pcc")) >= 1, 900)
    person.look("training", 0.5)
    person.wait(lambda: run.status().state == "done", 900)
    person.look("done", 3)
    scroll.setValue(scroll.maximum())
    person.look("done, below")


def nasty(person: Person) -> None:
    """Everything that goes wrong: files, pixel sizes, layers deleted, docks closed at the wrong moment."""
    dock = person.open_dock()
    large = large_jpeg(person)
    person.drop(large)
    person.look("a JPEG without a pixel size", 0.2)
    person.until_slide()
    person.look("asked for the pixel size")
    person.type(dock.slides.pixel_size.value, "1.0")
    person.look("pixel size typed")
    second = person.data / "second.png"
    Image.fromarray(tifffile.imread(person.section(902))[:1500, :1500]).save(second)
    person.drop(second)
    person.until_slide(2)
    person.look("another without a pixel size")
    text = person.data / "text.svs"
    text.write_text("this is no slide")
    person.drop(text)
    person.look("text for a slide")
    cut = person.data / "cut.tif"
    cut.write_bytes(person.section(903).read_bytes()[:5000])
    person.drop(cut)
    person.look("half a file")
    (person.data / "some folder").mkdir()
    dark = person.data / "fluorescence.tif"
    rng = np.random.default_rng(0)
    glow = np.zeros((1200, 1400, 3), np.uint8)
    glow[300:900, 400:1000, 2] = rng.integers(40, 200, (600, 600))
    tifffile.imwrite(
        dark, glow, photometric="rgb", resolution=(10_000, 10_000), resolutionunit="CENTIMETER", tile=(256, 256)
    )
    person.drop(dark)
    person.until_slide(3)
    person.press("what I see")
    person.press("Predict")
    person.rest(3)
    person.look("fluorescence")
    person.drop(person.section(901))
    person.until_slide(4)
    person.choose("fine")
    person.press("whole slide")
    person.press("Predict")
    person.wait(lambda: dock.state.map is not None and dock.state.map.count > 100, 120)
    person.now("delete the slide in its run")
    person.viewer.layers.remove(dock.state.slide_layer)
    person.look("slide deleted in its run", 1)
    person.until_idle()
    person.look("and then")
    person.drop(person.section(901))
    person.until_slide(4)
    person.press("Predict")
    person.rest(0.3)
    person.close_dock()
    person.look("dock closed in a run", 1)
    dock = person.open_dock()
    person.rest(1)
    person.look("dock opened again")
    person.choose(person.viewer.layers[0].name[:4])
    person.look("another slide chosen")


def large_jpeg(person: Person) -> Path:
    """Write a JPEG of 64 million pixels without a pixel size."""
    path = person.data / "large.jpg"
    Image.fromarray(many_times(person.section(902), 8000)).save(path, quality=85)
    return path


def large_tiff(person: Person) -> Path:
    """Write a tiled TIFF of 100 million pixels of 1 µm, without levels."""
    path = person.data / "large.tif"
    size = {"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"}
    pixels = many_times(person.section(901), 10_000)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256), compression="jpeg", **size)
    return path


def many_times(path: Path, side: int) -> np.ndarray:
    """Repeat a slide's tissue over a square."""
    tissue = tifffile.imread(path)
    times = int(np.ceil(side / min(tissue.shape[:2])))
    return np.tile(tissue, (times, times, 1))[:side, :side]

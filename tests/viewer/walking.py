"""A person who does anything that the window offers, in any order: random walks in a real window, drawn by hypothesis.

Each step is a click, a choice, a key or a change of layers, at random among what is there. After each step, nothing may
have raised an error. After each walk, the window is closed in the middle of things, and no thread may be left.

    xvfb-run -a -s "-screen 0 1600x1000x24" python tests/viewer/walking.py WALKS STEPS [SEED]

prints how many steps of which kind were taken, the slowest of each (and of napari alone, without the dock), and what
went wrong.
"""

from __future__ import annotations

import faulthandler
import gc
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import napari
import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from napari.utils.notifications import ErrorNotification, notification_manager
from qtpy.QtCore import QPoint, Qt, QtMsgType, qInstallMessageHandler
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QMenu,
    QMessageBox,
    QWidget,
)

from napari_nh2st.errors import SlideError
from napari_nh2st.viewer.kit.background import threads_at_work
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.removal import make_removal_safe
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import GENES, FakeSlide
from viewer.trust.services import TrustServices

NONE = Qt.KeyboardModifier.NoModifier
SLIDES = ("C4", "C5", "C6")
KEYS = [Qt.Key[f"Key_{name}"] for name in ("Escape", "Return", "Delete", "Tab", "1", "V", "P")]
TEXTS = (*GENES, "", "no such gene", "CD3E, ERBB2", "<b>bold</b>", "0.5", "é" * 40)
MODES = ("pan_zoom", "transform", "select", "direct", "add_polygon", "add_rectangle", "paint", "erase", "fill", "add")
number = st.integers(0, 10_000)


class Faults:
    """Everything that went wrong while it listened: errors in slots and threads, napari's errors, Qt's complaints."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self._raised
        threading.excepthook = lambda args: self._raised(args.exc_type, args.exc_value, args.exc_traceback)
        notification_manager.notification_ready.connect(self._notified)
        self._handler = qInstallMessageHandler(self._complained)

    def _raised(self, kind: Any, error: Any, trace: Any) -> None:
        self.seen.append("".join(traceback.format_exception(kind, error, trace)))

    def _notified(self, notification: Any) -> None:
        if isinstance(notification, ErrorNotification):
            self.seen.append("".join(traceback.format_exception(notification.exception)))

    def _complained(self, kind: QtMsgType, context: Any, text: str) -> None:
        if kind in (QtMsgType.QtCriticalMsg, QtMsgType.QtFatalMsg):
            self.seen.append(f"Qt: {text}")

    def close(self) -> None:
        sys.excepthook, threading.excepthook = self._hooks
        notification_manager.notification_ready.disconnect(self._notified)
        qInstallMessageHandler(self._handler)


class NoDialogs:
    """Dialogs that would wait for a person are refused as soon as they open."""

    def __enter__(self) -> None:
        nothing: Callable[..., Any] = lambda *a, **k: ("", "")  # noqa: E731
        no = QMessageBox.StandardButton.No
        answers: dict[tuple[type, str], Any] = {
            (QDialog, "exec"): lambda *a, **k: 0,
            (QMenu, "exec"): lambda *a, **k: None,
            **{(QFileDialog, name): nothing for name in ("getOpenFileName", "getSaveFileName")},
            (QFileDialog, "getOpenFileNames"): lambda *a, **k: ([], ""),
            (QFileDialog, "getExistingDirectory"): lambda *a, **k: "",
            (QInputDialog, "getText"): lambda *a, **k: ("", False),
            **{(QMessageBox, name): lambda *a, **k: no for name in ("question", "warning", "information", "critical")},
        }
        self._real = {(owner, name): getattr(owner, name) for owner, name in answers}
        for (owner, name), answer in answers.items():
            setattr(owner, name, staticmethod(answer) if owner is not QDialog and owner is not QMenu else answer)

    def __exit__(self, *_: Any) -> None:
        for (owner, name), real in self._real.items():
            setattr(owner, name, real)


class WalkServices(TrustServices):
    """Small ones; exports go nowhere, the disk is full for h5ad, and a file that is opened is no slide."""

    def export(self, prediction: Any, name: str, path: str, genes: Any = ()) -> Path:
        if name == "h5ad":
            raise OSError(28, "No space left on device", path)
        return Path(path)

    def open_slide(self, path: str) -> FakeSlide:
        raise SlideError(f"{path} is no slide")


class Steps:
    """The steps that were taken, and the one of each kind that kept the window longest from answering."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.slowest: dict[str, tuple[float, str]] = {}  # seconds of the GUI thread, and the step
        self.story: list[str] = []

    def note(self, kind: str, what: str, seconds: float) -> None:
        self.taken[kind] += 1
        self.slowest[kind] = max((seconds, what), self.slowest.get(kind, (0.0, "")))
        self.story.append(f"{kind} {what}".rstrip())


STEPS, ALONE = Steps(), Steps()


class Walk(RuleBasedStateMachine):
    """A walk. Numbers choose among what is there at the moment; a step that has nothing to choose from is none.

    No preconditions: what is there depends on threads, and hypothesis wants the same draws each time.
    """

    steps = STEPS
    with_dock = True

    def __init__(self) -> None:
        super().__init__()
        self.steps.story.clear()
        self.threads = set(threading.enumerate())
        self.faults = Faults()
        self.dialogs = NoDialogs()
        self.dialogs.__enter__()
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1100, 800)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.services = WalkServices()
        self.services.chunk = 20
        self.dock: PredictWidget | None = None
        self.pass_time()

    # a step, timed, and looked at afterwards

    def step(self, kind: str, what: str, action: Callable[[], Any]) -> None:
        """Do something, let the window draw twice, and note the longest that it did not answer."""
        longest = 0.0
        for part in (action, QApplication.processEvents, self._draw, QApplication.processEvents):
            began = time.thread_time()  # of this thread: other programs do not count
            part()
            longest = max(longest, time.thread_time() - began)
        self.steps.note(kind, what, longest)
        if self.faults.seen:
            raise AssertionError("\n".join((*self.steps.story, *self.faults.seen)))

    def _draw(self) -> None:
        self.canvas.update()

    def pass_time(self, seconds: float = 0.05) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.002)

    def widgets(self, kind: type) -> list[Any]:
        """Widgets of the dock that a person can use now."""
        if self.dock is None:
            return []
        found = self.dock.findChildren(kind)
        return [widget for widget in found if widget.isEnabled() and widget.isVisibleTo(self.dock)]

    def layer(self, n: int) -> Any:
        return self.viewer.layers[n % len(self.viewer.layers)]

    # what there is to do

    @initialize(predicted=st.booleans(), open_folds=st.booleans())
    def begin(self, predicted: bool, open_folds: bool) -> None:
        self.add_slide(0)
        if not self.with_dock:
            make_removal_safe(self.viewer)  # napari alone would end the process sooner or later
            return
        self.open_dock()
        if predicted:
            self.dock.where.buttons["whole"].click()
            self.predict()
            self.pass_time(0.5)
        if open_folds:
            for title, fold in self.dock.folds.items():
                self.step("open", title, fold.button.click)

    @rule(n=number)
    def add_slide(self, n: int) -> None:
        if len(self.viewer.layers) >= 14:
            return
        slide = FakeSlide(mpp=None if n % 7 == 3 else 0.5)
        name = SLIDES[n % len(SLIDES)]
        slide.path, slide.fingerprint = Path(f"/nowhere/{name}.svs"), name * 4
        data, meta, _ = frames.slide_layer_data(slide)
        layer = napari.layers.Layer.create(data, meta, "image")
        self.step("add slide", name, lambda: self.viewer.add_layer(layer))

    @rule()
    def open_dock(self) -> None:
        if self.dock is not None or not self.with_dock:
            return

        def show() -> None:
            self.dock = PredictWidget(self.viewer, self.services)
            self.docked = self.viewer.window.add_dock_widget(self.dock, name="NH2ST", area="right")

        self.step("open dock", "", show)

    @rule(n=st.integers(0, 9))
    def close_dock(self, n: int) -> None:
        if self.dock is None:
            return
        if n:  # seldom
            return
        self.step("close dock", "", lambda: self.viewer.window.remove_dock_widget(self.docked))
        self.dock = None

    @rule(n=number)
    def press(self, n: int) -> None:
        if self.dock is None:
            return
        if buttons := self.widgets(QAbstractButton):
            button = buttons[n % len(buttons)]
            self.step("press", button.text() or type(button).__name__, button.click)

    @rule()
    def predict(self) -> None:
        if self.dock is None:
            return
        if self.dock.job.button.isEnabled():
            self.step("press", self.dock.job.button.text(), self.dock.job.button.click)

    @rule(n=number, m=number)
    def choose(self, n: int, m: int) -> None:
        if self.dock is None:
            return
        combos = [combo for combo in self.widgets(QComboBox) if combo.count()]
        if combos:
            combo = combos[n % len(combos)]
            item = m % combo.count()

            def pick() -> None:
                combo.setCurrentIndex(item)
                combo.activated.emit(item)

            self.step("choose", combo.itemText(item), pick)

    @rule(n=number, text=st.sampled_from(TEXTS))
    def type_text(self, n: int, text: str) -> None:
        if self.dock is None:
            return
        if fields := [field for field in self.widgets(QLineEdit) if not field.isReadOnly()]:
            field = fields[n % len(fields)]

            def enter() -> None:
                field.setFocus()
                field.selectAll()
                if text.isascii():
                    QTest.keyClicks(field, text)
                else:  # QTest ends the process; this is what pasting does
                    field.insert(text)
                QTest.keyClick(field, Qt.Key.Key_Return)

            self.step("type", repr(text), enter)

    @rule(n=number, up=st.booleans())
    def spin(self, n: int, up: bool) -> None:
        if self.dock is None:
            return
        if spins := self.widgets(QAbstractSpinBox):
            spin = spins[n % len(spins)]
            self.step("spin", type(spin).__name__, spin.stepUp if up else spin.stepDown)

    @rule(key=st.sampled_from(KEYS), in_dock=st.booleans())
    def press_key(self, key: Any, in_dock: bool) -> None:
        target: QWidget = self.dock if in_dock and self.dock is not None else self.canvas
        self.step("key", key.name, lambda: QTest.keyClick(target, key))

    @rule(x=st.floats(0.02, 0.98), y=st.floats(0.02, 0.98), double=st.booleans())
    def click(self, x: float, y: float, double: bool) -> None:
        at = QPoint(int(x * self.canvas.width()), int(y * self.canvas.height()))
        press = QTest.mouseDClick if double else QTest.mouseClick

        def go() -> None:
            QTest.mouseMove(self.canvas, at)
            press(self.canvas, Qt.MouseButton.LeftButton, NONE, at)

        self.step("double click" if double else "click", f"{x:.2f}, {y:.2f}", go)

    @rule(x=st.floats(0.1, 0.9), y=st.floats(0.1, 0.9), dx=st.floats(-0.3, 0.3), dy=st.floats(-0.3, 0.3))
    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        size = np.array([self.canvas.width(), self.canvas.height()])
        a, b = (QPoint(*(np.clip(at, 0.01, 0.99) * size).astype(int).tolist()) for at in ((x, y), (x + dx, y + dy)))

        def go() -> None:
            QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, NONE, a)
            QTest.mouseMove(self.canvas, b)
            QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, NONE, b)

        self.step("drag", "", go)

    @rule(zoom=st.sampled_from((0.2, 0.5, 2.0, 5.0)))
    def zoom(self, zoom: float) -> None:
        camera = self.viewer.scene.camera
        self.step("zoom", str(zoom), lambda: setattr(camera, "zoom", float(np.clip(camera.zoom * zoom, 1e-3, 1e3))))

    @rule(n=st.integers(0, 9))
    def three_dimensions(self, n: int) -> None:
        if n < 2:
            self.step("2D or 3D", "", lambda: setattr(self.viewer.dims, "ndisplay", 5 - self.viewer.dims.ndisplay))

    @rule(n=number)
    def select_layer(self, n: int) -> None:
        if not self.viewer.layers:
            return
        layer = self.layer(n)
        self.step("select layer", layer.name, lambda: setattr(self.viewer.layers.selection, "active", layer))

    @rule(n=number)
    def hide_or_show(self, n: int) -> None:
        if not self.viewer.layers:
            return
        layer = self.layer(n)
        self.step("hide or show layer", layer.name, lambda: setattr(layer, "visible", not layer.visible))

    @rule(n=number, text=st.sampled_from(("mine", "C5", "a very long name of a layer, as people give them")))
    def rename(self, n: int, text: str) -> None:
        if not self.viewer.layers:
            return
        layer = self.layer(n)
        self.step("rename layer", f"{layer.name} to {text}", lambda: setattr(layer, "name", text))

    @rule(n=number, m=number)
    def move(self, n: int, m: int) -> None:
        if len(self.viewer.layers) < 2:
            return
        layers = self.viewer.layers
        self.step("move layer", self.layer(n).name, lambda: layers.move(n % len(layers), m % len(layers)))

    @rule(n=number)
    def delete(self, n: int) -> None:
        if not self.viewer.layers:
            return
        layer = self.layer(n)

        def go() -> None:
            self.viewer.layers.selection = {layer}
            self.viewer.layers.remove_selected()

        self.step("delete layer", layer.name, go)

    @rule(n=number, mode=st.sampled_from(MODES))
    def choose_tool(self, n: int, mode: str) -> None:
        if not self.viewer.layers:
            return
        layer = self.layer(n)
        if mode in {str(each) for each in getattr(layer, "_modeclass", ())}:
            self.step("tool", f"{mode} of {layer.name}", lambda: setattr(layer, "mode", mode))

    @rule(seconds=st.sampled_from((0.02, 0.1, 0.5)))
    def wait(self, seconds: float) -> None:
        self.step("wait", "", lambda: None)
        self.pass_time(seconds)
        self.step("wait", "", lambda: None)

    def teardown(self) -> None:
        """Close the window in the middle of things."""
        try:
            self.viewer.close()
            self.dock = None
            until = time.monotonic() + 10
            while (left := self._at_work()) and time.monotonic() < until:
                self.pass_time(0.05)
            if self.faults.seen:
                raise AssertionError("\n".join((*self.steps.story, "close", *self.faults.seen)))
            assert not left, "\n".join((*self.steps.story, f"still at work after the window was closed: {left}"))
        finally:
            self.dialogs.__exit__()
            self.faults.close()
            QApplication.processEvents()
            gc.collect()

    def _at_work(self) -> str:
        """Threads that still work for this window, in words."""
        pool = threads_at_work()
        ours = [thread.name for thread in set(threading.enumerate()) - self.threads if "nh2st" in thread.name]
        return f"{pool} in the docks' pool, {ours}" if pool or ours else ""


class WalkAlone(Walk):
    """The same without the dock: what napari itself takes."""

    steps = ALONE
    with_dock = False


def walk(machine: type[Walk], walks: int, steps: int, start: int) -> None:
    """Take random walks, the same ones for the same `start`."""
    how = settings(
        max_examples=walks,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(start)(machine), settings=how)


def main(walks: int, steps: int, start: int) -> Iterator[str]:
    walk(Walk, walks, steps, start)
    walk(WalkAlone, max(walks // 4, 1), steps, start)
    over = {}
    for kind, count in STEPS.taken.most_common():
        (seconds, what), alone = STEPS.slowest[kind], ALONE.slowest.get(kind, (0.0, ""))[0]
        over[kind] = seconds - alone
        napari = f", napari alone {1000 * alone:4.0f} ms" if kind in ALONE.slowest else ""
        yield f"{kind:20} {count:6} times, slowest {1000 * seconds:4.0f} ms{napari}: {what}"
    longest = f"longest over napari's own {1000 * max(over.values()):.0f} ms ({max(over, key=over.__getitem__)})"
    yield f"{walks} walks, {sum(STEPS.taken.values()):,} steps, nothing went wrong; {longest}"


if __name__ == "__main__":
    faulthandler.enable()
    words = [int(word) for word in sys.argv[1:]]
    for line in main(words[0], words[1], words[2] if len(words) > 2 else random.randrange(10**6)):
        print(line, flush=True)

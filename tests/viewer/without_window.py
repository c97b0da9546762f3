"""The NH2ST dock without a window: napari's model of a viewer, the presenters, and threads that work at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.components import ViewerModel

from napari_nh2st.viewer.kit.jobs import Jobs, Subjects
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.predict.presenter import PredictPresenter
from napari_nh2st.viewer.state.dock_state import ChosenModel
from viewer.fakes import FakeServices, FakeSlide


def answer(function: Callable[..., Any], args: tuple[Any, ...], then: Callable[[Any], None], failed: Any) -> None:
    """Call a function here and now, and hand on what it returns or raises, as a thread would."""
    try:
        value = function(*args)
    except Exception as error:
        failed(error)
    else:
        then(value)


class Now:
    """Background work that is done at once; `hold` keeps it back until `release`."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[Callable[[], None]] = []

    def call(self, function: Callable[..., Any], *args: Any, then: Callable[[Any], None], failed: Any) -> None:
        self._do(lambda: answer(function, args, then, failed))

    def iterate(self, items: Iterator[Any], receive: Callable[[Any], None]) -> None:
        self._do(lambda: [receive(item) for item in items])

    def release(self) -> None:
        calls, self.held, self.hold = self.held, [], False
        for call in calls:
            call()

    def _do(self, call: Callable[[], Any]) -> None:
        if self.hold:
            self.held.append(call)
        else:
            call()


class FakePace:
    """Draws at once."""

    def __init__(self) -> None:
        self.draw: Callable[[], None] = lambda: None

    def draw_soon(self) -> None:
        self.draw()

    def draw_next(self) -> None:
        self.draw()

    def drawing(self) -> None:
        pass

    def later(self, call: Callable[[], None]) -> None:
        call()

    def when_quiet(self, call: Callable[[], None]) -> None:
        call()

    def stop(self) -> None:
        pass


class FakeJobView:
    """Remembers what the job's section shows."""

    def __init__(self) -> None:
        self.following, self.text, self.ready, self.status = False, "", False, None
        self.warnings: list[str] = []
        self.limits: list[str] = []

    def show_following(self, on: bool) -> None:
        self.following = on

    def show_plain(self, text: str, *, ready: bool) -> None:
        self.text, self.ready = text, ready

    def show_warnings(self, warnings: Any) -> None:
        self.warnings = list(warnings)

    def show_limits(self, limits: Any) -> None:
        self.limits = list(limits)

    def show_status(self, status: Any) -> None:
        self.status = status


class FakeWork:
    """Long work that is done at once, with what it says; `hold` keeps it running until `release`."""

    def __init__(self, subjects: Subjects | None = None) -> None:
        self._threads = Now()
        self._jobs = Jobs(self._threads, subjects or Subjects(), lambda: None)
        self.start, self.say = self._jobs.start, self._jobs.say
        self.cancel_all = self._jobs.cancel_all

    @property
    def hold(self) -> bool:
        return self._threads.hold

    @hold.setter
    def hold(self, on: bool) -> None:
        self._threads.hold = on

    @property
    def said(self) -> str:
        return self._jobs.sentence

    @property
    def running(self) -> bool:
        return self._jobs.current is not None

    def release(self) -> None:
        self._threads.release()

    def cancel(self) -> None:
        self._jobs.cancel()
        self.release()


class Desk:
    """A slide, a model and the presenter of the dock."""

    def __init__(self, slide: Any = None, services: Any = None, model: str = "her2st") -> None:
        self.viewer, self.services = ViewerModel(), services or FakeServices()
        self.background, self.pace, self.job = Now(), FakePace(), FakeJobView()
        self.presenter = PredictPresenter(
            self.viewer, self.job, background=self.background, pace=self.pace, services=self.services
        )
        self.pace.draw = self.presenter.draw
        self.state, self.workspace = self.presenter.state, self.presenter.workspace
        self.controller = self.presenter.controller
        self.said: list[str] = []
        self.workspace.notices.said.connect(self.said.append)
        self.use_model(model)
        self.open(slide or FakeSlide())

    def open(self, slide: Any) -> Any:
        """Open a slide as a layer and choose it."""
        data, meta, _ = slide_layer_data(slide)
        layer = self.viewer.add_image(data, **meta)
        self.presenter.choose_slide(layer)
        return layer

    def use_model(self, model: str) -> None:
        self.state.choose_model(ChosenModel(model, self.services.load_card(model)))

    def predict(self, where: str = "whole") -> None:
        self.state.where = where
        self.presenter.predict()

    @property
    def map(self) -> Any:
        return self.state.map

    @property
    def heatmap(self) -> Any:
        return self.workspace.heatmap

    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

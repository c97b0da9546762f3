"""Landmarks that a person drags until the spots lie on the slide as they should. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.measured import Frame
from napari_nh2st.analysis.placing_meter import Reading, read_meter
from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.transform import FEWEST, Landmarks, Transform
from napari_nh2st.expression.transform_files import write_transform
from napari_nh2st.geometry import FloatArray, far_apart
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.jobs import Jobs
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.layers.marks import MarksLayer
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.measured.measurement import SlideMeasurement, predict_where_laid
from napari_nh2st.viewer.measured.messages import NO_METER, meter_sentence, residual_sentence, snapped_sentence
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    from napari_nh2st.training.sections.snap import Snap

_MARKS = 4
_MARK = 1 / 25  # of the spots' extent: a mark's diameter
_STEPS_BACK = 50


@dataclass(frozen=True, eq=False)
class _Step:
    """Marks and placement at one moment, for *Undo*.

    Attributes
    ----------
    own, slide : (n, 2) float64
        Marks in the spots' own pixels, and on the slide.
    placed : (n,) bool
        Marks on the slide that a person has put somewhere; the others move along with the spots.
    """

    own: FloatArray
    slide: FloatArray
    placed: npt.NDArray[np.bool_]
    transform: Transform | None
    frame: Frame


@dataclass(eq=False)
class _Hands:
    """Marks on one measurement, and the steps that led there."""

    measurement: SlideMeasurement
    now: _Step
    before: list[_Step] = field(default_factory=list)

    def begin_step(self) -> None:
        """Remember what is now; a press that moved nothing was no step."""
        while self.before and self.before[-1] is self.now:
            self.before.pop()
        self.before = [*self.before[-_STEPS_BACK:], self.now]

    @property
    def can_go_back(self) -> bool:
        """True if a step has changed something."""
        return any(step is not self.now for step in self.before)

    def go_back(self) -> None:
        """Undo the last step that has changed something."""
        now = self.now
        while self.before and self.now is now:
            self.now = self.before.pop()


class LandmarksView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Snapping and saving."""

    def show_landmarks(self, on: bool, undo: bool, residuals: str) -> None:
        """Show whether marks are on the canvas, whether a step can be undone, and how far the marks are off."""

    def show_meter(self, sentence: str) -> None:
        """Show how well the model predicts the spots where they lie."""

    def meter_soon(self) -> None:
        """Call `read_meter` within a moment; asking again until then puts it off."""


class LandmarksPresenter:
    """Lays the spots of a measurement by its landmarks while a person drags them.

    Parameters
    ----------
    measurement : callable
        Returns the measurement whose spots are being laid; None where none is.
    moved : callable
        Called when the spots lie elsewhere.
    """

    def __init__(
        self,
        workspace: Workspace,
        view: LandmarksView,
        measurement: Callable[[], SlideMeasurement | None],
        moved: Callable[[], None],
    ) -> None:
        self._workspace, self._view, self._measurement, self._moved = workspace, view, measurement, moved
        self._hands: _Hands | None = None
        self._read: Reading | None = None
        self._said = ""  # the meter's last sentence
        self.spot_marks = MarksLayer(workspace.viewer, Kind.SPOT_MARKS, self._begin_step, self._spot_marks_dragged)
        self.slide_marks = MarksLayer(workspace.viewer, Kind.SLIDE_MARKS, self._begin_step, self._slide_marks_dragged)
        self._meter = Jobs(workspace.background, workspace.slide_subjects, lambda: None)
        self._drawing = False  # marks go and come
        self._connections = Connections()
        self._connections.add(workspace.viewer.layers.events.removed, self._layer_removed)
        workspace.when_closing(self._connections.close)
        workspace.when_closing(self._meter.close)
        workspace.when_closing(self.put_away)

    @property
    def on(self) -> bool:
        """True if marks are on the canvas."""
        return self._hands is not None and self.spot_marks.present and self.slide_marks.present

    # what the person does

    def toggle(self) -> None:
        """Put marks on the canvas, or take them away; the spots stay where they are."""
        if self.on:
            self.put_away()
        else:
            self._bring()
        self.update()

    def add(self) -> None:
        """Add a pair of marks in the middle of what is seen."""
        hands = self._hands
        if hands is None or not self.on:
            return
        self._begin_step()
        layer = self.slide_marks.layer
        assert layer is not None
        centre = np.asarray(layer.world_to_data(self._workspace.viewer.scene.camera.center[-2:]))[::-1] + 0.5
        now = hands.now
        own = np.vstack([now.own, hands.measurement.laid.inverse.place(centre)])
        hands.now = replace(now, own=own, slide=np.vstack([now.slide, centre]), placed=np.append(now.placed, False))
        self._draw()
        self.update()

    def undo(self) -> None:
        """Go back by one step."""
        hands = self._hands
        if hands is None or not hands.can_go_back:
            return
        hands.go_back()
        hands.measurement.transform, hands.measurement.frame = hands.now.transform, hands.now.frame
        self._draw()
        self._spots_moved()

    def snap(self) -> None:
        """Let the outline of the spots follow that of the tissue."""
        measurement, slide = self._measurement(), self._workspace.slide
        if measurement is None or slide is None:
            return
        start, mpp = measurement.laid, slide.mpp

        def work(tell: Tell, cancelled: Cancelled) -> Snap:
            from napari_nh2st.training.sections.array_pitch import spacing_of
            from napari_nh2st.training.sections.snap import snap  # scipy is loaded for it

            own = measurement.data.obsm["spatial"]
            return snap(own, start, slide.tissue(), spacing_of(own))

        def keep(found: Snap) -> None:
            if self._measurement() is not measurement:
                return
            if self._hands is None:
                self._bring()
            self._begin_step()
            self._lay(found.transform)
            hands = self._hands
            if hands is not None:  # the marks have done their part: they move along again
                slide_marks = measurement.laid.place(hands.now.own)
                hands.now = replace(hands.now, slide=slide_marks, placed=np.zeros(len(slide_marks), dtype=bool))
            self._draw()
            self._spots_moved()
            self._view.work.say(snapped_sentence(found, mpp))

        self._view.work.start("Snapping to the tissue", work, keep, self.update)

    def save(self, path: str) -> None:
        """Write where the spots lie, as a sample sheet's column transform names it."""
        measurement = self._measurement()
        if measurement is None or not path:
            return
        laid, target = measurement.laid, Path(path).with_suffix(".json")
        marks = self._landmarks()
        facts = {
            "sample": measurement.name,
            "landmarks": [
                {"name": name, "spot": spot.tolist(), "slide": there.tolist()}
                for name, spot, there in zip(marks.names, marks.spots, marks.slide, strict=True)
            ],
        }

        def work(tell: Tell, cancelled: Cancelled) -> None:
            write_transform(laid, target, "nh2st", facts)

        def done(nothing: None) -> None:
            self._view.work.say(f"Saved {target.name}. Name it in the column transform of a sample sheet.")

        self._view.work.start("Saving", work, done)

    def put_away(self) -> None:
        """Take the marks away; the spots stay where they are."""
        self._meter.cancel()
        self._hands, self._read, self._said = None, None, ""
        self.spot_marks.remove()
        self.slide_marks.remove()

    # what follows

    def _bring(self) -> None:
        """Put four marks on the outermost spots: there, a turn and a scale show most."""
        measurement = self._measurement()
        if measurement is None or self._workspace.state.slide_layer is None:
            return
        there = measurement.laid.place(measurement.data.obsm["spatial"])
        slide = there[far_apart(there, _MARKS)]
        own = measurement.laid.inverse.place(slide)
        step = _Step(own, slide, np.zeros(len(slide), dtype=bool), measurement.transform, measurement.frame)
        self._hands = _Hands(measurement, step)
        self._draw()
        self._view.meter_soon()

    def _draw(self) -> None:
        hands, layer, slide = self._hands, self._workspace.state.slide_layer, self._workspace.slide
        if hands is None or layer is None or slide is None:
            return
        there = hands.measurement.laid.place(hands.now.own)
        spots, _ = hands.measurement.spots()
        diameter = max(float(np.ptp(spots, axis=0).max()) * _MARK, 4.0)
        mpp = float(slide.mpp or 1.0)
        self._drawing = True
        self.spot_marks.put(there, 1.6 * diameter, layer, mpp, "landmarks of the spots")
        self.slide_marks.put(hands.now.slide, diameter, layer, mpp, "landmarks on the slide")
        self._drawing = False
        self.slide_marks.take()

    def _layer_removed(self, event: object = None) -> None:
        if self._hands is not None and not self._drawing and not self.on:
            self._workspace.maps.pace.later(self._stay_in_pairs)  # napari is still deleting what was selected

    def _stay_in_pairs(self) -> None:
        """Take away the other marks where somebody deleted those of one kind: alone they say nothing."""
        if self._hands is not None and not self.on:
            self.put_away()
            self.update()

    def _begin_step(self) -> None:
        if self._hands is not None:
            self._hands.begin_step()

    def _slide_marks_dragged(self, places: FloatArray) -> None:
        hands = self._hands
        if hands is None:
            return
        now = hands.now
        if len(places) != len(now.slide):  # somebody took marks away or drew some with napari's own tools
            self._draw()
            return
        dragged = np.abs(places - now.slide).max(axis=1) > 1e-6
        if not dragged.any():
            return
        hands.now = replace(now, slide=places.copy(), placed=now.placed | dragged)
        self._fit()

    def _spot_marks_dragged(self, places: FloatArray) -> None:
        """Choose another place of the spots for a mark; that on the slide follows until it is put somewhere."""
        hands = self._hands
        if hands is None:
            return
        now = hands.now
        if len(places) != len(now.own):
            self._draw()
            return
        own = hands.measurement.laid.inverse.place(places)
        if np.abs(own - now.own).max() <= 1e-6:
            return
        hands.now = replace(now, own=own, slide=np.where(now.placed[:, None], now.slide, places))
        self._fit()

    def _fit(self) -> None:
        """Lay the spots by the marks that a person has put somewhere; the other marks move along."""
        hands = self._hands
        assert hands is not None
        try:
            self._lay(self._landmarks().nearest(hands.measurement.laid))
        except Nh2stError as error:
            self._view.work.say(str(error))
            return
        there = hands.measurement.laid.place(hands.now.own)
        hands.now = replace(hands.now, slide=np.where(hands.now.placed[:, None], hands.now.slide, there))
        self.spot_marks.follow(there)
        self.slide_marks.follow(hands.now.slide)
        self._spots_moved()

    def _lay(self, transform: Transform) -> None:
        measurement = self._measurement()
        if measurement is None:
            return
        measurement.transform, measurement.frame = transform, Frame()
        if self._hands is not None:
            self._hands.now = replace(self._hands.now, transform=transform, frame=measurement.frame)

    def frame_edited(self) -> None:
        """Move the marks along with spots that were moved by numbers."""
        hands = self._hands
        if hands is not None:
            there = hands.measurement.laid.place(hands.now.own)
            hands.now = replace(
                hands.now, slide=there, placed=np.zeros(len(there), dtype=bool), frame=hands.measurement.frame
            )
            self.spot_marks.follow(there)
            self.slide_marks.follow(there)
            self.update()
        self._view.meter_soon()

    def _spots_moved(self) -> None:
        self._moved()
        self.update()
        self._view.meter_soon()

    def _landmarks(self) -> Landmarks:
        """Return the marks that a person has put somewhere."""
        hands = self._hands
        if hands is None:
            return Landmarks.of([], [])
        rows = np.flatnonzero(hands.now.placed)
        return Landmarks.of(hands.now.own[rows], hands.now.slide[rows], [str(i + 1) for i in rows])

    # the meter

    def read_meter(self) -> None:
        """Score the spots where they lie now, in a thread; what was being read is dropped."""
        measurement = self._measurement()
        if measurement is None or not self.on:
            return
        data = measurement.placed_data()
        if self._said:
            self._view.show_meter(f"{self._said} Reading anew…")

        def read(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> Reading | None:
            there, prediction = predict_where_laid(data, inputs, cancelled)
            return read_meter(measurement.name, there, prediction)

        try:
            if self._workspace.slide is None or self._workspace.slide.mpp is None:
                raise Nh2stError(NO_METER)
            work = self._workspace.with_inputs(read)
        except Nh2stError:
            self._view.show_meter(NO_METER)
            return
        self._meter.start("Reading the meter", work, partial(self._metered, measurement))

    def _metered(self, measurement: SlideMeasurement, reading: Reading | None) -> None:
        if self._measurement() is measurement and self.on:
            self._said = meter_sentence(reading, self._read)
            self._view.show_meter(self._said)
            if reading is not None and (self._read is None or reading.pcc > self._read.pcc):
                self._read = reading

    # what is shown

    def update(self) -> None:
        """Show what can be done now, and how far the marks are off."""
        measurement, hands = self._measurement(), self._hands
        if hands is not None and hands.measurement is not measurement:
            self.put_away()
            hands = None
        said = ""
        if hands is not None and self.on:
            marks, slide = self._landmarks(), self._workspace.slide
            off = marks.residuals(hands.measurement.laid)
            said = residual_sentence(marks.names, off, slide.mpp if slide is not None else None, FEWEST)
        self._view.show_landmarks(self.on, hands is not None and hands.can_go_back, said)
        if not self.on:
            self._view.show_meter("")

"""A measurement beside its prediction: loaded, asked about and compared, for the chosen slide and model. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.detect import MeasurementFiles
from napari_nh2st.viewer.layers.roles import Kind, SlideRole, change_role, layer_of_slide, role_of, slide_of
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.measured.anchors import AnchorsPresenter
from napari_nh2st.viewer.measured.drawing import SpotDrawing
from napari_nh2st.viewer.measured.landmarks import LandmarksPresenter
from napari_nh2st.viewer.measured.measurement import MadeWith, SlideMeasurement, compare_at_spots, read_measurement
from napari_nh2st.viewer.measured.messages import ASK_FRAME, ASK_SLIDE, ASK_SPOTS, DROP_HERE, NO_SLIDE
from napari_nh2st.viewer.measured.view import MeasuredView, Offer
from napari_nh2st.viewer.predict.messages import NO_MODEL, NO_MPP
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide


class MeasuredPresenter:
    """Keeps a measurement for each slide, compares it with the chosen model and draws its spots.

    Attributes
    ----------
    drawing : SpotDrawing
        The spots of the comparison.
    landmarks : LandmarksPresenter
        Marks by which a person lays the spots.
    corrections : AnchorsPresenter
        The map as these spots correct it.
    rings : SpotsLayer
        The spots while there is a doubt about where they lie.
    """

    def __init__(self, workspace: Workspace, view: MeasuredView) -> None:
        self._workspace, self._view = workspace, view
        self._by_slide: dict[str, SlideMeasurement] = {}  # by the slide's fingerprint
        self._fingerprint: str | None = None
        self._without_positions: MeasurementFiles | None = None  # counts whose positions are being asked for
        self._doing: dict[str, object] = {}  # what the work on a slide is for: a reading, or a comparison with a model
        self.drawing = SpotDrawing(workspace, view)
        self.rings = SpotsLayer(workspace.viewer, Kind.RINGS)
        self._ringed: SlideMeasurement | None = None  # whose spots the rings are
        self.landmarks = LandmarksPresenter(workspace, view.landmarks, lambda: self.asked, self._laid)
        self.corrections = AnchorsPresenter(workspace, view.anchors, lambda: self.comparison, self._show)
        self._take_up()
        workspace.when_closing(
            self.rings.remove
        )  # whether the spots lie right is not said yet: the next dock asks again
        workspace.state.events.slide.connect(self.slide_changed)
        workspace.state.events.model.connect(self.update)

    @property
    def spots(self) -> SpotsLayer:
        """The layer of measured spots."""
        return self.drawing.spots

    @property
    def difference(self) -> SpotsLayer:
        """The layer of predicted less measured."""
        return self.drawing.difference

    def _take_up(self) -> None:
        """Go on with the measurements that an earlier dock has loaded."""
        for layer in self._workspace.viewer.layers:
            role = role_of(layer)
            if isinstance(role, SlideRole) and isinstance(role.loaded, SlideMeasurement):
                self._by_slide[role.slide.fingerprint] = role.loaded

    def _keep(self, fingerprint: str, measurement: SlideMeasurement | None) -> None:
        """Keep a measurement of a slide, or none; with its layer too, for the next dock."""
        if measurement is None:
            self._by_slide.pop(fingerprint, None)
        else:
            self._by_slide[fingerprint] = measurement
        layer = layer_of_slide(self._workspace.viewer, fingerprint)
        if layer is not None:
            change_role(layer, loaded=measurement)

    @property
    def measurement(self) -> SlideMeasurement | None:
        """The measurement of the chosen slide."""
        slide = self._workspace.slide
        return None if slide is None else self._by_slide.get(slide.fingerprint)

    @property
    def asked(self) -> SlideMeasurement | None:
        """The measurement of the chosen slide while it is asked where its spots lie."""
        measurement = self.measurement
        return measurement if measurement is not None and not measurement.settled else None

    @property
    def comparison(self) -> Comparison | None:
        """The measurement of the chosen slide with the chosen model, None where that was not made."""
        measurement = self.measurement
        if measurement is None or not measurement.settled or measurement.made_with != self._made_with():
            return None
        return measurement.comparison

    # what the person does

    def open(self, paths: Sequence[str]) -> None:
        """Load a measurement of the chosen slide: a file, a folder, or counts with positions."""
        slide = self._workspace.slide
        self._without_positions = None
        if slide is None:
            self._view.work.say(NO_SLIDE)
        else:
            self._doing[slide.fingerprint] = read_measurement
            read = partial(read_measurement, paths, slide, self._other_slides(slide))
            self._view.work.start("Reading the measurement", read, partial(self._opened, slide.fingerprint))
        self._show()

    def _other_slides(self, slide: Slide) -> list[Slide]:
        """Return the open slides to which a measurement may belong instead."""
        there = [other for layer in self._workspace.viewer.layers if (other := slide_of(layer)) is not None]
        return [other for other in there if other.fingerprint != slide.fingerprint]

    def _opened(self, fingerprint: str, outcome: MeasurementFiles | SlideMeasurement) -> None:
        if isinstance(outcome, MeasurementFiles):
            self._without_positions = outcome
        else:
            self._keep(fingerprint, outcome)
        self.update()

    @property
    def without_positions(self) -> MeasurementFiles | None:
        """Counts whose positions are being asked for."""
        return self._without_positions

    def give_positions(self, path: str) -> None:
        """Load the counts that wait for their positions."""
        if self._without_positions is not None:
            self.open([str(self._without_positions.expression), path])

    def move(self, frame: Frame) -> None:
        """Lay the spots elsewhere, while that is in doubt."""
        measurement = self.measurement
        if measurement is not None and not measurement.settled:
            measurement.frame = frame
            self.rings.move(*measurement.spots())
            self.landmarks.frame_edited()

    def lay_anew(self) -> None:
        """Ask where the spots of this measurement lie, although that was settled."""
        if self.measurement is not None and self.measurement.settled:
            self.measurement.lay_anew()
            if self._view.work.running:  # it compares where the spots were
                self._view.work.cancel()
            self.update()

    def _laid(self) -> None:
        """Show spots that were laid elsewhere by landmarks."""
        measurement = self.asked
        if measurement is not None:
            self.rings.move(*measurement.spots())
            self._view.show_frame(self._question(measurement), measurement.frame)

    def use(self) -> None:
        """Take the spots as they lie now."""
        if self.measurement is not None:
            self.measurement.use()
            self.update()

    def remove(self) -> None:
        """Put the measurement of this slide and its layers away."""
        self._without_positions = None
        if self._workspace.slide is not None:
            self._keep(self._workspace.slide.fingerprint, None)
        if self._view.work.running:
            self._view.work.cancel()
        else:
            self._view.work.say("")
        self.update()

    def toggle_spots(self, on: bool) -> None:
        """Show or hide the measured spots."""
        self.drawing.toggle_spots(on)

    def toggle_difference(self, on: bool) -> None:
        """Show or hide predicted less measured."""
        self.drawing.toggle_difference(on)

    def show_gene_of_table(self, gene: str) -> None:
        """Show the gene of a row that was clicked."""
        self._workspace.state.request_gene(gene)

    # what changes elsewhere

    def slide_changed(self) -> None:
        """Show the measurement of another slide, or of this one in pixels of another size."""
        slide = self._workspace.slide
        fingerprint = None if slide is None else slide.fingerprint
        if fingerprint != self._fingerprint:
            self._fingerprint, self._without_positions = fingerprint, None
        elif slide is not None:
            self.drawing.align()
            self.rings.align(self._workspace.state.slide_layer, self._mpp())
        self.update()

    def update(self) -> None:
        """Show what is known of the chosen slide and model, and compare where that is to be done and in sight."""
        self._show()
        doing = self._doing.get(self._fingerprint or "")
        laid = None if self.measurement is None else self.measurement.laid
        busy = self._view.work.running and doing in (read_measurement, (self.measurement, self._made_with(), laid))
        if self._view.in_sight and self._missing() == "" and not busy:
            self.compare()

    def colour(self) -> None:
        """Give the spots the colours of the gene in sight."""
        self.drawing.colour()

    # comparing

    def _made_with(self) -> MadeWith | None:
        """Tell the chosen model and pixel size from others; None where one is not known."""
        state = self._workspace.state
        if not state.ready or state.model_name is None or state.slide is None or state.slide.mpp is None:
            return None
        return state.model_name, self._workspace.services.stamp(state.model_name), state.slide.mpp

    def _mpp(self) -> float:
        slide = self._workspace.slide
        return float((slide and slide.mpp) or 1.0)

    def _missing(self) -> str | None:
        """Say what a comparison waits for; an empty text where nothing is missing, None where there is none to make."""
        measurement, slide = self.measurement, self._workspace.slide
        if measurement is None or slide is None or not measurement.settled or self.comparison is not None:
            return None
        if slide.mpp is None:
            return NO_MPP
        return NO_MODEL if self._made_with() is None else ""

    def compare(self) -> None:
        """Predict at the measured spots with the chosen model, and score each gene."""
        measurement, made_with = self.measurement, self._made_with()
        if measurement is None or made_with is None:
            return
        try:
            device = self._workspace.requests.whole_slide().device
            compare = partial(compare_at_spots, measurement, self._workspace.services, device)
            work = self._workspace.with_inputs(compare)
        except Nh2stError as error:
            self._view.work.say(str(error))
            return

        laid = measurement.laid

        def keep(comparison: Comparison) -> None:
            if measurement.settled and measurement.laid == laid:
                measurement.comparison, measurement.made_with = comparison, made_with

        self._doing[self._fingerprint or ""] = measurement, made_with, laid
        self._view.work.start("Predicting at the measured spots", work, keep, self._show)
        self._show()

    # what is shown

    def _show(self) -> None:
        measurement, missing = self.measurement, self._missing()
        self._tell_slide(measurement)
        asked = "" if self._without_positions is None else ASK_SPOTS.format(self._without_positions.expression.name)
        self._view.show_offer(
            Offer(
                hint=asked or missing or ("" if measurement is not None else DROP_HERE),
                why_not_load="" if self._workspace.slide is not None else NO_SLIDE,
                remove=measurement is not None or self._without_positions is not None,
                positions=self._without_positions is not None,
                compare=missing == "" and not self._view.work.running,
                lay=measurement is not None and measurement.settled,
            )
        )
        self._show_frame(self.asked)
        self.landmarks.update()
        shown = self.corrections.shown
        self._view.show_result(shown)
        self.drawing.show(shown, measurement)
        self.corrections.update()

    def _tell_slide(self, measurement: SlideMeasurement | None) -> None:
        """Leave with the slide's layer how its measurement is read: the fine-tune dock takes it from there."""
        layer, slide = self._workspace.state.slide_layer, self._workspace.slide
        if slide is not None and layer is not None:
            settled = measurement is not None and measurement.settled
            change_role(layer, measurement=measurement.sample(slide) if settled and measurement else None)

    def _show_frame(self, measurement: SlideMeasurement | None) -> None:
        if measurement is None:
            self._view.show_frame("", None)
            self.rings.remove()
            return
        self._view.show_frame(self._question(measurement), measurement.frame)
        if not self.rings.present or self._ringed is not measurement:
            title = "measured spots to align"
            self.rings.create(*measurement.spots(), self._workspace.state.slide_layer, self._mpp(), title)
            self._ringed = measurement

    @staticmethod
    def _question(measurement: SlideMeasurement) -> str:
        ask = ASK_SLIDE if measurement.other_slide else ASK_FRAME
        return f"{measurement.doubt} {ask}".strip()

"""A measurement of a slide: read from files, laid on the slide, compared with a prediction. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.analysis import measured
from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.engine.options import OWN_PRECISION
from napari_nh2st.errors import Cancelled
from napari_nh2st.expression import FORMATS, Sample
from napari_nh2st.expression.detect import MeasurementFiles, detect
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.expression.transform_files import read_transform
from napari_nh2st.geometry import Box, FloatArray
from napari_nh2st.slide_path import whole_path
from napari_nh2st.viewer.kit.long_work import Cancelled as IsCancelled
from napari_nh2st.viewer.kit.long_work import Tell
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.slides import Slide

MadeWith = tuple[str, int, float]  # model, stamp of its weights, mpp: what tells one comparison from another


@dataclass(eq=False)
class SlideMeasurement:
    """The measurement of one slide.

    Attributes
    ----------
    data : AnnData
        Spots in pixels of the image on which they were laid.
    diameter : float
        Of a spot, in those pixels.
    doubt : str
        Why that seems not to be this slide, or its image; empty where there is no doubt.
    frame : Frame
        How spots lie on the slide; a proposal until it is `settled`.
    transform : Transform or None
        What comes before the frame where their image was turned, mirrored or sheared.
    placed : bool
        Whether the person has said how they lie.
    other_slide : bool
        Whether the doubt is that this is the measurement of another slide.
    comparison, made_with
        With the model that was chosen last, and what tells that model and pixel size from others.
    """

    files: MeasurementFiles
    data: ad.AnnData
    diameter: float
    doubt: str
    frame: Frame
    settled: bool
    placed: bool = False
    other_slide: bool = False
    comparison: Comparison | None = None
    made_with: MadeWith | None = None
    transform: Transform | None = None

    @property
    def laid(self) -> Transform:
        """The map from the pixels of the spots' own image to where they lie now."""
        first = NOWHERE_ELSE if self.transform is None else self.transform
        return first.then(self.frame.transform)

    @property
    def name(self) -> str:
        """Name of the section."""
        return self.files.name

    def spots(self) -> tuple[FloatArray, float]:
        """Return the centres (n, 2) (x, y) of the spots on the slide and their diameter, level-0 pixels."""
        laid = self.laid
        return laid.place(self.data.obsm["spatial"]), laid.scale * self.diameter

    def placed_data(self) -> ad.AnnData:
        """Return the measurement with its spots on the slide, as `read_expression` returns it."""
        data = self.data.copy()
        data.obsm["spatial"] = self.laid.place(data.obsm["spatial"])
        return data

    def lay_anew(self) -> None:
        """Ask again where the spots lie; what was compared there goes."""
        self.settled, self.doubt, self.other_slide = False, "", False
        self.comparison, self.made_with = None, None

    def use(self) -> None:
        """Take the spots as they lie now."""
        self.settled, self.placed = True, True

    def sample(self, slide: Slide) -> Sample:
        """Return the line of a sample sheet with which this measurement is read again."""
        spots = self.files.spots and self.files.spots.absolute()
        paths = Path(whole_path(slide.path)), self.files.expression.absolute()
        placing = asdict(self.frame) | {"placed": self.placed, "transform": self.transform}
        return Sample(self.name, "", *paths, self.files.format, spots, **placing)

    def provenance(self, what: str, slide_facts: dict[str, Any], model: str | None) -> dict[str, Any]:
        """Say what a layer of this measurement shows and where it comes from."""
        return {
            "what": what,
            "measurement": str(self.files.expression),
            "frame": asdict(self.frame),
            "transform": None if self.transform is None else self.transform.matrix,
            "model": model,
            "precision": "fp32",
            "slide": {key: slide_facts[key] for key in ("path", "fingerprint", "mpp", "mpp_source")},
        }


def read_measurement(
    paths: Sequence[str], slide: Slide, others: Sequence[Slide], tell: Tell, cancelled: IsCancelled
) -> MeasurementFiles | SlideMeasurement:
    """Read a measurement and judge whether, and where, it lies on the slide. Not on the GUI thread.

    Parameters
    ----------
    others : sequence of Slide
        Open slides to which it may belong instead.

    Returns
    -------
    MeasurementFiles or SlideMeasurement
        The first where the positions of the spots are still to be chosen.
    """
    files = detect([Path(path) for path in paths])
    if FORMATS[files.format].needs_spots and files.spots is None:
        return files
    transform = None if files.transform is None else read_transform(files.transform)
    own_mpp = None if slide.mpp is None else slide.mpp * (1.0 if transform is None else transform.scale)
    data = measured.read_measurement(files, slide.path, own_mpp)
    if cancelled():
        raise Cancelled("stopped")
    spots, image = data.obsm["spatial"], data.uns["frame"]
    diameter = measured.spot_diameter(spots, image)
    measurement = SlideMeasurement(files, data, diameter, "", Frame(), settled=True, transform=transform)
    _doubt(measurement, slide, others)
    return measurement


def _doubt(measurement: SlideMeasurement, slide: Slide, others: Sequence[Slide]) -> None:
    """Say why a measurement may be that of another slide, or lie elsewhere on this one, and propose where."""
    from napari_nh2st.training.sections.examine import examine, fits_better  # scipy is loaded for it

    sample, data = measurement.sample(slide), measurement.placed_data()
    findings = [f for f in examine(sample, data, slide).findings if f.about_slide]
    elsewhere = fits_better(sample, data, slide, others)
    of_another = [f for f in (*findings, elsewhere) if f is not None and f.kind == "name"]
    places = next((f for f in findings if f.about_places), None)
    told = of_another if elsewhere is not None or places is None else [*of_another, places]
    if not told:
        return
    measurement.doubt = " ".join(finding.sentence for finding in told)
    measurement.settled, measurement.other_slide = False, bool(of_another)
    if places is None or (of_another and places.kind == "tissue"):
        return  # a place where the spots of another slide would look right is no help
    spots, image = data.obsm["spatial"], data.uns["frame"] if measurement.transform is None else {}
    measurement.frame = (
        measured.guess(spots, image, slide.shape, slide.tissue()) if places.frame is None else Frame(*places.frame)
    )


def compare_at_spots(
    measurement: SlideMeasurement,
    services: Services,
    device: str,
    inputs: PredictionInputs,
    tell: Tell,
    cancelled: IsCancelled,
) -> Comparison:
    """Predict at the spots of a measurement, and score it, as `nh2st evaluate` does. Not on the GUI thread."""
    from napari_nh2st.engine.section_descriptor import describe_section
    from napari_nh2st.engine.seen_sections import SeenSections
    from napari_nh2st.training.sections.examine import examine

    slide, model, prediction_map = inputs.slide, inputs.model, inputs.map
    data = measurement.placed_data()
    findings = examine(measurement.sample(slide), data, slide)
    data = findings.admit(measurement.name, data)
    session = inputs.session
    if inputs.tissue is not None or session.precision not in ("fp32", OWN_PRECISION):
        # The figures are those of the slide's own mask in fp32, whatever was painted and whatever is fastest here.
        session = services.session(slide, model, pitch=prediction_map.pitch, tissue=None, device=device, scoring=True)
    prediction = _predict_at(data, inputs, session, "fp32", tell, cancelled)
    comparison = measured.compare(
        measurement.name,
        data,
        prediction,
        left_out=findings.off_slide,
        seen=SeenSections.of_model(model),
        descriptor=describe_section(slide, data),
    )
    return replace(comparison, doubts=findings.doubts)


def predict_where_laid(
    data: ad.AnnData, inputs: PredictionInputs, cancelled: IsCancelled
) -> tuple[ad.AnnData, Prediction]:
    """Predict at the spots that lie on the slide now, without any check. Not on the GUI thread.

    Returns
    -------
    AnnData
        Those spots.
    Prediction
        At them, in the same order, in whichever precision is fastest here.
    """
    height, width = inputs.slide.shape
    data = data[Box(0, 0, width, height).contains(data.obsm["spatial"])].copy()
    return data, _predict_at(
        data, inputs, inputs.session, inputs.session.precision, lambda done, total: None, cancelled
    )


def _predict_at(
    data: ad.AnnData, inputs: PredictionInputs, session: Any, precision: str, tell: Tell, cancelled: IsCancelled
) -> Prediction:
    from napari_nh2st.engine.prediction import Prediction

    card, shown = inputs.model.card, inputs.map
    places = measured.spots_of(data, card, inputs.slide.require_mpp())
    hidden = np.full((len(places), shown.decoder.width), np.nan, dtype=np.float16)
    for chunk in session.stream(places, cancelled=cancelled):
        hidden[chunk.indices] = chunk.hidden
        tell(chunk.done, chunk.total)
    facts = shown.provenance | {"precision": precision}
    return Prediction(places, hidden, shown.decoder, card, shown.slide, facts)

"""Measured beside predicted: a measurement of the slide is dropped in, and every gene is held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFileDialog, QMenu, QPushButton, QWidget

from napari_nh2st.analysis import measured
from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import FORMATS, Sample
from napari_nh2st.expression.detect import Measurement, detect
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.pacing import timer
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Banner, Note, Sentence
from napari_nh2st.viewer.layers.roles import Kind, change_role
from napari_nh2st.viewer.layers.spots import NOT_MEASURED, SpotsLayer, difference_colours, measured_colours
from napari_nh2st.viewer.measured.messages import measured_caveats, measured_summary, measured_training
from napari_nh2st.viewer.measured.scatter import Scatter
from napari_nh2st.viewer.predict.messages import NO_MODEL, NO_MPP
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.dock_state import first_gene

_HINT = "Drop a measurement of this slide here: a Visium folder, an .h5ad file, or a table of counts (.tsv)."
_NO_SLIDE = "Open the slide first: a measurement belongs to one."
_ASK_FRAME = "Change scale and offset until the circles lie on the tissue, then press Use."
_ASK_SPOTS = "Where do the spots of {} lie? Choose the file with the columns x, y, pixel_x, pixel_y."
_FILTER = "measurements (*.h5ad *.tsv *.tsv.gz *.txt *.txt.gz *.h5);;all files (*)"
_READING = "reading"
_SOON_MS = 40
TIPS = {
    "PCC": "Correlation of measured and predicted values across the spots of this section",
    "low": "Lower end of the 95% interval",
    "high": "Upper end of the 95% interval",
    "card": "PCC on held-out tissue, as the model's card has it",
    "MSE": "Mean squared error, in the square of the unit",
    "measured": "Mean measured value, ln(1 + counts per 10,000)",
}


@dataclass(eq=False)
class _Held:
    """The measurement of one slide.

    Attributes
    ----------
    data : AnnData
        Spots in pixels of the image on which they were laid.
    diameter : float
        Of a spot, in those pixels.
    doubt : str
        Why that seems not to be this slide's image; empty where there is no doubt.
    frame : Frame
        How spots lie on the slide; a proposal until it is `settled`.
    comparison, made_with
        With the model that was chosen last, and what tells that model and pixel size from others.
    """

    found: Measurement
    data: Any
    diameter: float
    doubt: str
    frame: Frame
    settled: bool
    comparison: Comparison | None = None
    made_with: Any = None


class MeasuredSection(QWidget):
    """Load, look where the spots lie, use; then layers, figures, a dot a spot, and a table of genes."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._held: dict[str, _Held] = {}  # by the slide's fingerprint
        self._fingerprint: str | None = None
        self._asked: Measurement | None = None  # counts whose positions are being asked for
        self._doing: Any = None  # what the task is for: a reading, or a measurement with a model
        self._drawn: Comparison | None = None
        self._drawing = False
        self._heatmap: Any = None
        self._following, self._hearing, self._events = Connections(), Connections(), Connections()
        self.spots = SpotsLayer(workspace.viewer, Kind.MEASURED)
        self.difference = SpotsLayer(workspace.viewer, Kind.DIFFERENCE)
        self.rings = SpotsLayer(workspace.viewer, Kind.RINGS)
        self._soon = timer(self, _SOON_MS, self._colour)
        self.setAcceptDrops(True)
        self._build()
        self._events.add(workspace.viewer.layers.events.removed, self._show_toggles)
        workspace.state.events.slide.connect(self._slide_changed)
        workspace.state.events.model.connect(self._update)
        workspace.state.map_chosen.connect(self._follow)
        workspace.state.events.gene.connect(self._gene_changed)
        workspace.state.style.when_restyled(self._colour_soon)
        workspace.state.events.limits.connect(self._colour_soon)
        workspace.when_closing(self._close)
        self._slide_changed()

    def _build(self) -> None:
        self.load = QPushButton("Load…")
        self.load.setToolTip("Measured counts of this slide's section, to hold the prediction against")
        menu = QMenu(self.load)
        self.load_file = menu.addAction("File: .h5ad, or a table of counts…")
        self.load_file.triggered.connect(self._ask_file)
        self.load_folder = menu.addAction("Visium folder…")
        self.load_folder.triggered.connect(self._ask_folder)
        self.load.setMenu(menu)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Put this measurement and its layers away")
        self.remove.clicked.connect(self._remove)
        self.hint = Sentence(_HINT)
        self.task = Task(self._workspace)
        self.again = QPushButton("Compare")
        self.again.setToolTip("Predict at the measured spots with the chosen model, and score each gene")
        self.again.clicked.connect(self._compare)
        self.positions = QPushButton("Choose the spots' file…")
        self.positions.setToolTip("The table that says at which pixels of the image the spots lie")
        self.positions.clicked.connect(self._ask_positions)
        layout = column(self)
        layout.addLayout(row(self.load, self.remove, stretch=0))
        for part in (self.hint, self.positions, self.task, self._make_frame(), self.again, self._make_result()):
            layout.addWidget(part)

    def _make_frame(self) -> QWidget:
        self.frame = QWidget()
        self.doubt = Note()
        self.scale = QDoubleSpinBox(decimals=5, minimum=0.0001, maximum=10_000, singleStep=0.01, value=1)
        self.scale.setToolTip("Pixels of this slide for one pixel of the image on which the spots were laid")
        self.x, self.y = (QDoubleSpinBox(decimals=0, minimum=-1e6, maximum=1e6, singleStep=10) for _ in "xy")
        for spin, axis, way in ((self.x, "x", "to the right"), (self.y, "y", "down")):
            spin.setPrefix(f"{axis} ")
            spin.setSuffix(" px")
            spin.setMinimumWidth(60)
            spin.setToolTip(f"Move the spots {way}, in pixels of this slide")
        for spin in (self.scale, self.x, self.y):
            spin.valueChanged.connect(self._frame_edited)
        self.use = QPushButton("Use")
        self.use.setToolTip("Take the spots as they lie now")
        self.use.clicked.connect(self._use)
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Put this measurement away")
        self.discard.clicked.connect(self._remove)
        layout = column(self.frame)
        layout.addWidget(self.doubt)
        layout.addLayout(row(self.scale, label="Scale", stretch=0))
        offsets = row(self.x, self.y, label="Offset", stretch=0)
        offsets.setStretchFactor(self.y, 1)
        layout.addLayout(offsets)
        layout.addLayout(row(self.use, self.discard, stretch=0))
        return self.frame

    def _make_result(self) -> QWidget:
        self.result = QWidget()
        self.banner, self.summary, self.caveats = Banner(), Sentence(), Note()
        self.banner.setVisible(False)
        self.show_spots = QCheckBox("measured spots")
        self.show_spots.setChecked(True)
        self.show_spots.setToolTip("Draw each spot in the colour of its measured value, on the heatmap's limits")
        self.show_difference = QCheckBox("difference")
        for box, layer in ((self.show_spots, self.spots), (self.show_difference, self.difference)):
            box.clicked.connect(lambda on, layer=layer: self._toggled(layer, on))
        self.gene_note = Sentence()
        self.scatter = Scatter()
        self.table = GeneTable("pcc")
        self.table.gene_clicked.connect(self._workspace.state.request_gene)
        layout = column(self.result)
        layout.addWidget(self.banner)
        layout.addWidget(self.summary)
        for part in (self.show_spots, self.show_difference, self.gene_note, self.scatter, self.caveats, self.table):
            layout.addWidget(part)
        return self.result

    @property
    def held(self) -> _Held | None:
        """The measurement of the chosen slide."""
        slide = self._workspace.slide
        return None if slide is None else self._held.get(slide.fingerprint)

    @property
    def comparison(self) -> Comparison | None:
        """The measurement of the chosen slide with the chosen model, None where that is not made."""
        held = self.held
        return held.comparison if held is not None and held.made_with == self._with() else None

    @property
    def gene(self) -> str:
        """The gene in sight."""
        found = self.comparison
        return self._workspace.state.gene or (first_gene(found.card) if found is not None else "")

    # what the person does

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Load what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        event.acceptProposedAction()
        self.open([path for path in paths if path])

    def open(self, paths: Sequence[str]) -> None:
        """Load a measurement of the chosen slide: a file, a folder, or counts with positions."""
        slide = self._workspace.slide
        self._asked = None
        if slide is None:
            self.task.sentence.say(_NO_SLIDE)
        else:
            self._doing = _READING
            self.task.start(
                "Reading the measurement", partial(_read, paths, slide), partial(self._opened, slide.fingerprint)
            )
        self._show()

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a measurement", "", _FILTER)
        if path:
            self.open([path])

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Load a Visium folder (outs)")
        if path:
            self.open([path])

    def _ask_positions(self) -> None:
        if self._asked is None:
            return
        counts = self._asked.expression
        path, _ = QFileDialog.getOpenFileName(
            self, "The spots' positions", str(counts.parent), "tables (*.tsv *.tsv.gz)"
        )
        if path:
            self.open([str(counts), path])

    def _opened(self, fingerprint: str, outcome: Measurement | _Held) -> None:
        if isinstance(outcome, Measurement):
            self._asked = outcome
        else:
            self._held[fingerprint] = outcome
        self._update()

    def _frame_edited(self) -> None:
        held = self.held
        if held is None or held.settled:
            return
        held.frame = Frame(self.scale.value(), self.x.value(), self.y.value())
        self.rings.move(*_placed(held))

    def _use(self) -> None:
        if self.held is not None:
            self.held.settled = True
            self._update()

    def _remove(self) -> None:
        self._asked = None
        if self._workspace.slide is not None:
            self._held.pop(self._workspace.slide.fingerprint, None)
        self.task.cancel() if self.task.running else self.task.sentence.say("")
        self._update()

    def _toggled(self, layer: SpotsLayer, on: bool) -> None:
        if layer.layer is not None and layer.present:
            layer.layer.visible = on
        elif on:
            self._draw()

    # what changes elsewhere

    def showEvent(self, event: QShowEvent) -> None:
        """Compare what was loaded with what was chosen meanwhile."""
        super().showEvent(event)
        self._update()

    def _slide_changed(self) -> None:
        slide = self._workspace.slide
        fingerprint = None if slide is None else slide.fingerprint
        if fingerprint != self._fingerprint:
            self._fingerprint, self._asked, self._doing = fingerprint, None, None
            self.task.cancel()
        elif slide is not None:  # its pixels may have another size now
            for layer in (self.spots, self.difference, self.rings):
                layer.align(self._workspace.state.slide_layer, self._mpp())
        self._update()

    def _update(self) -> None:
        """Show what is known of the chosen slide and model, and compare where that is to be done and in sight."""
        self._show()
        busy = self.task.running and self._doing in (_READING, (self.held, self._with()))
        if self.isVisible() and self._lacking() == "" and not busy:
            self._compare()

    def _gene_changed(self) -> None:
        self._follow()
        self._show_gene()

    def _follow(self) -> None:
        """Hear from the heatmap in sight when its colours change; it may be another layer by now."""
        layer = self._heatmap_layer()
        if layer is not self._heatmap:
            self._following.close()
            self._heatmap = layer
            if layer is not None:
                for name in ("contrast_limits", "colormap", "gamma"):
                    self._following.add(getattr(layer.events, name), self._colour_soon)
        self._soon.start()

    def _colour_soon(self, event: Any = None) -> None:
        self._soon.start()

    def _close(self) -> None:
        self._soon.stop()
        for connections in (self._following, self._hearing, self._events):
            connections.close()

    # comparing

    def _with(self) -> Any:
        """Tell the chosen model and pixel size from others; None where one is not known."""
        workspace = self._workspace
        if (
            workspace.slide is None
            or workspace.slide.mpp is None
            or workspace.state.model_name is None
            or workspace.state.card is None
        ):
            return None
        return workspace.state.model_name, workspace.services.stamp(workspace.state.model_name), workspace.slide.mpp

    def _mpp(self) -> float:
        return float(self._workspace.slide.mpp or 1.0)

    def _lacking(self) -> str | None:
        """Say what a comparison waits for; an empty text where nothing is missing, None where there is none to make."""
        held = self.held
        if held is None or not held.settled or self.comparison is not None:
            return None
        if self._workspace.slide.mpp is None:
            return NO_MPP
        return NO_MODEL if self._with() is None else ""

    def _compare(self) -> None:
        held, wanted = self.held, self._with()
        if held is None or wanted is None:
            return
        try:
            device = self._workspace.requests.whole_slide().device
            work = self._workspace.with_inputs(partial(_compare, held, self._workspace.services, device))
        except Nh2stError as error:
            self.task.sentence.say(str(error))
            return
        self._doing = held, wanted
        self.task.start("Predicting at the measured spots", work, partial(self._compared, held, wanted), self._show)
        self._show()

    def _compared(self, held: _Held, made_with: Any, outcome: Comparison) -> None:
        held.comparison, held.made_with = outcome, made_with

    # what is shown

    def _show(self) -> None:
        held, lacking = self.held, self._lacking()
        self._tell_slide(held)
        self.load.setEnabled(self._workspace.slide is not None)
        self.load.setToolTip(
            "Measured counts of this slide's section, to hold the prediction against"
            if self._workspace.slide
            else _NO_SLIDE
        )
        self.remove.setVisible(held is not None or self._asked is not None)
        asked = "" if self._asked is None else _ASK_SPOTS.format(self._asked.expression.name)
        self.hint.say(asked or lacking or ("" if held is not None else _HINT))
        self.positions.setVisible(self._asked is not None)
        self.again.setVisible(lacking == "" and not self.task.running)
        self._show_frame(held if held is not None and not held.settled else None)
        self._show_result()

    def _tell_slide(self, held: _Held | None) -> None:
        """Leave with the slide's layer how its measurement is read: the fine-tune dock takes it from there."""
        layer, slide = self._workspace.state.slide_layer, self._workspace.slide
        if slide is None:
            return
        if held is None or not held.settled:
            change_role(layer, measurement=None)
            return
        found, spots = held.found, held.found.spots and held.found.spots.resolve()
        files = slide.path.resolve(), found.expression.resolve()
        sample = Sample(found.name, "", *files, found.format, spots, **asdict(held.frame))
        change_role(layer, measurement=sample)

    def _show_frame(self, held: _Held | None) -> None:
        self.frame.setVisible(held is not None)
        if held is None:
            self.rings.remove()
            return
        self.doubt.say(f"{held.doubt} {_ASK_FRAME}")
        for spin, value in ((self.scale, held.frame.scale), (self.x, held.frame.x), (self.y, held.frame.y)):
            spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(False)
        if not self.rings.present:
            name = f"{held.found.name}, spots: do they lie right?"
            self.rings.create(*_placed(held), self._workspace.state.slide_layer, self._mpp(), name)

    def _show_result(self) -> None:
        found = self.comparison
        self.result.setVisible(found is not None)
        if found is not None:
            self.banner.say(measured_training(found))
            self.summary.say(measured_summary(found))
            self.caveats.say("\n".join(measured_caveats(found)))
        if self._drawn is not found:
            self._redraw(found)

    def _redraw(self, found: Comparison | None) -> None:
        """Show another comparison, or none."""
        self._drawn, self._drawing = found, True
        self._hearing.close()
        self.spots.remove()
        self.difference.remove()
        self._drawing = False
        if found is None:
            self.table.show_frame(None)
            self.scatter.setVisible(False)
            return
        self.table.what = f"pcc of {found.name}"
        self.table.show_frame(found.table(), sort_by="PCC", tips=TIPS, digits=3)
        self._follow()
        self._draw()
        self._show_gene()

    def _draw(self) -> None:
        """Bring out the layers that are wanted and not there."""
        found, held = self.comparison, self.held
        if found is None or held is None or self._workspace.state.slide_layer is None:
            return
        wanted = ((self.spots, self.show_spots), (self.difference, self.show_difference))
        for layer, box in wanted:
            if box.isChecked() and not layer.present:
                diameter = held.frame.scale * held.diameter
                layer.create(found.scored.centres, diameter, self._workspace.state.slide_layer, self._mpp(), found.name)
                change_role(layer.layer, provenance=self._provenance(layer.kind))
                self._hearing.add(layer.layer.events.visible, self._show_toggles)
        self._colour()

    def _provenance(self, kind: Kind) -> dict[str, Any]:
        """Say what a layer shows and where it comes from, as `roles.provenance_of` does."""
        held, slide = self.held, self._workspace.slide
        assert held is not None
        what = "measured expression" if kind is Kind.MEASURED else "predicted less measured expression"
        facts = self._workspace.services.describe(slide)
        return {
            "what": what,
            "measurement": str(held.found.expression),
            "frame": asdict(held.frame),
            "model": self._workspace.state.model_name,
            "precision": "fp32",
            "slide": {key: facts[key] for key in ("path", "fingerprint", "mpp", "mpp_source")},
        }

    def _show_toggles(self, event: Any = None) -> None:
        """Tick what is in sight: layers are hidden and deleted in the layer list too."""
        if self._drawn is not None and not self._drawing:
            self.show_spots.setChecked(self.spots.visible)
            self.show_difference.setChecked(self.difference.visible)

    def _show_gene(self) -> None:
        found, gene = self.comparison, self.gene
        if found is None:
            return
        values = found.values(gene)
        self.gene_note.say("" if values is not None or not gene else _not_measured(found, gene))
        if values is None:
            self.scatter.setVisible(False)
        else:
            figures = found.figures["genes"][gene]
            title = f"{gene}: PCC {figures['pcc']:.3f} ({figures['low']:.3f} to {figures['high']:.3f})"
            self.scatter.show_values(*values, title, "ln(1 + counts per 10,000)", same_unit=found.same_unit)
        self._colour()

    def _colour(self) -> None:
        """Give the spots the colours of the gene in sight."""
        found, gene = self.comparison, self.gene
        if found is None:
            return
        values = found.values(gene)
        name = f"({found.name})"
        tip = "Draw predicted less measured: orange where more was predicted, blue where less was"
        if values is None:
            self.spots.colour(NOT_MEASURED, gene, f"{gene}, not measured {name}", {})
            self.difference.colour("transparent", gene, f"{gene}, not measured {name}", {})
        else:
            features = {"measured": values[0], "predicted": values[1]}
            colours = measured_colours(values[0], self._on_its_scale(found, gene), self._workspace.state.style)
            self.spots.colour(colours, gene, f"{gene}, measured {name}", features)
        if values is not None and found.same_unit:
            less = values[1] - values[0]
            colours, limit = difference_colours(less)
            self.difference.colour(
                colours, gene, f"{gene}, predicted - measured {name}", features | {"difference": less}
            )
            tip += f". The colours reach to {limit:.2f} on both sides, {found.card.unit}"
        self.show_difference.setEnabled(found.same_unit)
        self.show_difference.setToolTip(tip if found.same_unit else _OTHER_UNIT)

    def _heatmap_layer(self) -> Any:
        heatmap = self._workspace.heatmap
        return heatmap.layer if heatmap is not None and heatmap.present else None

    def _on_its_scale(self, found: Comparison, gene: str) -> Any:
        """Return the heatmap on whose limits the measured spots are drawn; None where it shows something else."""
        heatmap = self._workspace.heatmap
        if (
            heatmap is None
            or not found.same_unit
            or heatmap.map.card.unit != found.card.unit
            or heatmap.gene != gene
            or not heatmap.map.count
        ):
            return None
        return self._heatmap_layer()


_OTHER_UNIT = "This model predicts in another unit than that of the measurement: only correlations can be compared"


def _not_measured(found: Comparison, gene: str) -> str:
    if gene not in found.card.genes:
        return f"{gene} is not among the genes that {found.card.name} predicts."
    return f"{gene} was not measured in {found.name}: there is nothing to compare it with."


def _placed(held: _Held) -> tuple[Any, float]:
    """Return the spots' places on the slide and their diameter, level-0 pixels."""
    return held.frame.place(held.data.obsm["spatial"]), held.frame.scale * held.diameter


def _read(
    paths: Sequence[str], slide: Any, tell: Callable[[int, int], None], cancelled: Callable[[], bool]
) -> Measurement | _Held:
    """Read a measurement and judge where it lies. Not on the GUI thread."""
    found = detect([Path(path) for path in paths])
    if FORMATS[found.format].needs_spots and found.spots is None:
        return found
    data = measured.read_measurement(found, slide.path)
    if cancelled():
        raise Cancelled("stopped")
    spots, known = data.obsm["spatial"], data.uns["frame"]
    about = spots, known, slide.shape, slide.tissue()
    doubt = measured.doubt(*about)
    frame = measured.guess(*about) if doubt else Frame()
    return _Held(found, data, measured.spot_diameter(spots, known), doubt, frame, settled=not doubt)


def _compare(
    held: _Held, services: Any, device: str, inputs: Any, tell: Callable[[int, int], None], cancelled: Any
) -> Comparison:
    """Predict at the spots of a measurement, and score it, as `nh2st evaluate` does. Not on the GUI thread."""
    from napari_nh2st.engine.prediction import Prediction

    slide, model, shown = inputs.slide, inputs.model, inputs.map
    data = measured.on_slide(held.found.name, held.data, held.frame, slide.shape)
    places = measured.spots_of(data, model.card, slide.require_mpp())
    session = inputs.session
    if inputs.tissue is not None or session.precision != "fp32":
        # The figures are those of the slide's own mask in fp32, whatever was painted and whatever is fastest here.
        session = services.session(slide, model, pitch=shown.pitch, tissue=None, device=device, scoring=True)
    hidden = np.full((len(places), shown.decoder.weight.shape[1]), np.nan, dtype=np.float16)
    for chunk in session.stream(places, cancelled=cancelled):
        hidden[chunk.indices] = chunk.hidden
        tell(chunk.done, chunk.total)
    facts = shown.provenance | {"precision": "fp32"}
    prediction = Prediction(places, hidden, shown.decoder, model.card, shown.slide, facts)
    return measured.compare(held.found.name, data, prediction, left_out=held.data.n_obs - data.n_obs)

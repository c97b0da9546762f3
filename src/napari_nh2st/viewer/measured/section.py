"""The section *Measured*: drop a measurement of the slide in, and compare the prediction with it, gene by gene."""

from __future__ import annotations

from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFileDialog, QMenu, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.viewer.kit.buttons import ActionButton, action_button
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Banner, Note, Sentence, plain_tip
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.measured.anchors_part import AnchorsPart
from napari_nh2st.viewer.measured.landmarks_part import LandmarksPart
from napari_nh2st.viewer.measured.measurement import SlideMeasurement
from napari_nh2st.viewer.measured.messages import (
    LOAD_TIP,
    MOVE_SPOTS,
    MOVE_SPOTS_TIP,
    measured_alarms,
    measured_caveats,
    measured_summary,
    table_tips,
)
from napari_nh2st.viewer.measured.presenter import MeasuredPresenter
from napari_nh2st.viewer.measured.scatter import Scatter
from napari_nh2st.viewer.measured.view import GeneDots, Offer
from napari_nh2st.viewer.predict.workspace import Workspace

_FILTER = "measurements (*.h5ad *.csv *.tsv *.tsv.gz *.txt *.txt.gz *.h5);;all files (*)"
_COLOUR_MS = 40


class MeasuredSection(QWidget):
    """Load, look where the spots lie, use; then layers, figures, a dot a spot, and a table of genes."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.setAcceptDrops(True)
        self.task = self.work = Task(workspace, workspace.slide_subjects)
        self.colour_soon = qdebounced(lambda: self.presenter.colour(), timeout=_COLOUR_MS)
        self.anchors, self.landmarks = AnchorsPart(workspace), LandmarksPart(workspace)
        self.presenter = MeasuredPresenter(workspace, self)
        self.anchors.presenter, self.landmarks.presenter = self.presenter.corrections, self.presenter.landmarks
        self._build()
        workspace.when_closing(self.colour_soon.cancel)
        self.presenter.slide_changed()

    def _build(self) -> None:
        self.hint = Sentence()
        self.again = action_button(
            "Compare",
            "Compare the prediction with the measurement, gene by gene",
            self.presenter.compare,
        )
        self.positions = action_button(
            "Choose positions…",
            "The table with the position of each spot in the picture",
            self._ask_positions,
        )
        self.remove = action_button("Remove", "Remove this measurement and its layers", self.presenter.remove)
        layout = column(self)
        layout.addLayout(row(self._make_load(), self.remove, stretch=0))
        self.lay = action_button(MOVE_SPOTS, MOVE_SPOTS_TIP, self.presenter.lay_anew)
        asked = (self.positions, self.task, self._make_frame(), self.again, self.lay)
        for part in (self.hint, *asked, self._make_result()):
            layout.addWidget(part)
        layout.addWidget(rule())
        layout.addWidget(self.anchors)

    def _make_load(self) -> ActionButton:
        self.load = ActionButton("Load…", LOAD_TIP)
        menu = QMenu(self.load)
        self.load_file = menu.addAction("File: .h5ad, or a table of counts…")
        self.load_file.triggered.connect(self._ask_file)
        self.load_folder = menu.addAction("Folder of an assay (outs)…")
        self.load_folder.triggered.connect(self._ask_folder)
        self.load.setMenu(menu)
        return self.load

    def _make_frame(self) -> QWidget:
        self.frame = QWidget()
        self.doubt = Note()
        self.scale = QDoubleSpinBox(decimals=5, minimum=0.0001, maximum=10_000, singleStep=0.01, value=1)
        self.scale.setToolTip("Pixels of this slide for each pixel of the picture that the positions come from")
        self.x, self.y = (QDoubleSpinBox(decimals=0, minimum=-1e6, maximum=1e6, singleStep=10) for _ in "xy")
        for spin, axis, way in ((self.x, "x", "to the right"), (self.y, "y", "down")):
            spin.setPrefix(f"{axis} ")
            spin.setSuffix(" px")
            spin.setMinimumWidth(60)
            spin.setToolTip(plain_tip(f"Move the spots {way}, in pixels of this slide"))
        for spin in (self.scale, self.x, self.y):
            spin.valueChanged.connect(self._frame_edited)
        self.use = action_button("Use", "Compare with the spots where the circles are now", self.presenter.use)
        self.discard = action_button("Discard", "Remove this measurement", self.presenter.remove)
        layout = column(self.frame)
        layout.addWidget(self.doubt)
        layout.addWidget(self.landmarks)
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
        self.show_spots.setChecked(self.presenter.drawing.want_spots)
        self.show_spots.setToolTip("Draw each spot in the colour of its measured value, on the limits of the heatmap")
        self.show_spots.clicked.connect(self.presenter.toggle_spots)
        self.show_difference = QCheckBox("difference")
        self.show_difference.clicked.connect(self.presenter.toggle_difference)
        self.gene_note = Sentence()
        self.scatter = Scatter()
        self.table = GeneTable("pcc", self._workspace.save_folder)
        self.table.gene_clicked.connect(self.presenter.show_gene_of_table)
        layout = column(self.result)
        layout.addWidget(self.banner)
        layout.addWidget(self.summary)
        for part in (self.show_spots, self.show_difference, self.gene_note, self.scatter, self.caveats, self.table):
            layout.addWidget(part)
        return self.result

    @property
    def spots(self) -> SpotsLayer:
        """The layer of measured spots."""
        return self.presenter.spots

    @property
    def difference(self) -> SpotsLayer:
        """The layer of predicted less measured."""
        return self.presenter.difference

    @property
    def measurement(self) -> SlideMeasurement | None:
        """The measurement of the chosen slide."""
        return self.presenter.measurement

    @property
    def comparison(self) -> Comparison | None:
        """The measurement of the chosen slide with the chosen model, None where that was not made."""
        return self.presenter.comparison

    # what the person does

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Load what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        event.acceptProposedAction()
        self.presenter.open([path for path in paths if path])

    def showEvent(self, event: QShowEvent) -> None:
        """Compare what was loaded with what was chosen meanwhile."""
        super().showEvent(event)
        self.presenter.update()

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a measurement", "", _FILTER)
        if path:
            self.presenter.open([path])

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Load the folder of an assay (outs)")
        if path:
            self.presenter.open([path])

    def _ask_positions(self) -> None:
        counts = self.presenter.without_positions
        if counts is None:
            return
        folder = str(counts.expression.parent)
        path, _ = QFileDialog.getOpenFileName(self, "The spots' positions", folder, "tables (*.tsv *.tsv.gz)")
        if path:
            self.presenter.give_positions(path)

    def _frame_edited(self) -> None:
        self.presenter.move(Frame(self.scale.value(), self.x.value(), self.y.value()))

    # what the presenter shows

    @property
    def in_sight(self) -> bool:
        """True if a person sees the section."""
        return self.isVisible()

    def show_offer(self, offer: Offer) -> None:
        """Offer what can be done now."""
        self.load.set_reason_off(offer.why_not_load)
        self.remove.setVisible(offer.remove)
        self.hint.say(offer.hint)
        self.positions.setVisible(offer.positions)
        self.again.setVisible(offer.compare)
        self.lay.setVisible(offer.lay)

    def show_frame(self, doubt: str, frame: Frame | None) -> None:
        """Ask how the spots lie; None asks nothing."""
        self.frame.setVisible(frame is not None)
        self.doubt.say(doubt)
        if frame is None:
            return
        for spin, value in ((self.scale, frame.scale), (self.x, frame.x), (self.y, frame.y)):
            with signals_blocked(spin):
                spin.setValue(value)

    def show_result(self, comparison: Comparison | None) -> None:
        """Show the figures of a comparison, or none."""
        self.result.setVisible(comparison is not None)
        if comparison is not None:
            self.banner.say(measured_alarms(comparison))
            self.summary.say(measured_summary(comparison))
            self.caveats.say("\n".join(measured_caveats(comparison)))

    def show_table(self, comparison: Comparison | None) -> None:
        """Show the table of genes of another comparison, or none."""
        if comparison is None:
            self.table.show_frame(None)
            return
        self.table.what = f"pcc of {comparison.name}"
        self.table.show_frame(comparison.table(), sort_by="PCC", tips=table_tips(comparison.card), digits=3)

    def show_gene(self, note: str, dots: GeneDots | None) -> None:
        """Show one gene."""
        self.gene_note.say(note)
        if dots is None:
            self.scatter.setVisible(False)
        else:
            self.scatter.show_values(dots.measured, dots.predicted, dots.title, dots.unit, same_unit=dots.same_unit)

    def show_layers(self, spots: bool, difference: bool) -> None:
        """Tick the layers that are in sight."""
        self.show_spots.setChecked(spots)
        self.show_difference.setChecked(difference)

    def show_difference_offer(self, tip: str, *, on: bool) -> None:
        """Offer the layer of differences."""
        self.show_difference.setEnabled(on)
        self.show_difference.setToolTip(plain_tip(tip))

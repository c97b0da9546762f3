"""The part of *Measured* that corrects the map with measured spots, and proposes where to measure next."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QFileDialog, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.buttons import ActionBox, action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence, plain_tip
from napari_nh2st.viewer.measured.anchors import AnchorsPresenter, Which
from napari_nh2st.viewer.measured.messages import CORRECT, CORRECT_TIP, CORRECTED_TIP, PROPOSE, PROPOSE_TIP
from napari_nh2st.viewer.predict.workspace import Workspace

_WHICH: tuple[tuple[str, Which], ...] = (
    ("all spots", "all"),
    ("spots in the drawn regions", "regions"),
    ("the spots that tell most:", "most telling"),
)
_FIRST, _PLACES, _MOST = 20, 10, 500


class AnchorsPart(QWidget):
    """Which spots, a button, a box for the corrected map; below, a button that numbers places."""

    presenter: AnchorsPresenter  # given by the section

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.task = self.work = Task(workspace, workspace.slide_subjects)
        self._make_correction()
        self._make_proposal()
        layout = column(self, spacing=4)
        for part in (self.correction, self.box, self.worth):
            layout.addWidget(part)
        layout.addLayout(row(self.propose, self.number, stretch=0))
        layout.addWidget(self.proposed)
        layout.addWidget(self.placed)
        layout.addWidget(self.task)

    def _make_correction(self) -> None:
        self.which = QComboBox()
        for text, which in _WHICH:
            self.which.addItem(text, which)
        self.which.setToolTip(plain_tip("The measured spots that correct the map; the others are left to judge it"))
        self.spots = QSpinBox(minimum=3, maximum=_MOST, value=_FIRST)
        self.spots.setToolTip(plain_tip("So many spots, spread over the slide and over all that it shows"))
        self.spots.setVisible(False)
        self.which.currentIndexChanged.connect(lambda: self.spots.setVisible(self.chosen == "most telling"))
        self.button = action_button(CORRECT, CORRECT_TIP, self._correct)
        self.why_not, self.worth = Sentence(dim=True), Sentence()
        self.box = ActionBox("", CORRECTED_TIP)
        self.box.clicked.connect(lambda on: self.presenter.toggle(on))
        self.correction = QWidget()
        layout = column(self.correction, spacing=4)
        layout.addLayout(row(self.which, self.spots, stretch=0))
        layout.addWidget(self.button)
        layout.addWidget(self.why_not)

    def _make_proposal(self) -> None:
        self.propose = action_button(PROPOSE, PROPOSE_TIP, self._propose)
        self.number = QSpinBox(minimum=1, maximum=_MOST, value=_PLACES, suffix=" places")
        self.number.setToolTip(plain_tip("How many places to propose"))
        self.proposed = Sentence()
        self.save = action_button("Save places…", "Write their positions: a table, and squares for QuPath", self._save)
        self.remove = action_button("Remove", "Take the numbers away", lambda: self.presenter.put_away())
        self.placed = QWidget()
        column(self.placed).addLayout(row(self.save, self.remove, stretch=0))

    @property
    def chosen(self) -> Which:
        """Which spots correct the map."""
        which: Which = self.which.currentData()
        return which

    def _correct(self) -> None:
        self.presenter.correct(self.chosen, self.spots.value())

    def _propose(self) -> None:
        self.presenter.propose(self.number.value())

    def _save(self) -> None:
        proposed = str(self._workspace.save_folder.path_for("where to measure next.csv"))
        path, _ = QFileDialog.getSaveFileName(self, "Save places", proposed, "Table (*.csv)")
        self.presenter.save(path)

    # what the presenter shows

    def show_correction(self, offered: bool, why_not: str, sentence: str) -> None:
        """Offer to correct the map, or say why not; and say what the correction of now is worth."""
        self.correction.setVisible(offered)
        self.button.set_reason_off(why_not)
        self.why_not.say(why_not if offered else "")
        self.worth.say(sentence)

    def show_corrected(self, words: str, on: bool) -> None:
        """Offer to show the corrected map, by its name, or the prediction itself."""
        self.box.setVisible(bool(words))
        self.box.setText(f"map {words}")
        with signals_blocked(self.box):
            self.box.setChecked(on)

    def show_proposal(self, why_not: str, sentence: str) -> None:
        """Offer to propose places, or say why not."""
        self.propose.set_reason_off(why_not)
        self.proposed.say(sentence)
        self.placed.setVisible(bool(sentence))

"""A signature in the section *Several genes*: a set of genes, pasted or from a file, and a button that scores it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QFileDialog, QPlainTextEdit, QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.messages import GENES_TIP, LOAD_TIP, NAME_TIP, PASTE_HERE, SCORE_TIP
from napari_nh2st.viewer.several.name_combo import NameCombo
from napari_nh2st.viewer.several.signature import SignaturePresenter

_FILTER = "gene sets (*.gmt);;all files (*)"
_LINES = 4


class SignaturePart(QWidget):
    """A set of genes and its score."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.task = self.work = Task(workspace)
        self.name = NameCombo(NAME_TIP, "signature")
        self.match = Sentence(dim=True)
        self.load = action_button("Load .gmt…", LOAD_TIP, self._ask)
        self.button = action_button("Score", SCORE_TIP, lambda: self.presenter.score())
        self._make_genes()
        layout = column(self, spacing=4)
        layout.addLayout(row(self.name, label="Set", stretch=0))
        layout.addWidget(self.genes)
        layout.addWidget(self.match)
        layout.addLayout(row(self.load, self.button, stretch=1))
        layout.addWidget(self.task)
        self.presenter = SignaturePresenter(workspace, self)
        self.name.activated.connect(lambda index: self.presenter.take_set(self.name.itemText(index)))
        self.genes.textChanged.connect(self.presenter.update)
        self.presenter.update()

    def _make_genes(self) -> None:
        self.genes = QPlainTextEdit()
        self.genes.setPlaceholderText(PASTE_HERE)
        self.genes.setToolTip(GENES_TIP)
        self.genes.setTabChangesFocus(True)
        self.genes.setFixedHeight(_LINES * self.fontMetrics().height())
        self.genes.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 120); border-radius: 2px; }")

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Gene sets", "", _FILTER)
        if path:
            self.presenter.load_file(path)

    @property
    def set_name(self) -> str:
        """The name of the set, empty where it has none."""
        return self.name.currentText()

    @property
    def set_text(self) -> str:
        """Its genes, as they were pasted."""
        return self.genes.toPlainText()

    def list_sets(self, names: Sequence[str]) -> None:
        """List sets in place of those of before; the first one is chosen."""
        self.name.clear()
        self.name.addItems(list(names))
        self.name.choose(names[0])

    def write_genes(self, text: str) -> None:
        """Write the genes of a set in place of those of before."""
        self.genes.setPlainText(text)

    def show_match(self, text: str) -> None:
        """Say which of the genes the model has."""
        self.match.say(text)

    def show_offer(self, reason_off: str) -> None:
        """Offer the score, or say why there is none."""
        self.button.set_reason_off(reason_off)

"""The row *Estimate*: what a run will take, beside the button that starts it."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.finetune.estimate_presenter import Answer, EstimatePresenter
from napari_nh2st.viewer.kit.layout import Caption, column, row
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs

_SETTLED_MS = 1500


class EstimateRow(QWidget):
    """Time and memory of a run; its tooltip has the stages.

    Parameters
    ----------
    presenter : EstimatePresenter
    """

    def __init__(self, presenter: EstimatePresenter) -> None:
        super().__init__()
        self.presenter = presenter
        self.sentence = Sentence()
        line = row(self.sentence, stretch=0)
        line.insertWidget(0, Caption("Estimate", beside=self.sentence))
        column(self).addLayout(line)
        self._settled = qdebounced(self.presenter.try_now, timeout=_SETTLED_MS, parent=self)
        self.presenter.state.events.question.connect(self._settle)
        self.presenter.state.events.answer.connect(self._show)

    def close_down(self) -> None:
        """Have nothing tried any more."""
        self._settled.cancel()

    def _settle(self, question: object) -> None:
        if question is None:
            self._settled.cancel()
        else:
            self._settled()

    def _show(self, answer: Answer) -> None:
        self.sentence.say(answer.text)
        self.sentence.setToolTip(paragraphs(list(answer.details)) if answer.details else "")

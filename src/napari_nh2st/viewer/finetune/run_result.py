"""The result of a run: its held-out figures beside those of simpler models, and gene by gene."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.finetune.figure_bars import FigureBars
from napari_nh2st.viewer.finetune.run_result_presenter import COLUMN_TIPS, RunResult, RunResultPresenter
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Note, Sentence


class RunResultView(QWidget):
    """Takes no room before there is a model.

    Parameters
    ----------
    presenter : RunResultPresenter
    """

    def __init__(self, presenter: RunResultPresenter) -> None:
        super().__init__()
        self.presenter = presenter
        self.summary, self.bars, self.caveats = Sentence(), FigureBars(), Note()
        self.explained = Sentence(dim=True)
        self.sentence, self.table = Sentence(), GeneTable("held-out pcc")
        layout = column(self, spacing=4)
        for part in (self.summary, self.bars, self.caveats, self.sentence, self.explained, self.table):
            layout.addWidget(part)
        self.presenter.state.events.result.connect(self._show)

    def _show(self, result: RunResult) -> None:
        self.summary.say(result.summary)
        self.bars.show_lines(result.lines)
        self.caveats.say(result.caveats)
        self.sentence.say(result.sentence)
        self.explained.say(result.explained)
        self.table.show_frame(result.genes, sort_by="PCC", tips=COLUMN_TIPS)

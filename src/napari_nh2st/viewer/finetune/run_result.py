"""What came of a run: its held-out figures beside those of simpler models, and gene by gene."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.finetune.figure_bars import FigureBars
from napari_nh2st.viewer.finetune.messages import result_words, summary_words
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import Note, Sentence
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari_nh2st.training.run.summary import Summary

_TIPS = {
    "PCC": "Correlation of predicted and measured expression across the spots that were held out",
    "from": "Lower end of its 95% interval; at 0 or below, the gene was not predicted better than by chance",
    "to": "Upper end of its 95% interval",
}


class RunResult(QWidget):
    """Takes no room before there is a model.

    Parameters
    ----------
    services : Services
    background : Background
    """

    def __init__(self, services: Services, background: Background) -> None:
        super().__init__()
        self._services, self._background = services, background
        self._model: Path | None = None
        self.summary, self.bars, self.caveats = Sentence(), FigureBars(), Note()
        self.sentence, self.table = Sentence(), GeneTable("held-out pcc")
        layout = column(self, spacing=4)
        for part in (self.summary, self.bars, self.caveats, self.sentence, self.table):
            layout.addWidget(part)

    def show_model(self, model: Path | None) -> None:
        """Show the figures of a finished model, those of its run's folder too; or nothing."""
        if model == self._model:
            return
        self._model = model
        self.sentence.say("")
        self.table.show_frame(None)
        self._show_summary(None)
        if model is not None:
            self._background.call(
                self._read, str(model), then=partial(self._found, model), failed=partial(self._failed, model)
            )

    def _read(self, model: str) -> tuple[str, Any, Summary | None]:
        import pandas as pd

        from napari_nh2st.training.run.summary import read_summary

        card = self._services.load_card(model)
        found = card.evaluation.genes if card.evaluation else {}
        rows = [(trust.pcc, trust.low, trust.high) for trust in found.values()]
        index = pd.Index(list(found), name="gene")
        frame = pd.DataFrame(rows, index, columns=list(_TIPS), dtype=float)
        return result_words(card), frame, read_summary(Path(model).parent)

    def _found(self, model: Path, result: tuple[str, Any, Summary | None]) -> None:
        if model != self._model:
            return  # another run is shown meanwhile
        says, frame, summary = result
        self._show_summary(summary)
        self.sentence.say(says)
        self.table.show_frame(frame, sort_by="PCC", tips=_TIPS)

    def _show_summary(self, summary: Summary | None) -> None:
        self.summary.say("" if summary is None else summary_words(summary))
        self.bars.show_lines(() if summary is None else summary.lines)
        self.caveats.say("" if summary is None else "\n".join(summary.caveats))

    def _failed(self, model: Path, error: Exception) -> None:
        if model == self._model:
            self.sentence.say(f"The model's figures cannot be read: {error_words(error)}")

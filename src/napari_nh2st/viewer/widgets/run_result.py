"""What came of a run: the held-out figures on the model's card, gene by gene."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.services import Services
from napari_nh2st.viewer.widgets.gene_table import GeneTable
from napari_nh2st.viewer.widgets.parts import Sentence, column
from napari_nh2st.viewer.widgets.worker import Background
from napari_nh2st.viewer.words import error_words, result_words

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
        self.sentence, self.table = Sentence(), GeneTable("held-out pcc")
        layout = column(self, spacing=4)
        layout.addWidget(self.sentence)
        layout.addWidget(self.table)

    def show_model(self, model: Path | None) -> None:
        """Show the figures of a finished model, or nothing."""
        if model == self._model:
            return
        self._model = model
        self.sentence.say("")
        self.table.show_frame(None)
        if model is not None:
            self._background.call(
                self._read, str(model), then=partial(self._found, model), failed=partial(self._failed, model)
            )

    def _read(self, model: str) -> tuple[str, Any]:
        import pandas as pd

        card = self._services.load_card(model)
        found = card.evaluation.genes if card.evaluation else {}
        rows = [(trust.pcc, trust.low, trust.high) for trust in found.values()]
        index = pd.Index(list(found), name="gene")
        return result_words(card), pd.DataFrame(rows, index, columns=list(_TIPS), dtype=float)

    def _found(self, model: Path, result: tuple[str, Any]) -> None:
        if model != self._model:
            return  # another run is shown meanwhile
        says, frame = result
        self.sentence.say(says)
        self.table.show_frame(frame, sort_by="PCC", tips=_TIPS)

    def _failed(self, model: Path, error: Exception) -> None:
        if model == self._model:
            self.sentence.say(f"The model's figures cannot be read: {error_words(error)}")

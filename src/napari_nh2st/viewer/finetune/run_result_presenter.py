"""The figures of a run's model: read once it has ended, dropped when another run is shown. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

from napari_nh2st.model.trust_words import figures_explained
from napari_nh2st.viewer.finetune.cards import Cards
from napari_nh2st.viewer.finetune.messages import result_words, summary_words
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import COLOUR_RIDGE_MEANS, error_words

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.training.run.summary import SummaryLine

COLUMN_TIPS = {
    "PCC": "Correlation of predicted and measured expression across the spots that were held out",
    "from": "Lower end of its 95% interval; at 0 or below, the gene was not predicted better than by chance",
    "to": "Upper end of its 95% interval",
}


@dataclass(frozen=True, eq=False)
class RunResult:
    """The figures of a model.

    Attributes
    ----------
    sentence : str
        How good the model is, as far as its run can tell; or why that cannot be read.
    genes : DataFrame or None
        PCC and its interval of each gene.
    summary : str
        How it does beside simpler models; empty where that is not known.
    lines : tuple of SummaryLine
        Those models, the run's own last.
    caveats : str
        A line each.
    explained : str
        What the words and figures mean, a line each.
    """

    sentence: str = ""
    genes: pd.DataFrame | None = None
    summary: str = ""
    lines: tuple[SummaryLine, ...] = ()
    caveats: str = ""
    explained: str = ""


NO_RESULT = RunResult()


@dataclass(eq=False)
class RunResultState:
    """The result in sight. It tells its listeners when another one is."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    result: RunResult = NO_RESULT


class RunResultPresenter:
    """Reads what came of a run in the background.

    Parameters
    ----------
    cards : Cards
    threads : Threads
    """

    def __init__(self, cards: Cards, threads: Threads) -> None:
        self._cards, self._threads = cards, threads
        self._model: Path | None = None
        self.state = RunResultState()

    def show_model(self, model: Path | None) -> None:
        """Show the figures of a finished model, with those in its run's folder; or nothing."""
        if model == self._model:
            return
        self._model = model
        self.state.result = NO_RESULT
        if model is None:
            return

        def done(result: RunResult) -> None:
            if model == self._model:  # no other run is shown meanwhile
                self.state.result = result

        def failed(error: Exception) -> None:
            done(RunResult(f"The model's figures cannot be read: {error_words(error)}"))

        self._threads.call(_read, self._cards, model, then=done, failed=failed)


def _read(cards: Cards, model: Path) -> RunResult:
    """Read a model's card and its run's summary. Not on the GUI thread."""
    import pandas as pd

    from napari_nh2st.training.run.summary import read_summary

    card, summary = cards.load_card(str(model)), read_summary(model.parent)
    trusts = card.evaluation.genes if card.evaluation else {}
    rows = [(trust.pcc, trust.low, trust.high) for trust in trusts.values()]
    genes = pd.DataFrame(rows, index=pd.Index(list(trusts), name="gene"), columns=list(COLUMN_TIPS), dtype=float)
    explained = figures_explained(card)
    if summary is None:
        return RunResult(result_words(card), genes, explained="\n".join(explained))
    if any(line.name == "colour ridge" for line in summary.lines):
        explained.append(COLOUR_RIDGE_MEANS)
    return RunResult(
        result_words(card),
        genes,
        summary_words(summary),
        tuple(summary.lines),
        "\n".join(summary.caveats),
        "\n".join(explained),
    )

"""Loss and held-out correlation of a run as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_nh2st.model.trust_words import PCC_MEANS
from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.viewer.finetune.run_curves import (
    EPOCHS,
    SHARE,
    STEPS,
    Line,
    RunCurves,
    lines_of,
    loss_span,
    pcc_span,
    thin,
)
from napari_nh2st.viewer.kit.chart import Chart, Surface
from napari_nh2st.viewer.kit.colours import BLUE, GREEN, ORANGE
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TIP = (
    "<qt><p>How the run goes, over its epochs. Faint: every step, or every epoch. Solid: smoothed, the mean of "
    f"{EPOCHS} epochs around each, for the training loss of {100 // SHARE}% of the steps ({STEPS} at least).</p>"
    "<p>PCC is the mean over genes of the correlation of predicted and measured expression. The inner blocks, one of "
    "each section, are left out of the training; the model is that of the epoch where they were predicted best: the "
    "ring. Held-out tissue, other blocks or whole sections, chooses nothing: its figure at the ring is the honest "
    "one.</p>"
    "<p>At a dashed upright line a second training begins, on all spots of the training sections: no spots are left to "
    "score it.</p></qt>"
)
_CHOOSE = "Inner blocks are left out of the training and choose the best epoch."
_SCORED = "Held-out tissue is only scored."
_SECOND = "Dashed line: a second training begins, on all spots."
_COLOURS = {"train_loss": BLUE, "val_loss": ORANGE, "test_loss": GREEN, "val_pcc": ORANGE, "test_pcc": GREEN}
_LOSS, _PCC = ("train_loss", "val_loss", "test_loss"), ("val_pcc", "test_pcc")
_FAINT = 0.3  # opacity of what is not smoothed


class Curves(QWidget):
    """The loss above the correlation, over one axis of epochs, under a line that says which colour is what."""

    def __init__(self) -> None:
        super().__init__()
        self.told = RunCurves()
        self.legend = QLabel()  # the only label with markup: of our own words and numbers
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.chart = _CurvesChart(self.told)
        self.setToolTip(_TIP)
        self.meaning = Sentence(self._meaning(scored=False), dim=True)
        layout = column(self, spacing=2)
        for part in (self.legend, self.chart, self.meaning):
            layout.addWidget(part)

    @property
    def empty(self) -> bool:
        """True if there is nothing to draw yet."""
        return not any(curve.y for curve in self.told.curves.values())

    def show_metrics(self, metrics: RunMetrics) -> None:
        """Draw what a run has told so far."""
        total = metrics.total_epochs or 0
        if self.told.take(metrics.rows) or total != self.chart.total:
            self.chart.total = total
            self._update_legend()
            self.chart.redraw()

    def _update_legend(self) -> None:
        scored = bool(self.told.curves["test_pcc"].y)
        names = {"training": BLUE, "inner blocks": ORANGE, **({"held-out tissue": GREEN} if scored else {})}
        entries = [f'<span style="color:{colour}">▬</span>&nbsp;{_whole(name)}' for name, colour in names.items()]
        if self.told.best is not None:
            epoch, pcc = self.told.best
            entries.append(f'<span style="color:{ORANGE}">◯</span>&nbsp;{_whole(f"best: epoch {epoch:g}, {pcc:z.3f}")}')
        self.legend.setText(" &nbsp; ".join(entries))
        self.meaning.say(self._meaning(scored=scored))

    def _meaning(self, *, scored: bool) -> str:
        """Explain what is drawn, and nothing else."""
        held_out = [_SCORED] if scored else []
        return " ".join([PCC_MEANS, _CHOOSE, *held_out, *([] if self.told.second is None else [_SECOND])])


def _whole(text: str) -> str:
    """Keep an entry of the legend on one line."""
    return text.replace(" ", "&nbsp;").replace("-", "&#8209;")


class _CurvesChart(Chart):
    """Two pairs of axes, one above the other."""

    def __init__(self, curves: RunCurves) -> None:
        super().__init__("Loss and held-out correlation of the run")
        self.curves, self.total = curves, 0

    def height_for(self, width: int, line: int) -> int:
        return 14 * line

    def plot(self, surface: Surface) -> None:
        loss, pcc = lines_of(self.curves, *_LOSS), lines_of(self.curves, *_PCC)
        last = max([float(self.total), 1.0, *(line.x[-1] for line in (*loss, *pcc))])
        left, half = surface.wide("-0.00") + 6, (surface.height - surface.line) / 2
        self._plot_lines(surface, "loss", loss, loss_span(loss), top=0.0, last=last)
        axes = self._plot_lines(surface, "PCC", pcc, pcc_span(pcc), top=half, last=last)
        if pcc and self.curves.best is not None:
            axes.plot(*self.curves.best, "o", markersize=8, fillstyle="none", color=ORANGE, markeredgewidth=1.5)
        foot = surface.height - surface.line / 2
        surface.write(left, foot, "0")
        surface.write((left + surface.width) / 2, foot, "epochs", align="center")
        if self.total:
            surface.write(surface.width - 2, foot, f"{last:g}", align="right")

    def _plot_lines(
        self, surface: Surface, title: str, lines: Sequence[Line], span: tuple[float, float], *, top: float, last: float
    ) -> Axes:
        """Draw lines below a height, on axes that both figures share."""
        left, high = surface.wide("-0.00") + 6, surface.line
        height = (surface.height - high) / 2 - 0.6 * high
        top += 0.3 * high
        axes = surface.axes(left, top, surface.width - left - 2, height)
        axes.set_xlim(0, last)
        axes.set_ylim(*span)
        surface.write(left - 4, top + height / 2, title, align="right")
        if not lines:
            surface.write((left + surface.width) / 2, top + height / 2, "nothing yet", align="center").set_alpha(0.4)
            return axes
        for value, y in ((span[1], top + high / 2), (span[0], top + height - high / 2)):
            surface.write(left - 4, y, f"{value:z.2f}", align="right")
        if self.curves.second is not None:
            axes.axvline(self.curves.second, color=surface.ink, linestyle="--", linewidth=1)
        for line in lines:
            _plot_line(axes, line, max(1, int(surface.width - left)))
        return axes


def _plot_line(axes: Axes, line: Line, columns: int) -> None:
    colour = _COLOURS[line.name]
    if len(line.x) == 1:
        axes.plot(line.x, line.y, "o", color=colour, markersize=5, markeredgewidth=0)
        return
    x, y = thin(line.x, line.y, columns)
    dots = "o" if len(x) < columns / 8 else ""
    axes.plot(x, y, marker=dots, color=colour, alpha=_FAINT, linewidth=1, markersize=4, markeredgewidth=0)
    axes.plot(*thin(line.x, line.smoothed, columns), color=colour, linewidth=2, solid_capstyle="round")

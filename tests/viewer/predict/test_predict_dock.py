"""The NH2ST dock in a real window: real clicks and keys, the engine replaced where its timing matters."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nh2st.engine.places import limits_of
from napari_nh2st.model.card import Evaluation, GeneTrust, TrainingSample
from napari_nh2st.viewer.export.choices import ExportChoice
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.roles import map_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.messages import NO_MPP, NOTHING_OPEN
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import GENES, FakeServices, FakeSlide, card

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Dock:
    """A window with the dock and, unless told otherwise, a slide."""

    def __init__(self, make_viewer, qtbot, slide: FakeSlide | None) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, FakeServices()
        if slide is not None:
            data, meta, _ = frames.slide_layer_data(slide)
            self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.controller = self.widget.controller

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def until(self, condition, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout)

    def predict(self, where: str = "whole") -> None:
        self.click(self.widget.where.buttons[where])
        self.click(self.widget.job.button)
        self.until(lambda: self.controller.status.state not in (State.RUNNING, State.IDLE))

    def says(self) -> str:
        return self.widget.job.sentence.text()


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot, FakeSlide())


def test_nothing_open_says_what_to_do(make_napari_viewer, qtbot) -> None:
    dock = Dock(make_napari_viewer, qtbot, None)
    assert dock.says() == NOTHING_OPEN
    assert not dock.widget.job.button.isEnabled()
    data, meta, _ = frames.slide_layer_data(FakeSlide())
    dock.viewer.add_image(data, **meta)
    assert dock.says() == "Ready: press Predict."
    assert dock.widget.job.button.isEnabled()
    dock.viewer.layers.clear()
    assert dock.says() == NOTHING_OPEN


def test_predict_type_a_gene_walk_the_list(dock: Dock) -> None:
    dock.predict()
    assert dock.controller.status.state is State.DONE
    assert dock.says().startswith("C9: done, ")
    heatmap = dock.viewer.layers[-1]
    assert heatmap.name == "C9 · ERBB2 · predicted"  # the gene that was predicted best
    assert dock.widget.genes.trust.text() == "held-out PCC 0.41 (0.33 to 0.48), same patient"
    field = dock.widget.genes.field.lineEdit()
    dock.qtbot.mouseClick(field, LEFT)
    field.selectAll()
    dock.qtbot.keyClicks(field, "krt")
    dock.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert heatmap.name == "C9 · KRT8 · predicted"
    assert dock.widget.genes.trust.text() == "not evaluated"
    dock.qtbot.keyClick(field, Qt.Key.Key_Up)  # the list goes from A to Z
    assert heatmap.name == "C9 · FLAT · predicted"
    dock.qtbot.keyClick(field, Qt.Key.Key_Down)
    assert heatmap.name == "C9 · KRT8 · predicted"
    assert dock.services.asked == [int(dock.controller.map.done.sum())]  # the model ran once
    field.selectAll()
    dock.qtbot.keyClicks(field, "FLAT")
    dock.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert "FLAT is the same everywhere" in dock.widget.genes.limits.sentence.text()
    field.selectAll()
    dock.qtbot.keyClicks(field, "NOPE")
    dock.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert dock.widget.genes.trust.text() == "her2st does not predict NOPE"


def test_cancel_keeps_what_is_there_and_goes_on(dock: Dock) -> None:
    gate = dock.services.gate = threading.Event()
    dock.click(dock.widget.where.buttons["whole"])
    dock.click(dock.widget.job.button)
    gate.set()
    dock.until(lambda: dock.controller.status.done > 0)
    assert dock.widget.job.button.text() == "Cancel"
    assert np.isfinite(dock.viewer.layers[-1].data).any() or dock.controller.map.done.any()
    dock.qtbot.keyClick(dock.widget, Qt.Key.Key_Escape)
    dock.until(lambda: dock.controller.status.state is State.CANCELLED)
    kept = int(dock.controller.map.done.sum())
    assert dock.says().startswith("C9: stopped at ")
    dock.services.gate = None
    dock.predict()
    assert dock.services.asked[1] == dock.services.asked[0] - kept


def test_deleting_everything_mid_run(dock: Dock) -> None:
    gate = dock.services.gate = threading.Event()
    dock.click(dock.widget.where.buttons["whole"])
    dock.click(dock.widget.job.button)
    gate.set()
    dock.until(lambda: dock.controller.status.done > 0)
    dock.viewer.layers.clear()
    dock.services.gate = None
    gate.set()
    dock.until(lambda: not dock.controller.running)
    assert dock.controller.status.state is State.CANCELLED
    assert dock.says() == "C9 was closed: its prediction has stopped."


def test_closing_the_window_mid_run_leaves_no_thread(make_napari_viewer, qtbot) -> None:
    dock = Dock(make_napari_viewer, qtbot, FakeSlide())
    dock.services.gate = threading.Event()
    dock.click(dock.widget.job.button)
    dock.until(lambda: dock.services.asked != [])
    dock.services.gate.set()
    dock.until(lambda: dock.controller.status.done > 0)
    qtbot.wait(300)  # the bar in the activity panel is there
    background = dock.widget.background
    dock.viewer.close()
    qtbot.waitUntil(lambda: not background.busy)


def test_closing_the_dock_stops_the_work(dock: Dock) -> None:
    dock.services.gate = threading.Event()
    dock.click(dock.widget.job.button)
    dock.until(lambda: dock.services.asked != [])
    dock.viewer.window.remove_dock_widget(dock.widget)
    assert not dock.viewer.canvas.overlays.scale_bar.visible, "napari had none"
    dock.until(lambda: not dock.widget.background.busy)
    dock.viewer.layers.clear()  # the viewer no longer calls the dock


def test_failure_is_one_sentence_with_details(dock: Dock) -> None:
    dock.services.fail = OSError("disk unplugged")
    dock.predict()
    assert dock.says().startswith("C9: that did not work: OSError: disk unplugged")
    dock.click(dock.widget.job.details)
    assert "Traceback" in dock.widget.job.account.toPlainText()
    dock.services.fail = None
    dock.predict()
    assert dock.widget.job.details.isHidden()


def test_unknown_pixel_size_is_asked_for(make_napari_viewer, qtbot) -> None:
    dock = Dock(make_napari_viewer, qtbot, FakeSlide(mpp=None))
    form = dock.widget.slides.pixel_size
    assert dock.says() == NO_MPP
    assert not form.fields.isHidden()
    dock.click(form.set)
    assert dock.widget.state.slide.mpp is None, "a guess was taken"
    qtbot.keyClicks(form.value, "0,5")
    qtbot.keyClick(form.value, Qt.Key.Key_Return)
    layer = dock.viewer.layers[0]
    assert form.text.text() == "0.5 µm/px (typed in)"
    assert dock.viewer.canvas.overlays.scale_bar.visible
    np.testing.assert_allclose(layer.scale, 0.5)
    assert [str(u) for u in layer.units] == ["micrometer"] * 2
    dock.predict()
    assert dock.controller.status.state is State.DONE
    dock.click(form.edit)
    qtbot.keyClicks(form.value, "0.25")  # in place of the value of now
    qtbot.keyClick(form.value, Qt.Key.Key_Return)
    assert len(dock.viewer.layers) == 1  # a heatmap of other tiles is taken away
    np.testing.assert_allclose(layer.scale, 0.25)
    dock.click(form.edit)
    dock.click(form.back)
    assert form.text.text() == "0.5 µm/px (typed in)"
    dock.click(form.edit)
    dock.click(form.objectives["40x"])
    assert form.text.text() == "0.25 µm/px (nominal 40x)"
    dock.until(lambda: dock.widget.state.slide.mpp == 0.25)
    command = dock.widget.workspace.requests.whole_slide().command
    assert "--mpp 0.25" in command, "the command line knows no objectives"


def test_edited_tissue_is_obeyed(dock: Dock) -> None:
    dock.click(dock.widget.tissue.button)
    dock.until(lambda: len(dock.viewer.layers) == 2)
    labels = dock.viewer.layers[1]
    labels.data[:, 40:] = 0
    labels.refresh()
    dock.predict()
    done = dock.controller.map.tiles().centres[dock.controller.map.done]
    assert 0 < done[:, 0].max() < 40 * 16


def test_warning_stands_in_plain_sight(dock: Dock) -> None:
    dock.services.warning = ["what it draws on this slide means nothing"]
    dock.widget.use_model("demo")
    assert dock.widget.job.banner.text() == "What it draws on this slide means nothing."
    dock.predict()
    assert not dock.widget.job.banner.isHidden()


def test_how_far_the_training_reaches_stays_in_sight_without_alarm(dock: Dock) -> None:
    dock.services.limits = ["how right it is on any other tissue has not been measured"]
    dock.widget.use_model("demo")
    job = dock.widget.job
    assert job.limits.text() == dock.services.limits[0]
    assert job.banner.isHidden()
    dock.predict()
    assert not job.limits.isHidden()
    dock.services.limits = []
    dock.widget.use_model("her2st")
    assert job.limits.isHidden()


def trusted() -> dict[str, GeneTrust]:
    return {
        "CD3E": GeneTrust(pcc=0.05, low=-0.02, high=0.12),
        "ERBB2": GeneTrust(pcc=0.30, low=0.2, high=0.4),
        "KRT8": GeneTrust(pcc=0.41, low=0.33, high=0.48),
    }


def test_genes_from_a_to_z_or_the_best_first(dock: Dock) -> None:
    evaluation = Evaluation(kind="cross-patient", samples=["B4"], pcc_mean=0.2, genes=trusted())
    dock.services.cards["good"] = card("good", evaluation=evaluation)
    dock.widget.use_model("good")
    genes = dock.widget.genes
    listed = genes.field.model().stringList
    dock.widget.state.request_gene("ERBB2")
    assert listed() == sorted(GENES)
    chosen = []
    dock.widget.state.gene_chosen.connect(chosen.append)
    genes.order.setFocus()
    dock.qtbot.keyClick(genes.order, Qt.Key.Key_Down)
    assert listed() == ["KRT8", "ERBB2", "CD3E", "FLAT"]
    assert (dock.widget.state.gene, chosen) == ("ERBB2", [])  # the gene in sight stays
    dock.qtbot.keyClick(genes.field.lineEdit(), Qt.Key.Key_Down)
    assert chosen == ["CD3E"]
    assert genes.trust.text() == (
        "held-out PCC 0.05 (-0.02 to 0.12), cross patient: not better than chance in the held-out tissue"
    )
    dock.widget.use_model("demo")  # never evaluated
    assert not genes.order.model().item(1).isEnabled()
    assert "not evaluated" in genes.order.itemData(1, Qt.ItemDataRole.ToolTipRole)
    assert (listed(), dock.widget.state.gene) == (sorted(GENES), "CD3E")
    assert genes.trust.text() == "not evaluated"
    dock.widget.use_model("good")
    assert listed()[0] == "KRT8"  # the order that was chosen comes back


def test_the_trust_of_a_prediction_from_a_file_is_its_own_model_s(dock: Dock, tmp_path: Path) -> None:
    from napari_nh2st.engine.store import save_prediction

    dock.predict()
    path = save_prediction(dock.controller.map.prediction(), tmp_path / "C9.nh2st")
    dock.widget.use_model("demo")
    assert dock.widget.genes.trust.text() == "not evaluated"
    (opened,) = dock.viewer.open(str(path), plugin="napari-nh2st")
    dock.viewer.layers.selection.active = opened
    assert dock.widget.genes.trust.text() == "held-out PCC 0.41 (0.33 to 0.48), same patient"


def test_a_model_says_what_it_is(dock: Dock) -> None:
    dock.services.cards["told"] = card("told", description="Breast & more", citation="Andersson et al. 2021")
    dock.widget.use_model("told")
    tip = dock.widget.models.combo.toolTip()
    assert "Breast &amp; more" in tip
    assert "Andersson et al. 2021" in tip
    assert "research use" in tip
    dock.widget.use_model("demo")
    assert "Breast" not in dock.widget.models.combo.toolTip()


def test_each_model_has_its_own_heatmap(dock: Dock) -> None:
    dock.predict()
    dock.widget.use_model("demo")
    dock.predict()
    names = [layer.name for layer in dock.viewer.layers if layer.visible]
    assert names == ["C9", "C9 · ERBB2 · predicted (demo)"]
    dock.widget.use_model("her2st")
    names = [layer.name for layer in dock.viewer.layers if layer.visible]
    assert names == ["C9", "C9 · ERBB2 · predicted (her2st)"]


def test_another_slide_chosen_before_the_first_answer(dock: Dock) -> None:
    first = dock.viewer.layers[0]
    first.translate = (100, 50)
    gate = dock.services.gate = threading.Event()
    dock.click(dock.widget.where.buttons["whole"])
    dock.click(dock.widget.job.button)
    other = FakeSlide()
    other.fingerprint = "other"
    data, meta, _ = frames.slide_layer_data(other)
    dock.viewer.add_image(data, **meta)
    assert dock.widget.slides.layer is dock.viewer.layers[-1]
    dock.services.gate = None
    gate.set()
    dock.until(lambda: not dock.controller.running)
    heatmap = next(layer for layer in dock.viewer.layers if map_of(layer) is not None)
    assert heatmap.translate[0] > 100  # it lies on its own slide, which was moved


def test_prediction_opened_from_a_file_is_taken_up(dock: Dock, tmp_path: Path) -> None:
    from napari_nh2st.engine.store import save_prediction

    dock.predict()
    path = save_prediction(dock.controller.map.prediction(), tmp_path / "C9.nh2st")
    dock.viewer.layers.pop()
    (opened,) = dock.viewer.open(str(path), plugin="napari-nh2st")
    dock.viewer.layers.selection.active = opened
    dock.widget.state.request_gene("CD3E")
    assert opened.name == "C9 · CD3E · predicted"
    assert len(dock.services.asked) == 1


def test_copy_as_command(dock: Dock) -> None:
    dock.click(dock.widget.where.buttons["whole"])
    dock.click(dock.widget.result.command)
    assert QApplication.clipboard().text() == "nh2st predict /nowhere/C9.svs --model her2st --out predictions"


def test_shortcut_and_twenty_thousand_genes(dock: Dock) -> None:
    genes = [f"G{i}" for i in range(20_000)]
    dock.services.cards["large"] = card("large", genes=genes, gene_means=[0.0] * 20_000, evaluation=None)
    dock.widget.models.use("large")
    dock.viewer.window._qt_window.activateWindow()
    dock.widget.genes.focus()
    field = dock.widget.genes.field.lineEdit()
    import time

    started = time.thread_time()
    dock.qtbot.keyClicks(field, "G1234")
    assert time.thread_time() - started < 2.0
    dock.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert dock.widget.state.gene == "G1234"


def test_dock_fits_a_small_window(dock: Dock) -> None:
    dock.viewer.window.show()  # a widget has its theme's measures once it was shown
    evaluation = Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.2, genes=trusted())
    seen = [TrainingSample(sample=s, patient=s[0], spots=9) for s in ("B4", "C2", "C3", "C4", "C5")]
    real = card("her2st", evaluation=evaluation, training=seen, tissue="HER2-positive breast tumours")
    dock.services.cards["her2st"] = real
    dock.services.limits = limits_of(FakeSlide(), real)  # the longest that every slide has
    dock.widget.use_model("her2st")
    dock.widget.state.request_gene("CD3E")
    dock.predict()
    dock.until(lambda: "chance" in dock.widget.genes.trust.text())  # what follows the map comes in later turns
    assert "5 sections of 2 patients" in dock.widget.job.limits.text()
    body, genes = dock.widget.scroll.widget(), dock.widget.genes
    assert body.layout().minimumSize().width() <= 320
    assert (
        genes.mapTo(body, genes.rect().bottomLeft()).y() < 700
    )  # a slide, Predict, a gene: without scrolling in 1280 x 800
    cut = [
        b.text() for b in dock.widget.where.buttons.values() if b.fontMetrics().horizontalAdvance(b.text()) > b.width()
    ]
    assert not cut
    assert dock.widget.genes.field.currentText() == "CD3E"


def test_real_engine_and_export(make_napari_viewer, qtbot, tiny_model: Path, small_slide: Path, tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    viewer.open(str(small_slide), plugin="napari-nh2st")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    assert widget.viewer is viewer  # not napari's proxy, behind which every layer is another object each time
    widget.use_model(str(tiny_model))
    assert "means nothing" in widget.job.banner.text()
    qtbot.mouseClick(widget.where.buttons["view"], LEFT)
    qtbot.mouseClick(widget.job.button, LEFT)
    qtbot.waitUntil(lambda: widget.controller.status.state is State.DONE, timeout=60_000)
    heatmap = viewer.layers[-1]
    assert np.isfinite(heatmap.data).sum() > 3
    widget.result.presenter.save_table(ExportChoice(file=tmp_path / "out.h5ad"))
    qtbot.waitUntil(lambda: (tmp_path / "out.h5ad").exists())
    qtbot.waitUntil(lambda: not widget.background.busy)
    saved = heatmap.save(str(tmp_path / "layer.csv"), plugin="napari-nh2st")
    assert Path(saved[0]).read_text().count("\n") > 3

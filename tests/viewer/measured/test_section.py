"""The fold "Measured" in a real window: a file is dropped in, looked at, used, and held against the prediction."""

from __future__ import annotations

import threading
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.model.card import TrainingSample
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.measured.section import MeasuredSection
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state.services import Services
from support import visium
from viewer.fakes import GENES, FakeServices, FakeSlide, card, hidden_at

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton
SPOTS = np.stack(np.meshgrid(np.arange(200, 1200, 100.0), np.arange(100, 900, 100.0)), axis=-1).reshape(-1, 2)


def counts_of(genes):
    """Counts that follow a spot's place, so that the stand-in for the engine is right about it."""
    rng = np.random.default_rng(0)
    rates = np.stack(
        [SPOTS[:, 0] / 20 + 5, SPOTS[:, 1] / 10 + 5, SPOTS.sum(axis=1) / 40, np.full(len(SPOTS), 400)], axis=1
    )
    return rng.poisson(rates)[:, [GENES.index(g) if g in GENES else 3 for g in genes]]


def h5ad(path, genes=GENES, spots=SPOTS):
    data = ad.AnnData(sp.csr_matrix(counts_of(genes), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = list(genes), spots
    data.write_h5ad(path)
    return str(path)


class Dock:
    """A window with the dock and its fold open."""

    def __init__(self, make_viewer, qtbot, slide=None, services=None) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, services or FakeServices()
        self.slide = slide or FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.viewer.show()
        self.workspace = self.widget.workspace
        self.fold = self.widget.folds["Measured"]
        self.section: MeasuredSection = self.fold.open()
        qtbot.waitUntil(self.section.isVisible)

    def until(self, condition, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout)

    def drop(self, *paths: str) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
        none, copy = Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
        entering = QDragEnterEvent(QPointF(5, 5).toPoint(), copy, mime, LEFT, none)
        self.section.dragEnterEvent(entering)
        assert entering.isAccepted()
        self.section.dropEvent(QDropEvent(QPointF(5, 5), copy, mime, LEFT, none))

    def compared(self, *paths: str):
        self.drop(*paths)
        self.until(lambda: self.section.comparison is not None)
        return self.section.comparison

    def rest(self) -> None:
        self.until(lambda: not self.section.task.running)

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def tick(self, box) -> None:
        self.qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))

    def predict(self) -> None:
        self.click(self.widget.where.buttons["whole"])
        self.click(self.widget.job.button)
        self.until(lambda: self.workspace.heatmap is not None and not self.widget.controller.running)

    def says(self) -> str:
        return self.section.task.sentence.text()

    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


def test_a_dropped_file_is_scored_drawn_and_tabled(dock: Dock, tmp_path) -> None:
    dock.predict()
    found = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section, heatmap = dock.section, dock.workspace.heatmap.layer
    assert section.summary.text().startswith("C9: mean PCC ")
    assert section.summary.text().endswith("over 4 genes, across 80 spots.")
    assert found.values("ERBB2")[1] == pytest.approx(hidden_at(SPOTS)[:, 0].astype(np.float32), abs=1e-3)
    assert dock.names()[1:] == ["ERBB2, predicted (her2st)", "ERBB2, measured (C9)"]
    layer = section.spots.layer
    np.testing.assert_allclose(layer.data, SPOTS[:, ::-1] - 0.5)
    np.testing.assert_allclose(layer.scale, dock.viewer.layers[0].scale)
    assert np.allclose(layer.size, 50)  # half the distance between spots
    assert layer.units == dock.viewer.layers[0].units
    heatmap.contrast_limits = low, high = (4.0, 8.0)
    dock.until(lambda: np.ptp(layer.face_color, axis=0).max() > 0.1)
    wanted = heatmap.colormap.map(np.clip((found.values("ERBB2")[0] - low) / (high - low), 0, 1))
    np.testing.assert_allclose(layer.face_color, wanted, atol=1e-5)
    assert list(section.table.frame.index) == list(found.table().index)
    assert section.banner.isHidden()
    assert "whether the patient is new to the model is not known" in section.caveats.text()


def test_the_spots_follow_the_gene_and_the_limits(dock: Dock, tmp_path) -> None:
    dock.predict()
    found = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section = dock.section
    row = list(section.table.frame.index).index("KRT8")
    index = section.table.view.model().index(row, 0)
    dock.qtbot.mouseClick(section.table.view.viewport(), LEFT, pos=section.table.view.visualRect(index).center())
    assert dock.workspace.state.gene == "KRT8"
    assert dock.names()[1:] == ["KRT8, predicted (her2st)", "KRT8, measured (C9)"]
    assert section.scatter.title.startswith("KRT8: PCC ")
    np.testing.assert_array_equal(section.scatter.measured, found.values("KRT8")[0])
    before = section.spots.layer.face_color.copy()
    heatmap = dock.workspace.heatmap.layer
    heatmap.contrast_limits = (4.0, 8.0)  # what is measured, unlike what the stand-in predicts
    dock.until(lambda: not np.allclose(section.spots.layer.face_color, before))
    before = section.spots.layer.face_color.copy()
    dock.widget.genes.colours.setCurrentIndex(2)
    dock.until(lambda: not np.allclose(section.spots.layer.face_color, before))


def test_the_difference_is_a_layer_of_its_own(dock: Dock, tmp_path) -> None:
    dock.predict()
    found = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section = dock.section
    dock.tick(section.show_difference)
    assert dock.names()[-1] == "ERBB2, predicted - measured (C9)"
    truth, predicted = found.values("ERBB2")
    features = section.difference.layer.features
    np.testing.assert_allclose(features["difference"], predicted - truth)
    colours = section.difference.layer.face_color
    high, low = colours[np.argmax(predicted - truth)], colours[np.argmin(predicted - truth)]
    assert high[0] > high[2] or predicted.max() < truth.max()  # orange where more is predicted
    assert low[2] > low[0]  # blue where less is
    assert "The colours reach to" in section.show_difference.toolTip()
    dock.tick(section.show_difference)
    assert not section.difference.layer.visible


def test_layers_may_be_hidden_renamed_and_deleted(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section = dock.section
    section.spots.layer.visible = False
    assert not section.show_spots.isChecked()
    dock.tick(section.show_spots)
    assert section.spots.layer.visible
    section.spots.layer.name = "mine"
    dock.workspace.state.request_gene("KRT8")
    assert section.spots.layer.name == "mine"
    dock.viewer.layers.remove(section.spots.layer)
    assert not section.show_spots.isChecked()
    dock.workspace.state.request_gene("ERBB2")
    assert "mine" not in dock.names()
    dock.tick(section.show_spots)
    assert dock.names()[-1] == "ERBB2, measured (C9)"
    dock.viewer.layers.remove(dock.workspace.heatmap.layer)
    dock.workspace.state.request_gene("KRT8")  # the heatmap is another layer from now on
    heatmap, before = dock.workspace.heatmap.layer, section.spots.layer.face_color.copy()
    heatmap.contrast_limits = (4.0, 8.0)
    dock.until(lambda: not np.allclose(section.spots.layer.face_color, before))
    dock.viewer.layers.clear()
    dock.qtbot.wait(100)
    assert section.comparison is None
    assert section.result.isHidden()


def test_a_gene_that_was_not_measured_is_a_sentence(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad", ["ERBB2", "KRT8", "OTHER"]))
    section = dock.section
    assert "2 of the model's 4 genes were not measured: CD3E, FLAT." in section.caveats.text()
    dock.workspace.state.request_gene("CD3E")
    assert section.gene_note.text() == "CD3E was not measured in C9: there is nothing to compare it with."
    assert not section.scatter.isVisible()
    assert dock.names()[-1] == "CD3E, not measured (C9)"
    assert np.ptp(section.spots.layer.face_color, axis=0).max() == 0
    dock.workspace.state.request_gene("KRT8")
    assert section.gene_note.text() == ""
    assert section.scatter.isVisible()


@pytest.mark.parametrize("by", ["name", "content"])
def test_a_section_of_the_training_is_said_in_plain_sight(dock: Dock, tmp_path, by) -> None:
    sample = TrainingSample(sample="C9", patient="C", spots=80, fingerprint="f" * 8 if by == "content" else None)
    dock.services.cards["demo"] = card("demo", training=[sample])
    dock.widget.use_model("demo")
    dock.compared(h5ad(tmp_path / ("C9.h5ad" if by == "name" else "other.h5ad")))
    assert dock.section.banner.isVisible()
    assert dock.section.banner.text().startswith("C9 was among this model's training sections")
    assert "patient is new" not in dock.section.caveats.text()


def test_another_frame_is_asked_for_and_shown_before_use(dock: Dock, tmp_path) -> None:
    h5ad(tmp_path / "small.h5ad", spots=SPOTS / 4)
    visium.outs(tmp_path / "V", counts_of(GENES), GENES, SPOTS * 2, image=(1920, 2560), diameter=110.0)
    dock.drop(tmp_path / "V")
    section = dock.section
    dock.until(lambda: section.frame.isVisible())
    assert section.doubt.text().startswith("The spots were laid on an image of about 2,560 x 1,920 px")
    assert section.scale.value() == 0.5
    rings = section.rings.layer
    np.testing.assert_allclose(rings.data, SPOTS[:, ::-1] - 0.5)
    assert np.allclose(rings.size, 55)
    assert section.comparison is None
    section.x.setValue(30)
    np.testing.assert_allclose(rings.data, SPOTS[:, ::-1] - 0.5 + (0, 30))
    section.x.setValue(0)
    dock.click(section.use)
    dock.until(lambda: section.comparison is not None)
    assert rings not in dock.viewer.layers
    assert section.frame.isHidden()
    np.testing.assert_allclose(section.comparison.scored.centres, SPOTS)
    assert np.allclose(section.spots.layer.size, 55)
    dock.drop(tmp_path / "small.h5ad")
    dock.until(lambda: section.frame.isVisible())
    assert "small corner" in section.doubt.text()
    dock.click(section.discard)
    assert section.held is None
    assert len(dock.viewer.layers) == 1
    assert "Drop a measurement" in section.hint.text()


def test_spots_off_the_slide_are_left_out_and_none_left_is_a_sentence(dock: Dock, tmp_path) -> None:
    spots = SPOTS.copy()
    spots[:2] += 5000
    dock.drop(h5ad(tmp_path / "C9.h5ad", spots=spots))
    section = dock.section
    dock.until(lambda: section.frame.isVisible())
    assert section.doubt.text().startswith("2 of 80 spots lie outside this slide.")
    section.scale.setValue(1)
    for spin in (section.x, section.y):
        spin.setValue(0)
    dock.click(section.use)
    dock.until(lambda: section.comparison is not None)
    assert "2 spots without a prediction left out." in section.caveats.text()
    dock.drop(h5ad(tmp_path / "far.h5ad", spots=SPOTS + 1e5))
    dock.until(lambda: section.frame.isVisible())
    section.scale.setValue(1)
    for spin in (section.x, section.y):
        spin.setValue(0)
    dock.click(section.use)
    dock.until(lambda: "no spot of far lies on this slide" in dock.says())
    assert section.again.isVisible()


def test_positions_are_asked_for_where_they_do_not_lie_beside(dock: Dock, tmp_path, monkeypatch) -> None:
    counts = pd.DataFrame(counts_of(GENES), columns=GENES, index=[f"{i}x1" for i in range(len(SPOTS))])
    counts.to_csv(tmp_path / "C9.tsv.gz", sep="\t")
    where = pd.DataFrame({"x": range(80), "y": 1, "pixel_x": SPOTS[:, 0], "pixel_y": SPOTS[:, 1]})
    where.to_csv(tmp_path / "somewhere.tsv", sep="\t", index=False)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "C9.tsv.gz"), ""))
    dock.section.load_file.trigger()
    dock.until(dock.section.positions.isVisible)
    assert "Where do the spots of C9.tsv.gz lie?" in dock.section.hint.text()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "somewhere.tsv"), ""))
    dock.click(dock.section.positions)
    dock.until(lambda: dock.section.comparison is not None)
    assert not dock.section.positions.isVisible()


def test_a_visium_folder_is_chosen_and_genes_match_by_ensembl_id(dock: Dock, tmp_path, monkeypatch) -> None:
    ids = ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]
    dock.services.cards["demo"] = card("demo", ensembl=ids)
    dock.widget.use_model("demo")
    visium.outs(tmp_path / "V", counts_of(GENES), ["HER2", "KRT8", "CD3E", "FLAT"], SPOTS, ids=ids)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path / "V"))
    dock.section.load_folder.trigger()
    dock.until(lambda: dock.section.comparison is not None)
    assert dock.section.comparison.missing == []
    assert dock.section.comparison.name == "V"


@pytest.mark.parametrize(
    ("name", "words"),
    [("broken.h5ad", "cannot read"), ("notes.pdf", "is no measurement"), ("other.h5ad", "do the gene names match")],
)
def test_what_cannot_be_used_is_one_sentence(dock: Dock, tmp_path, name, words) -> None:
    (tmp_path / "broken.h5ad").write_bytes(b"nothing")
    (tmp_path / "notes.pdf").touch()
    h5ad(tmp_path / "other.h5ad", ["X", "Y", "Z"])
    dock.drop(tmp_path / name)
    dock.until(lambda: words in dock.says())
    assert "\n" not in dock.says()
    assert dock.section.comparison is None


def test_repeated_ids_are_a_sentence(dock: Dock, tmp_path) -> None:
    data = ad.AnnData(sp.csr_matrix(counts_of(GENES), dtype=np.float32))
    data.obs_names, data.obsm["spatial"] = ["same"] * len(SPOTS), SPOTS
    data.write_h5ad(tmp_path / "twice.h5ad")
    dock.drop(tmp_path / "twice.h5ad")
    dock.until(lambda: "spot ids repeat" in dock.says())


def test_another_model_scores_anew_and_only_in_sight(dock: Dock, tmp_path) -> None:
    first = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    dock.widget.use_model("demo")
    dock.until(lambda: dock.section.comparison is not None)
    assert dock.section.comparison.card.name == "demo"
    assert dock.section.show_spots.isChecked()
    assert dock.section.spots.present
    dock.fold.open(False)
    dock.widget.use_model("her2st")
    dock.qtbot.wait(200)
    assert dock.section.comparison is None
    dock.fold.open()
    dock.until(lambda: dock.section.comparison is not None)
    assert dock.section.comparison is not first
    assert dock.section.comparison.card.name == "her2st"


def test_a_measurement_belongs_to_its_slide(dock: Dock, tmp_path) -> None:
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    other = FakeSlide(shape=(800, 900))
    other.fingerprint, other.path = "g" * 8, other.path.with_name("D1.svs")
    data, meta, _ = frames.slide_layer_data(other)
    dock.viewer.add_image(data, **meta)
    assert dock.section.held is None
    assert not dock.section.spots.present
    dock.widget.slides.combo.setCurrentIndex(0)
    assert dock.section.comparison is not None
    assert dock.section.spots.present


def test_pixel_size_set_later_lets_it_go_on(make_napari_viewer, qtbot, tmp_path) -> None:
    dock = Dock(make_napari_viewer, qtbot, FakeSlide(mpp=None))
    dock.drop(h5ad(tmp_path / "C9.h5ad"))
    dock.until(lambda: "how large its pixels are" in dock.section.hint.text())
    dock.widget.slides.spin.setValue(0.5)
    dock.click(dock.widget.slides.set)
    dock.until(lambda: dock.section.comparison is not None)
    np.testing.assert_allclose(dock.section.spots.layer.scale, 0.5)


def test_no_slide_and_nothing_open(make_napari_viewer, qtbot, tmp_path) -> None:
    dock = Dock(make_napari_viewer, qtbot)
    dock.viewer.layers.clear()
    dock.drop(h5ad(tmp_path / "C9.h5ad"))
    assert dock.says() == "Open the slide first: a measurement belongs to one."
    assert not dock.section.load.isEnabled()


def test_cancel_and_compare_again(dock: Dock, tmp_path) -> None:
    dock.services.gate = threading.Event()
    dock.drop(h5ad(tmp_path / "C9.h5ad"))
    dock.until(lambda: dock.services.streams != [])
    dock.click(dock.section.task.cancel_button)
    dock.rest()
    assert dock.says() == "Stopped."
    dock.services.gate = None
    dock.click(dock.section.again)
    dock.until(lambda: dock.section.comparison is not None)


def test_closing_the_dock_ends_it(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    heatmap = dock.workspace.heatmap.layer
    dock.viewer.window.remove_dock_widget(dock.widget)
    before = dock.section.spots.layer.face_color.copy()
    heatmap.contrast_limits = (4.0, 8.0)
    dock.qtbot.wait(150)
    np.testing.assert_array_equal(dock.section.spots.layer.face_color, before)
    dock.viewer.layers.clear()


def test_other_units_are_said_and_leave_no_difference(dock: Dock, tmp_path) -> None:
    dock.services.cards["demo"] = card("demo", label_recipe="log10-cp10k-panel-smoothed")
    dock.widget.use_model("demo")
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    assert not dock.section.show_difference.isEnabled()
    assert "values cannot" in dock.section.caveats.text()
    assert "MSE" not in dock.section.table.frame.columns


def test_five_thousand_spots_change_gene_quickly(dock: Dock, tmp_path) -> None:
    rng = np.random.default_rng(1)
    spots = rng.uniform((130, 10), (1270, 950), (5000, 2))
    data = ad.AnnData(sp.csr_matrix(rng.poisson(5, (5000, 4)), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = GENES, spots
    data.write_h5ad(tmp_path / "many.h5ad")
    dock.predict()
    dock.compared(str(tmp_path / "many.h5ad"))
    dock.tick(dock.section.show_difference)
    took = []
    for gene in ("KRT8", "CD3E", "ERBB2") * 3:
        dock.workspace.state.gene = gene
        since = time.process_time()
        dock.section._show_gene()
        took.append(time.process_time() - since)
        dock.qtbot.wait(60)
    print(f"{1000 * np.median(took):.0f} ms")
    assert np.median(took) < 0.2  # a tenth of a second where nothing else is at work


@pytest.mark.timeout(300)
def test_the_table_in_the_dock_is_that_of_evaluate(make_napari_viewer, qtbot, tmp_path) -> None:
    """The real engine, an untrained model and a section made for it."""
    from napari_nh2st.evaluation.protocol import evaluate
    from napari_nh2st.slides import open_slide
    from support.models import small_model
    from support.sections import GENES as MADE
    from support.sections import sheet

    samples = sheet(tmp_path, ("S1", "P1", 1))
    model = small_model(tmp_path, genes=MADE, gene_means=[5.0] * 4)
    wanted = evaluate(samples, model)["splits"][0]["models"]["nh2st-context"]
    with open_slide(tmp_path / "S1.tif") as slide:
        dock = Dock(make_napari_viewer, qtbot, slide, Services())
        dock.widget.use_model(str(model.path))
        found = dock.compared(tmp_path / "S1.h5ad")
        table = dock.section.table.frame
        for gene, figures in wanted["genes"].items():
            got = table.loc[gene, ["PCC", "low", "high", "MSE"]].to_numpy(dtype=float)
            assert got == pytest.approx([figures[k] for k in ("pcc", "low", "high", "mse")], abs=2e-4)
        assert found.figures["pcc_mean"] == pytest.approx(wanted["pcc_mean"], abs=2e-4)

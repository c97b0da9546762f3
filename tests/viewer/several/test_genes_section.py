"""The fold "Several genes" in a real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.analysis.signatures import levels_for, match
from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.signature import set_words
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.several.genes_section import NO_PINNED
from viewer.fakes import FakeServices, FakeSlide, card

LEFT = Qt.MouseButton.LeftButton


class Fold:
    """A window with the dock, a slide and the fold opened."""

    def __init__(self, make_viewer, qtbot) -> None:
        self.qtbot, self.viewer, self.services = qtbot, make_viewer(), FakeServices()
        data, meta, _ = frames.slide_layer_data(FakeSlide())
        self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.workspace = self.widget.workspace
        self.section = self.widget.folds["Several genes"].open()

    def predict(self) -> None:
        self.qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def click(self, button) -> None:
        self.widget.ensureWidgetVisible(button)
        self.qtbot.mouseClick(button, LEFT)

    def tick(self, box) -> None:
        self.qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))

    def pin(self, *genes: str) -> None:
        self.workspace.state.pinned = tuple(genes)

    def score(self, text: str) -> None:
        self.section.signature.genes.setPlainText(text)
        self.click(self.section.signature.button)
        self.qtbot.waitUntil(lambda: not self.section.signature.task.running, timeout=60_000)

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    @property
    def unit(self) -> str:
        return self.viewer.canvas.overlays["nh2st_unit"].text

    @property
    def legend(self) -> list[str]:
        shown = self.viewer.canvas.overlays.items()
        return [overlay.text for key, overlay in shown if key.startswith("nh2st_legend") and overlay.visible]


@pytest.fixture
def fold(make_napari_viewer, qtbot) -> Fold:
    return Fold(make_napari_viewer, qtbot)


@pytest.mark.viewer
def test_before_a_prediction_everything_says_what_is_missing(fold: Fold) -> None:
    section = fold.section
    assert not section.pinned.box.isEnabled()
    assert section.pinned.sentence.text() == NO_PINNED
    for button in (section.composite.show_button, section.signature.button):
        assert not button.isEnabled()
        assert "Predict first" in button.toolTip()
    fold.viewer.layers.clear()
    fold.pin("KRT8")
    assert "Predict first" in section.pinned.box.toolTip()


@pytest.mark.viewer
def test_pinned_genes_become_layers_that_stay_with_their_gene(fold: Fold) -> None:
    fold.predict()
    fold.pin("KRT8", "CD3E", "NOPE")
    fold.tick(fold.section.pinned.box)
    names = [layer.name for layer in fold.viewer.layers]
    assert names == ["C9", "ERBB2, predicted (her2st)", "KRT8, predicted (her2st)", "CD3E, predicted (her2st)"]
    assert fold.in_sight == names[:2]
    assert "does not predict NOPE" in fold.section.pinned.sentence.text()
    krt8 = fold.viewer.layers["KRT8, predicted (her2st)"]
    krt8.visible = True
    assert fold.unit.startswith("KRT8, predicted")
    fold.viewer.layers.selection.active = krt8
    fold.workspace.state.request_gene("FLAT")
    assert krt8.name == "KRT8, predicted (her2st)"
    np.testing.assert_array_equal(krt8.data, fold.workspace.map.values("KRT8"))
    assert fold.workspace.heatmap.layer.name == "FLAT, predicted (her2st)"
    fold.pin("CD3E")
    assert "KRT8, predicted (her2st)" not in fold.viewer.layers
    fold.tick(fold.section.pinned.box)
    assert [layer.name for layer in fold.viewer.layers] == ["C9", "FLAT, predicted (her2st)"]


@pytest.mark.viewer
def test_pinned_layers_fill_while_predicting(fold: Fold) -> None:
    fold.predict()
    shown = fold.workspace.map
    fold.pin("KRT8")
    fold.tick(fold.section.pinned.box)
    some = np.flatnonzero(shown.done)[:10]
    shown._state.reshape(-1)[some] = 0
    shown.count -= 10
    fold.workspace.maps.draw()
    krt8 = fold.viewer.layers["KRT8, predicted (her2st)"]
    assert np.isfinite(krt8.data).sum() == shown.count
    fold.predict()
    np.testing.assert_array_equal(krt8.data, shown.values("KRT8"))


@pytest.mark.viewer
def test_three_genes_in_one_image(fold: Fold) -> None:
    fold.predict()
    fold.pin("KRT8", "CD3E")
    part = fold.section.composite
    assert part.combos[0].currentText() == "ERBB2"  # the most trusted
    fold.click(part.use_pinned)
    assert [combo.currentText() for combo in part.combos] == ["KRT8", "CD3E", ""]
    field = part.combos[2].lineEdit()
    field.selectAll()
    fold.qtbot.keyClicks(field, "erbb2")
    fold.click(part.show_button)
    assert fold.in_sight == ["C9", "KRT8 + CD3E + ERBB2, predicted (her2st)"]
    assert [line.split()[1] for line in fold.legend[1:]] == ["KRT8", "CD3E", "ERBB2"]
    low, high = part.current.gene_limits[0].low, part.current.gene_limits[0].high
    assert part._scales[0].text() == f"{low:.2f} to {high:.2f}"
    fold.workspace.state.request_gene("CD3E")  # asked for: its heatmap comes out
    assert fold.in_sight == ["C9", "CD3E, predicted (her2st)"]
    assert fold.legend == []
    fold.viewer.layers["KRT8 + CD3E + ERBB2, predicted (her2st)"].visible = True
    assert len(fold.legend) == 4
    fold.viewer.layers.remove("KRT8 + CD3E + ERBB2, predicted (her2st)")
    assert fold.legend == []
    assert part._scales[0].isHidden() or part.current is None


@pytest.mark.viewer
def test_wrong_genes_are_one_sentence(fold: Fold) -> None:
    fold.predict()
    part = fold.section.composite
    for typed, said in ((("NOPE", "", ""), "does not predict NOPE"), (("", "", ""), "at least one"),
                        (("KRT8", "krt8", ""), "different genes")):  # fmt: skip
        for combo, text in zip(part.combos, typed, strict=True):
            combo.setCurrentText(text)
        fold.click(part.show_button)
        assert said in part.sentence.text()
    assert len(fold.viewer.layers) == 2


@pytest.mark.viewer
def test_a_pasted_signature_is_scored_as_scanpy_does(fold: Fold) -> None:
    fold.predict()
    part = fold.section.signature
    part.name.setCurrentText("luminal")
    fold.score("erbb2, NOPE")
    assert part.match.text() == "1 of its 2 genes is in the model; missing: NOPE. Mean held-out PCC of its genes 0.41."
    layer = fold.viewer.layers["signature luminal (her2st)"]
    prediction = fold.workspace.map.prediction()
    adata = AnnData(prediction.matrix(), var=pd.DataFrame(index=prediction.genes))
    sc.tl.score_genes(adata, ["ERBB2"], n_bins=levels_for(4))
    np.testing.assert_allclose(layer.data.reshape(-1)[fold.workspace.map.done], adata.obs["score"], atol=1e-4)
    assert np.isnan(layer.data.reshape(-1)[~fold.workspace.map.done]).all()
    assert fold.in_sight == ["C9", "signature luminal (her2st)"]
    assert fold.legend == ["signature luminal, predicted", "1 of its 2 genes, 60 tiles".replace(
        "60", str(fold.workspace.map.count)), "score, scanpy score_genes"]  # fmt: skip
    assert layer.colorbar.visible


@pytest.mark.viewer
def test_gmt_sets_are_chosen_by_name(fold: Fold, tmp_path: Path) -> None:
    file = tmp_path / "sets.gmt"
    file.write_text("A\tx\tERBB2\tKRT8\nB\tx\tCD3E\n")
    part = fold.section.signature
    part.load_file(str(file))
    assert part.genes.toPlainText() == "ERBB2 KRT8"
    fold.qtbot.keyClick(part.name, Qt.Key.Key_Down)
    part.name.activated.emit(part.name.currentIndex())
    assert (part.name.currentText(), part.genes.toPlainText()) == ("B", "CD3E")
    file.write_text("A\tx\n")
    part.load_file(str(file))
    assert "line 1 of sets.gmt has no genes" in part.task.sentence.text()
    assert part.name.count() == 2  # those of before are still there


@pytest.mark.viewer
def test_deleting_everything_while_it_scores(fold: Fold) -> None:
    fold.predict()
    part = fold.section.signature
    part.genes.setPlainText("ERBB2")
    fold.click(part.button)
    fold.viewer.layers.clear()
    fold.qtbot.waitUntil(lambda: not part.task.running, timeout=60_000)
    fold.widget.shut_down()
    fold.viewer.add_image(np.zeros((4, 4)))


def test_words_of_a_set() -> None:
    trust = {"A": GeneTrust(pcc=0.4), "B": GeneTrust(pcc=0.1)}
    evaluated = card(evaluation=Evaluation(kind="cross-patient", samples=["x"], pcc_mean=0.2, genes=trust))
    genes = [f"GENE{i}" for i in range(20)]
    assert set_words(match(["A", "B", "C"], ["A", "B", "C"]), evaluated) == (
        "3 of its 3 genes are in the model. Mean held-out PCC of its genes 0.25 (2 of them evaluated)."
    )
    said = set_words(match(["A", *genes], ["A"]), card(evaluation=None))
    assert said.startswith("1 of its 21 genes is in the model; missing: GENE0, GENE1")
    assert said.endswith("GENE11 and 8 more.")

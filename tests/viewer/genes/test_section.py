"""The gene field in a real window: names, recent and pinned genes, orders, limits of each gene, smoothing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer.genes import section as gene_section
from napari_nh2st.viewer.genes.gene_list import VARYING_FIRST
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide, card

pytestmark = pytest.mark.viewer
KEY = Qt.Key


class Window:
    def __init__(self, make_viewer, qtbot) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, FakeServices()
        data, meta, _ = frames.slide_layer_data(FakeSlide())
        self.viewer.add_image(data, **meta)
        self.dock = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.dock, name="NH2ST", area="right")
        self.genes, self.field = self.dock.genes, self.dock.genes.combo.lineEdit()

    def predict(self) -> None:
        self.qtbot.mouseClick(self.dock.where.buttons["whole"], Qt.MouseButton.LeftButton)
        self.qtbot.mouseClick(self.dock.job.button, Qt.MouseButton.LeftButton)
        self.qtbot.waitUntil(lambda: self.dock.controller.status.state is State.DONE, timeout=10_000)

    def type(self, text: str, *keys: Qt.Key) -> None:
        self.field.setFocus()
        self.field.selectAll()
        self.qtbot.keyClick(self.field, KEY.Key_Delete)
        self.qtbot.keyClicks(self.field, text)
        for key in keys:
            self.press(key)

    def press(self, key: Qt.Key) -> None:
        """Press a key where a real one would arrive: the popup has the keyboard while it is open."""
        popup = self.genes.combo.popup
        self.qtbot.keyClick(popup if popup.isVisible() else self.field, key)

    def offered(self) -> list[str]:
        popup = self.genes.combo.popup
        if not popup.isVisible():
            return []
        words = self.genes.combo._suggestion
        return [words(popup.model().index(row, 0))[0] for row in range(popup.model().rowCount())]

    @property
    def limits(self) -> tuple[float, float]:
        return tuple(self.dock.heatmap.layer.contrast_limits)


@pytest.fixture
def window(make_napari_viewer, qtbot) -> Window:
    return Window(make_napari_viewer, qtbot)


def test_another_name_and_an_ensembl_id_show_the_gene_and_say_so(window: Window) -> None:
    ids = ["ENSG00000141736", "ENSG00000170421.4", None, None]
    window.services.cards["ids"] = card("ids", ensembl=ids)
    window.dock.use_model("ids")
    window.type("her-2", KEY.Key_Return)
    assert window.genes.gene == "ERBB2"
    assert window.field.text() == "ERBB2"
    assert window.genes.trust.text() == "her-2 is ERBB2: held-out PCC 0.41 (0.33 to 0.48), same patient"
    window.type("ensg00000170421", KEY.Key_Return)
    assert window.genes.gene == "KRT8"
    window.type("cd3")
    assert window.offered()[:2] == ["CD3E (CD3)", "CD3D (CD3)   not predicted"]
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.genes.gene == "CD3E"
    assert window.genes.trust.text() == "CD3 is CD3E: not evaluated"


def test_a_known_gene_that_is_not_predicted_is_grey_and_the_shown_one_stays(window: Window) -> None:
    window.predict()
    told = []
    window.dock.state.gene_chosen.connect(told.append)
    window.type("ki-67")
    assert window.offered() == ["MKI67 (Ki-67)   not predicted"]
    index = window.genes.combo.popup.model().index(0, 0)
    assert window.genes.combo._suggestion(index)[1]  # grey
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.genes.trust.text() == "her2st does not predict MKI67 (Ki-67)"
    window.type("er", KEY.Key_Return)  # not ERBB2, which only begins so
    assert window.genes.trust.text() == "her2st does not predict ESR1 (er)"
    assert "gray" in window.field.styleSheet()
    assert (window.genes.gene, told) == ("ERBB2", [])
    assert window.dock.heatmap.gene == "ERBB2"
    window.press(KEY.Key_Escape)
    assert (window.field.text(), window.field.styleSheet()) == ("ERBB2", "")
    assert "held-out" in window.genes.trust.text()


def test_genes_shown_last_are_offered_in_an_empty_field_and_remembered(window: Window, make_napari_viewer) -> None:
    window.genes._stayed.setInterval(1)
    for gene in ("KRT8", "FLAT"):
        window.type(gene, KEY.Key_Return)
        window.qtbot.waitUntil(lambda gene=gene: window.genes.combo.recent[:1] == [gene], timeout=3000)
    window.genes._stayed.setInterval(5000)
    window.press(KEY.Key_Up)  # walked over: not looked at
    window.type("")
    assert window.offered() == ["FLAT   recent", "KRT8   recent"]
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.genes.gene == "KRT8"
    again = Window(make_napari_viewer, window.qtbot)
    assert again.genes.combo.recent == ["FLAT", "KRT8"]


def test_pinned_genes_are_chips_that_show_and_unpin(window: Window, make_napari_viewer) -> None:
    click = lambda widget: window.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)  # noqa: E731
    told, row = [], window.genes.pinned_row
    window.dock.state.events.pinned.connect(lambda pinned: told.append(list(pinned)))
    click(row.pin)
    window.type("krt8", KEY.Key_Return)
    assert row.pin.text() == "+"
    click(row.pin)
    assert told == [["ERBB2"], ["ERBB2", "KRT8"]]
    assert window.genes.pinned == ["ERBB2", "KRT8"]
    assert row.pin.text() == "−"
    click(row.chips["ERBB2"])
    assert window.genes.gene == "ERBB2"
    window.qtbot.keyClick(row.chips["KRT8"], KEY.Key_Space)
    assert window.genes.gene == "KRT8"
    again = Window(make_napari_viewer, window.qtbot)
    assert again.dock.workspace.state.pinned == tuple(again.genes.pinned_row.chips) == ("ERBB2", "KRT8")
    window.qtbot.keyClick(row.chips["ERBB2"], KEY.Key_Delete)
    click(row.pin)
    assert window.genes.pinned == []
    assert list(row.chips) == []


def test_a_pinned_gene_of_another_model_stays_and_says_so(window: Window) -> None:
    window.genes.toggle_pin("ESR1")
    assert "does not predict" in window.genes.pinned_row.chips["ESR1"].toolTip()
    window.qtbot.mouseClick(window.genes.pinned_row.chips["ESR1"], Qt.MouseButton.LeftButton)
    assert window.genes.trust.text() == "her2st does not predict ESR1"
    assert window.genes.gene == "ERBB2"


def test_sorted_by_spatial_variability(window: Window, monkeypatch) -> None:
    asked = []

    def measured(part, most, cancelled) -> np.ndarray:
        asked.append(most)
        return np.array([0.2, 0.9, 0.5, np.nan])

    monkeypatch.setattr(gene_section, "variability", measured)
    order, combo = window.genes.order, window.genes.combo
    spatial = order.findData(VARYING_FIRST)
    assert not order.model().item(spatial).isEnabled()
    assert "Predict first" in order.itemData(spatial, Qt.ItemDataRole.ToolTipRole)
    window.predict()
    assert order.model().item(spatial).isEnabled()
    order.setCurrentIndex(spatial)
    assert "Measuring" in window.genes.measuring.text()
    assert combo.listed() == ["CD3E", "ERBB2", "FLAT", "KRT8"]  # it stays meanwhile
    window.qtbot.waitUntil(lambda: combo.listed()[0] == "KRT8", timeout=5000)
    assert combo.listed() == ["KRT8", "CD3E", "ERBB2", "FLAT"]
    assert asked == [window.dock.controller.map.count]
    assert window.genes.measuring.text() == ""
    assert combo._line(combo.model().index(2, 0))[0] == "ERBB2   I 0.20   PCC 0.41 (0.33 to 0.48)"
    assert combo._line(combo.model().index(3, 0))[0] == "FLAT   constant"
    assert window.genes.gene == "ERBB2"  # what is in sight stays
    order.setCurrentIndex(0)
    order.setCurrentIndex(spatial)
    assert len(asked) == 1  # known already
    window.dock.use_model("demo")
    assert order.currentData() != VARYING_FIRST
    assert combo.listed() == ["CD3E", "ERBB2", "FLAT", "KRT8"]


def test_real_spatial_variability(window: Window) -> None:
    window.predict()
    window.genes.order.setCurrentIndex(window.genes.order.findData(VARYING_FIRST))
    window.qtbot.waitUntil(lambda: window.genes.combo.figures is not None, timeout=60_000)
    figures = window.genes.combo.figures
    assert min(figures["ERBB2"], figures["KRT8"]) > 0.5  # x and y
    assert np.isnan(figures["FLAT"])
    assert window.genes.combo.listed()[-1] == "FLAT"


def test_limits_by_hand_come_back_with_their_gene_until_reset(window: Window) -> None:
    genes = window.genes
    window.predict()
    fitted = window.limits
    assert not genes.reset.isEnabled()
    assert "not set by hand" in genes.reset.toolTip()
    window.dock.heatmap.layer.contrast_limits = (0.2, 0.4)  # as napari's slider does
    assert "0.20 to 0.40 ln(1 + counts per 10,000), set by hand" in genes.scale.text()
    genes.choose("KRT8")
    assert not genes.reset.isEnabled()
    genes.choose("ERBB2")
    assert window.limits == (0.2, 0.4)
    window.qtbot.mouseClick(genes.reset, Qt.MouseButton.LeftButton)
    assert window.limits == pytest.approx(fitted)
    assert not genes.reset.isEnabled()
    window.qtbot.mouseClick(genes.lock, Qt.MouseButton.LeftButton)
    if not genes.lock.isChecked():  # the click fell beside the box of a wide label
        genes.lock.setChecked(True)
    assert not genes.limits.isEnabled()
    genes.choose("CD3E")
    assert window.limits == pytest.approx(fitted)
    genes.lock.setChecked(False)
    assert window.limits != pytest.approx(fitted)


def test_smooth_is_for_the_eye_alone(window: Window, monkeypatch) -> None:
    window.predict()
    shown, image = window.dock.controller.map, window.dock.heatmap
    window.genes.smooth.setChecked(True)
    assert image.layer.data.shape == (4 * shown.rows, 4 * shown.columns)
    np.testing.assert_array_equal(image.values, shown.values("ERBB2"))
    window.genes.choose("KRT8")
    np.testing.assert_array_equal(image.values, shown.values("KRT8"))
    monkeypatch.setattr(type(image), "can_smooth", False)
    window.genes.smooth.setChecked(False)
    window.genes.smooth.setChecked(True)
    assert image.layer.data.shape == (shown.rows, shown.columns)
    assert "Too many tiles to smooth" in window.genes.scale.text()


def test_the_first_gene_is_one_that_can_be_trusted(window: Window) -> None:
    from napari_nh2st.model.card import Evaluation, GeneTrust

    trust = {"CD3E": GeneTrust(pcc=0.6, low=-0.1, high=0.9), "KRT8": GeneTrust(pcc=0.3, low=0.2, high=0.4)}
    evaluation = Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.4, genes=trust)
    window.services.cards["c"] = card("c", genes=["A", "CD3E", "KRT8", "B"], evaluation=evaluation)
    window.dock.use_model("c")
    assert window.genes.gene == "KRT8"


def test_twenty_thousand_genes_stay_fluid(window: Window) -> None:
    genes = [f"GENE{i}" for i in range(20_000)]
    window.services.cards["large"] = card("large", genes=genes, gene_means=None, evaluation=None)
    window.dock.use_model("large")
    started = time.monotonic()
    window.type("gene19999")
    typing = time.monotonic() - started
    assert window.offered() == ["GENE19999"]
    started = time.monotonic()
    window.press(KEY.Key_Escape)
    window.genes.combo.showPopup()
    QApplication.processEvents()
    opening = time.monotonic() - started
    window.genes.combo.hidePopup()
    print(f"typing {typing:.3f} s, opening {opening:.3f} s")
    assert typing < 1.0  # ten keys
    assert opening < 1.0


def test_a_broken_table_of_names_is_told_and_the_dock_goes_on(make_napari_viewer, qtbot, tmp_path, monkeypatch) -> None:
    table = tmp_path / "gene_names.tsv"
    table.write_text("gene\nA\n")
    for name in ("names_file",):
        monkeypatch.setattr(gene_section, name, lambda: table)
    monkeypatch.setattr("napari_nh2st.model.gene_names.names_file", lambda: table)
    window = Window(make_napari_viewer, qtbot)
    qtbot.waitUntil(lambda: "symbol" in window.dock.job.sentence.text(), timeout=5000)
    window.type("her2", KEY.Key_Return)
    assert window.genes.gene == "ERBB2"
    table.write_text("symbol\talias_symbol\nKRT8\tmy favourite\n")
    window = Window(make_napari_viewer, qtbot)
    qtbot.waitUntil(lambda: window.genes._names.symbols.get("myfavourite") is not None, timeout=5000)
    window.type("my favourite", KEY.Key_Return)
    assert window.genes.gene == "KRT8"

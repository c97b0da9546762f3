"""The fold "Several models" in a real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication

from napari_nh2st.viewer.kit.table_window import TableWindow
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.models.messages import NO_MEASUREMENT
from napari_nh2st.viewer.several.messages import MODELS_FIRST
from viewer.measured.material import h5ad
from viewer.models.views import Services
from viewer.several.test_slides_section import Window
from viewer.several.views import slide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class ModelsWindow(Window):
    """A window with one slide and three models to choose from."""

    def __init__(self, make_viewer, qtbot) -> None:
        super().__init__(lambda: make_viewer(show=True), qtbot, ())
        self.widget.workspace.services.cards.update(Services().cards)
        self.widget.workspace.services.decoder = Services().decoder
        self.slides = [self.open(slide("A"))]
        self.section = self.widget.folds["Several models"].open()
        self.side, self.agreement, self.right = self.section.side, self.section.agreement, self.section.right

    def predict_with(self, model: str) -> None:
        self.widget.use_model(model)
        self.predict()
        self.qtbot.wait(20)

    def click(self, widget) -> None:
        at = QPoint(8, widget.height() // 2)  # of a box, its tick
        self.qtbot.mouseClick(widget, LEFT, pos=at)

    def laid_out(self) -> bool:
        side = self.side.presenter._side
        return side is not None and not side.entering

    def say_at(self, cell: int) -> str:
        """Return the status line over a cell of the map."""
        heatmap = self.widget.heatmap
        return self.say_on(heatmap.layer, divmod(cell, heatmap.map.columns))

    def say_on(self, layer, place) -> str:
        """Return the status line over a place (row, column) of a layer."""
        self.viewer.mouse_over_canvas = True
        self.viewer.cursor.position = tuple(layer.data_to_world(place))
        return str(self.viewer.status)

    @property
    def copies(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if kind_of(layer) is Kind.COPY]


def value(prediction_map, cell: int) -> float:
    return float(prediction_map.values("ERBB2", np.array([cell]))[0])


def test_a_person_compares_two_models(make_napari_viewer, qtbot, tmp_path: Path) -> None:
    window = ModelsWindow(make_napari_viewer, qtbot)
    section, side, agreement, right = window.section, window.side, window.agreement, window.right
    window.predict_with("her2st")
    assert section.hint.text().startswith("Only her2st has predicted this slide.")
    assert not side.isVisible()
    window.predict_with("other")
    assert section.hint.text() == "4 genes in common."
    assert [section.list.item(i).text() for i in range(2)] == ["her2st: 20 tiles, 4 genes", "other: 20 tiles, 4 genes"]
    before = window.in_sight
    window.click(side.button)
    qtbot.waitUntil(window.laid_out)
    qtbot.wait(30)
    assert window.copies == ["A · her2st", "A · other"]
    assert window.viewer.canvas.grid.actual_shape(window.viewer.layers) == (1, 2)
    assert side.sentence.text().startswith("Each map has its model's own limits")
    slides = window.widget.folds["Several slides"].open()
    assert slides.button.reason_off == MODELS_FIRST
    window.gene("KRT8")
    first, second = (each.heatmap for each in section.selection.maps)
    assert (first.gene, second.gene) == ("KRT8", "KRT8")
    window.click(side.same_limits)
    assert first.limits == second.limits
    main = window.viewer.window._qt_window
    main.activateWindow()
    qtbot.waitUntil(main.isActiveWindow)
    qtbot.keyClick(main, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert window.copies == []
    assert [name.replace("KRT8", "ERBB2") for name in window.in_sight] == before
    window.click(agreement.button)
    qtbot.waitUntil(lambda: agreement.table.frame is not None)
    assert agreement.table.isVisible()
    window.click(agreement.layer)
    qtbot.waitUntil(lambda: window.in_sight == ["A", "A · KRT8 · disagreement of her2st and other"])
    row = list(agreement.table.frame.index).index("ERBB2")
    rectangle = agreement.table.view.visualRect(agreement.table.view.model().index(row, 0))
    qtbot.mouseClick(agreement.table.view.viewport(), LEFT, pos=rectangle.center())
    qtbot.waitUntil(lambda: window.in_sight == ["A", "A · ERBB2 · disagreement of her2st and other"])
    first, second = section.selection.maps
    assert window.say_at(cell := int(np.flatnonzero(first.map.done)[3])) == (
        f"ERBB2 her2st {value(first.map, cell):z.2f}, other {value(second.map, cell):z.2f} · difference "
        f"{agreement.presenter.compared.image.values.flat[cell]:+z.2f} standard deviations"
    )
    window.click(agreement.table.enlarge)
    assert any(isinstance(each, TableWindow) and each.isVisible() for each in QGuiApplication.instance().allWidgets())
    window.click(agreement.layer)
    assert window.in_sight == ["A", "A · ERBB2 · predicted (other)"]
    assert right.why_not.text() == NO_MEASUREMENT
    measured = window.widget.folds["Measured"].open()
    measured.presenter.open([h5ad(tmp_path / "A.h5ad")])
    qtbot.waitUntil(lambda: measured.comparison is not None)
    qtbot.waitUntil(lambda: right.button.isEnabled())
    window.click(right.button)
    qtbot.waitUntil(lambda: right.presenter.right is not None)
    window.click(right.layer)
    assert window.in_sight == ["A", "A · ERBB2 · her2st or other, the nearer"]
    spots = window.viewer.layers["A · ERBB2 · her2st or other, the nearer"]
    said = window.say_on(spots, spots.data[0])
    assert said.startswith(f"ERBB2 measured {spots.features['measured'].iloc[0]:z.2f}, her2st ")
    assert said.endswith(f" · {spots.features['nearer'].iloc[0]} is nearer")
    assert list(right.table.frame.columns) == ["her2st", "other", "nearer"]
    written = right.table.write(tmp_path / "right.csv").read_text()
    assert written.startswith("gene,her2st,other,difference,low,high,nearer,spots")


def test_the_dock_may_be_closed_at_any_moment(make_napari_viewer, qtbot) -> None:
    window = ModelsWindow(make_napari_viewer, qtbot)
    for model in ("her2st", "other"):
        window.predict_with(model)
    in_sight, names = window.in_sight, [layer.name for layer in window.viewer.layers]
    window.click(window.side.button)  # still being laid out
    window.click(window.agreement.button)
    window.viewer.window.remove_dock_widget(window.widget.parentWidget())
    qtbot.wait(100)
    assert window.in_sight == in_sight
    assert [layer.name for layer in window.viewer.layers] == names
    assert not window.viewer.canvas.grid.enabled
    assert np.isfinite(window.viewer.scene.camera.zoom)

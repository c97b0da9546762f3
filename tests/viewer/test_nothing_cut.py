"""No text of the dock is cut off at 320 px, with napari's font as it comes and at half as large again."""

from __future__ import annotations

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox

from viewer.cut_text import cut_texts
from viewer.several.test_slides_section import Window
from viewer.several.views import slide

pytestmark = pytest.mark.viewer


def test_every_text_of_the_dock_is_read_whole_at_320_px(make_napari_viewer, qtbot) -> None:
    window = Window(lambda: make_napari_viewer(show=True), qtbot, (slide("A"), slide("B")))
    dock, scroll = window.widget, window.widget.scroll
    window.predict()
    dock.use_model("demo")
    window.predict()  # two models: all of the section on them
    for fold in dock.folds.values():
        fold.open()
    main, docked = window.viewer.window._qt_window, dock.parentWidget()
    fixed: list[QComboBox] = [dock.genes.order, dock.genes.limits.percentiles.native, dock.genes.limits.colormap.native]
    for size in (9, 14):
        get_settings().appearance.font_size = size
        main.resizeDocks([docked], [320], Qt.Orientation.Horizontal)
        qtbot.wait(100)
        if size == 9:
            assert dock.width() == 320
            line = dock.genes.field.lineEdit()
            assert line.fontMetrics().horizontalAdvance("DEMO-TUMORIN") + 4 <= line.width()  # the demo's first gene
        for index in range(max(combo.count() for combo in fixed)):
            for combo in fixed:  # whatever is chosen
                combo.blockSignals(True)
                combo.setCurrentIndex(index % combo.count())
                combo.blockSignals(False)
            QApplication.processEvents()
            assert list(cut_texts(scroll.widget())) == []
        assert scroll.widget().width() <= scroll.viewport().width()

"""Other people's models in a real window: the examples of the docs are chosen, predict, and say what they lack."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_nh2st.model.predictors import named_files
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.context.messages import ALONE_ANYWAY
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.messages import ADD_FILE_WARNING
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.trust.messages import NOT_OFFERED
from support.predictors import DARK, name_files, predictor_file, write_lazyslide, write_ridge, write_torchscript

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton
GENES = {"path2space": "ESR1", "tile-genes": "VIM", "ridge": "CD74"}


class Window:
    """The dock with a slide, and a list of other people's models."""

    def __init__(self, make_viewer, qtbot, slide) -> None:
        self.viewer, self.qtbot = make_viewer(), qtbot
        data, meta, _ = frames.slide_layer_data(open_slide(slide))
        self.viewer.add_image(data, **meta)
        self.dock = PredictWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="NH2ST", area="right")
        self.viewer.show()
        self.models = self.dock.models

    def until(self, condition, timeout: int = 60_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout)

    def choose(self, name: str) -> None:
        self.models.combo.setFocus()
        self.qtbot.keyClicks(self.models.combo, name)
        assert self.models.combo.currentText() == name

    def predict(self) -> None:
        self.qtbot.mouseClick(self.dock.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.dock.job.button, LEFT)
        self.until(lambda: self.dock.controller.running)
        self.until(lambda: not self.dock.controller.running)

    @property
    def texts(self) -> list[str]:
        return [self.models.combo.itemText(i) for i in range(self.models.combo.count())]


@pytest.fixture
def window(make_napari_viewer, qtbot, small_slide, tmp_path, monkeypatch) -> Window:
    folders = [tmp_path / name for name in GENES]
    for folder in folders:
        folder.mkdir()
    broken = tmp_path / "broken.py"
    broken.write_text("import a_package_that_is_not_there")
    files = write_lazyslide(folders[0], monkeypatch), write_torchscript(folders[1]), write_ridge(folders[2]), broken
    name_files(monkeypatch, tmp_path, *files)
    return Window(make_napari_viewer, qtbot, small_slide)


def test_the_examples_are_listed_chosen_and_drawn_and_say_what_they_do_not_offer(window: Window) -> None:
    dock = window.dock
    window.until(lambda: "ridge" in window.texts)
    assert window.texts == ["demo", "demo-paper", "her2st", "path2space", "ridge", "tile-genes"]
    assert window.models.combo.currentText() == "her2st"
    why = "ModuleNotFoundError: No module named 'a_package_that_is_not_there'."
    assert window.models.broken.text() == f"broken does not work: {why}"
    assert "broken.py" in window.models.broken.toolTip()
    trust, context = dock.folds["Trust"].open(), dock.folds["Context"].open()
    for name, gene in GENES.items():
        window.choose(name)
        assert ", version 1, not a model of NH2ST" in window.models.line.text()
        window.predict()
        shown = dock.controller.map
        assert shown.card.name == name
        dock.state.request_gene(gene)
        window.until(lambda gene=gene: gene in dock.heatmap.layer.name)
        values = dock.heatmap.layer.data
        assert np.isfinite(values).sum() == shown.count > 0
        np.testing.assert_allclose(values, shown.values(gene), equal_nan=True)
        assert np.nanmax(values) > np.nanmin(values)
        assert trust.figures.text() == f"{gene}: no held-out accuracy is known for this model."
        assert trust.tissue.share.text() == NOT_OFFERED
        assert trust.tissue.button.reason_off == NOT_OFFERED
        assert dock.where.detail.isEnabled() == (name == "ridge")
        assert ALONE_ANYWAY in context.show_button.toolTip()


def test_a_python_file_is_added_after_a_warning_and_a_bad_one_says_why_not(
    make_napari_viewer, qtbot, small_slide, tmp_path, monkeypatch
) -> None:
    name_files(monkeypatch, tmp_path)
    window = Window(make_napari_viewer, qtbot, small_slide)
    models, bad = window.models, tmp_path / "broken.py"
    bad.write_text("import a_package_that_is_not_there")
    for file in (bad, predictor_file(tmp_path, name="mine", more=DARK)):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *asked, file=file: (str(file), ""))
        models.add_file.trigger()
        (box,) = (box for box in models.findChildren(QMessageBox) if box.isVisible())
        assert box.text() == ADD_FILE_WARNING
        qtbot.mouseClick(models.choose_file, LEFT)
        if file is bad:
            window.until(lambda: models.broken.text().startswith("broken.py was not added: "))
            models.list_others([])  # the search for models, which may end later than the try of the file
            assert "a_package_that_is_not_there" in models.broken.text()
    window.until(lambda: models.combo.currentText() == "dark")
    assert models.broken.text() == ""
    assert named_files() == [tmp_path / "mine.py"]

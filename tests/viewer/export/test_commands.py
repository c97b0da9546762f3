"""The commands of the Plugins menu, by the forms that napari makes of them."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from PIL import Image

from napari_nh2st.viewer.export import commands, saving
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from viewer.fakes import FakeSlide
from viewer.genes.test_hover import made_map

pytestmark = pytest.mark.viewer


class Form:
    def __init__(self, viewer, name: str) -> None:
        values, meta = heatmap_data(made_map(FakeSlide(), done=20), "KRT8")
        viewer.add_image(np.zeros((9, 9)), name="no heatmap")
        self.heatmap = viewer.add_image(values, **meta)
        _, self.form = viewer.window.add_plugin_dock_widget("napari-nh2st", name)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    for module, name in ((saving, "show_info"), (saving, "show_error"), (commands, "show_error")):
        monkeypatch.setattr(module, name, lines.append)
    return lines


def test_a_figure_by_napari_s_form(make_napari_viewer, qtbot, tmp_path: Path, said: list[str]) -> None:
    window = Form(make_napari_viewer(), "NH2ST figure")
    form = window.form
    assert list(form.heatmap.choices) == [window.heatmap]
    for name, value in {"genes": "krt8, CD3E", "width": 4, "unit": "inches", "dpi": 100, "file": "a.png"}.items():
        form[name].value = tmp_path / value if name == "file" else value
    form()
    qtbot.waitUntil(lambda: len(said) == 2)
    assert said[0] == "Writing…"
    assert said[1].startswith(f"Saved {tmp_path / 'a.png'}")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == pytest.approx(400, abs=1)
        assert "--gene KRT8 --gene CD3E" in str(picture.text)
    form.genes.value = "NOPE"
    form()
    assert said[2:] == ["the model her2st does not predict NOPE"]
    form["genes"].value, form["width"].value = "", 300
    form()
    assert said[3:] == ["A figure is 1.18 to 19.7 inches wide, not 300"]


def test_an_export_by_napari_s_form(make_napari_viewer, qtbot, tmp_path: Path, said: list[str]) -> None:
    window = Form(make_napari_viewer(), "NH2ST export")
    window.form.genes.value, window.form.file.value = "cd3e", tmp_path / "a"
    window.form()
    qtbot.waitUntil(lambda: len(said) == 2)
    assert said[1] == f"Saved {tmp_path / 'a.h5ad'}"
    assert list(anndata.read_h5ad(tmp_path / "a.h5ad").var_names) == ["CD3E"]
    window.form.file.value = tmp_path / "gone" / "b"
    window.form()
    assert said[2] == f"There is no folder {tmp_path / 'gone'}"


def test_without_a_heatmap_it_says_where_one_comes_from(said: list[str], tmp_path: Path) -> None:
    commands.export_prediction(None, file=tmp_path / "a")
    commands.save_figure(None, file=tmp_path / "a.pdf")
    assert said == [commands.NO_HEATMAP] * 2

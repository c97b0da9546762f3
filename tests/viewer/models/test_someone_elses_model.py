"""Someone else's model beside ours, with the real engine and without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.layers.roles import change_role
from napari_nh2st.viewer.measured.measurement import read_measurement
from napari_nh2st.viewer.state.services import Services
from support.models import small_model
from support.predictors import DARK, name_files, predictor_file
from support.sections import GENES, section
from viewer.models.views import Models


def test_it_is_compared_and_held_against_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section(tmp_path, "S1", "P1", 1)
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path, more=DARK))
    ours = str(small_model(tmp_path, n_genes=4, genes=GENES, name="ours").path)
    models = Models(open_slide(tmp_path / "S1.tif"), Services(), ours)
    for model in (ours, "dark"):
        models.use_model(model)
        models.predict()
    assert [each.name for each in models.selection.maps] == ["ours", "dark"]
    assert models.selection.maps[0].map.cell != models.selection.maps[1].map.cell
    models.look()
    assert models.view.side_off == models.view.compare_off == ""
    models.agreement.compare()
    assert models.view.compared is not None, models.view.work.said
    models.agreement.toggle_layer(True)
    models.state.choose_gene("DARK")
    coarsest = max((each.map for each in models.selection.maps), key=lambda shown: shown.cell)
    assert models.view.compared.image.map is coarsest
    assert np.isfinite(models.view.compared.image.values).sum() == len(models.view.compared.figures)
    measurement = read_measurement([str(tmp_path / "S1.h5ad")], models.state.slide, [], lambda *_: None, lambda: False)
    measurement.use()
    change_role(models.state.slide_layer, loaded=measurement)
    models.look()
    models.right.ask()
    assert models.view.right is not None, models.view.right_work.said
    assert models.view.right.table.dark["DARK"] > 0.8

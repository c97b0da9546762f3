"""Several models on one slide, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from napari_nh2st.viewer.layers.colour_bar import span_words
from napari_nh2st.viewer.layers.roles import Kind, change_role, kind_of
from napari_nh2st.viewer.measured.measurement import read_measurement
from napari_nh2st.viewer.models.messages import (
    COMPARE_FIRST,
    MORE_SINCE,
    NO_MEASUREMENT,
    NOTHING_YET,
    ONE_TICKED,
    OTHER_UNITS,
    OWN_LIMITS_SAID,
    SAME_LIMITS_SAID,
    SLIDES_FIRST,
)
from napari_nh2st.viewer.models.nearer import nearer_colours, nearer_key
from viewer.fakes import card
from viewer.measured.material import h5ad
from viewer.models.views import Models, Services
from viewer.several.views import slide


@pytest.fixture
def models() -> Models:
    return Models(slide("A"))


@pytest.fixture
def two(models: Models) -> Models:
    models.predict_with("her2st", "other")
    return models


def test_the_section_says_what_is_missing(models: Models) -> None:
    assert models.selection.words == NOTHING_YET == models.view.side_off == models.view.compare_off
    models.predict_with("her2st")
    assert (
        models.selection.words == "Only her2st has predicted this slide. Choose another model above and press Predict."
    )
    models.predict_with("other")
    assert models.selection.words == "4 genes in common."
    assert [each.words for each in models.selection.maps] == ["her2st: 20 tiles, 4 genes", "other: 20 tiles, 4 genes"]
    models.selection.tick("other", False)
    assert models.view.compare_off == models.selection.words == ONE_TICKED
    models.selection.tick("other", True)
    models.predict_with("third")
    assert models.selection.words == "2 genes in common."
    models.open(slide("B"))
    assert models.selection.words == NOTHING_YET


def test_of_a_models_two_details_the_one_in_sight_counts(two: Models) -> None:
    coarse = two.map
    two.state.fine = True
    two.predict()
    assert [each.map.fine for each in two.selection.maps] == [False, True]
    two.presenter.choose_slide(two.state.slide_layer)
    two.state.show_map(coarse)
    assert [each.map.fine for each in two.selection.maps] == [False, False]


def test_models_side_by_side_and_back(two: Models) -> None:
    before, order = two.in_sight, two.names()
    two.toggle(True)
    heatmaps = [each.heatmap for each in two.selection.maps]
    assert two.cells == [[f"A · {name}", heatmap.layer.name] for name, heatmap in zip(
        ("her2st", "other"), heatmaps, strict=True
    )]  # fmt: skip
    assert OWN_LIMITS_SAID in two.view.side_sentence
    assert heatmaps[0].limits != heatmaps[1].limits
    two.state.choose_gene("KRT8")
    assert [heatmap.gene for heatmap in heatmaps] == ["KRT8", "KRT8"]
    two.side.share_limits(True)
    assert SAME_LIMITS_SAID in two.view.side_sentence
    assert heatmaps[0].limits == heatmaps[1].limits
    bars = [heatmap.layer.colorbar for heatmap in heatmaps]
    assert [bar.visible for bar in bars] == [True, False]
    two.state.choose_gene("CD3E")
    assert heatmaps[0].limits == heatmaps[1].limits
    assert [bar.visible for bar in bars] == [True, False]
    assert two.viewer.canvas.overlays["nh2st_unit"].text.endswith(span_words(*heatmaps[1].layer.contrast_limits))
    two.side.share_limits(False)
    assert heatmaps[0].limits != heatmaps[1].limits
    assert [bar.visible for bar in bars] == [True, True]
    two.side.share_limits(True)
    two.toggle(False)
    assert [bar.visible for bar in bars] == [True, True]
    assert not two.viewer.canvas.grid.enabled
    assert [name.replace("CD3E", "ERBB2") for name in two.in_sight] == before
    assert [name.replace("CD3E", "ERBB2") for name in two.names()] == order


def test_colours_of_different_units_are_not_shared() -> None:
    services = Services()
    services.cards["other"] = card("other", evaluation=None, label_recipe="log10-cp10k-panel-smoothed")
    desk = Models(slide("A"), services)
    desk.predict_with("her2st", "other")
    desk.look()
    assert desk.view.no_same_limits == OTHER_UNITS
    desk.toggle(True)
    desk.side.share_limits(True)
    heatmaps = [each.heatmap for each in desk.selection.maps]
    assert heatmaps[0].limits != heatmaps[1].limits
    assert [heatmap.layer.colorbar.visible for heatmap in heatmaps] == [True, True]


def test_limits_by_hand_count_for_all_models(two: Models) -> None:
    two.toggle(True)
    first, second = (each.heatmap for each in two.selection.maps)
    first.layer.contrast_limits = (0.2, 0.3)
    assert tuple(second.layer.contrast_limits) == (0.2, 0.3)
    assert SAME_LIMITS_SAID in two.view.side_sentence
    two.workspace.maps.forget_limits()
    assert first.limits != second.limits


def test_a_third_model_joins_and_a_gene_that_it_lacks_is_named(two: Models) -> None:
    two.state.choose_gene("CD3E")
    two.toggle(True)
    two.predict_with("third")
    assert [names[0] for names in two.cells] == ["A · her2st", "A · other", "A · third"]
    two.state.choose_gene("CD3E")
    assert "third does not predict CD3E: its map still shows ERBB2." in two.view.side_sentence
    two.selection.tick("third", False)
    assert len(two.cells) == 2


@pytest.mark.parametrize("how", ["grid", "copy", "heatmap", "slide", "dock", "other slide", "results"])
def test_it_leaves_nothing_behind_however_it_ends(two: Models, how: str) -> None:
    viewer, maps = two.viewer, two.selection.maps
    two.toggle(True)
    if how == "grid":
        viewer.canvas.grid.enabled = False
    elif how == "copy":
        viewer.layers.remove(two.side.cells[0])
    elif how == "heatmap":
        viewer.layers.remove(maps[0].heatmap.layer)
    elif how == "slide":
        viewer.layers.remove("A")
    elif how == "dock":
        two.workspace.close()
    elif how == "other slide":
        two.open(slide("B"))
    else:
        two.workspace.forget(maps[0].map, "cleared")
        viewer.layers.remove(maps[0].heatmap.layer)
    if how != "dock":
        two.look()
    assert not two.view.pressed
    assert not viewer.canvas.grid.enabled
    assert not any(kind_of(layer) is Kind.COPY for layer in viewer.layers)


def test_the_models_are_laid_out_step_by_step_and_may_be_left_in_between(two: Models) -> None:
    waiting: list = []
    two.pace.later = waiting.append
    before = two.in_sight
    two.toggle(True)
    for _ in range(2):
        waiting.pop(0)()
    two.toggle(False)
    while waiting:
        waiting.pop(0)()
    assert two.in_sight == before
    assert len(two.names()) == 3
    two.toggle(True)
    while waiting:
        waiting.pop(0)()
    assert len(two.cells) == 2


def test_slides_and_models_are_not_laid_out_at_once(two: Models) -> None:
    two.workspace.maps.open_slides.keep_all_in_sight(True)
    two.look()
    assert two.view.side_off == SLIDES_FIRST
    two.toggle(True)
    assert not two.side.on


def test_a_part_that_was_in_sight_stays_in_sight(two: Models) -> None:
    camera = two.viewer.scene.camera
    two.viewer.fit_to_view()
    camera.zoom *= 4
    camera.center = (100.0, 120.0)
    zoom = camera.zoom
    two.toggle(True)
    assert camera.center[-2:] == (100.0, 120.0)
    assert camera.zoom == pytest.approx(zoom / 2)
    two.toggle(False)
    assert camera.zoom == zoom


def test_the_table_and_the_map_of_where_they_disagree(two: Models) -> None:
    assert two.view.layer == (COMPARE_FIRST, False)
    two.state.choose_gene("ERBB2")
    two.agreement.compare()
    compared = two.view.compared
    assert compared.table.PCC["KRT8"] == pytest.approx(1, abs=1e-3)
    assert np.isnan(compared.table.PCC["FLAT"])
    assert two.view.sentence.startswith(
        f"ERBB2: PCC {compared.table.PCC['ERBB2']:z.2f} between the models, across 20 tiles"
    )
    two.agreement.toggle_layer(True)
    assert two.view.layer == ("", True)
    assert two.in_sight == ["A", "A · ERBB2 · disagreement of her2st and other"]
    first, second = (each.map.values("ERBB2") for each in two.selection.maps)
    done = np.isfinite(first)
    expected = stats.zscore(second[done].astype(float)) - stats.zscore(first[done].astype(float))
    assert compared.image.values[done] == pytest.approx(expected, abs=0.01)
    low, high = compared.image.layer.contrast_limits
    assert low == -high
    two.state.choose_gene("KRT8")
    assert two.in_sight == ["A", "A · KRT8 · disagreement of her2st and other"]
    two.state.choose_gene("FLAT")
    assert "predicts FLAT the same everywhere" in two.view.sentence
    two.agreement.toggle_layer(False)
    assert two.in_sight == ["A", "A · FLAT · predicted (other)"]


def test_it_says_when_more_is_predicted_and_belongs_to_its_models(models: Models) -> None:
    models.predict_with("her2st")
    models.use_model("other")
    models.presenter.make_ready()
    models.predict()
    models.agreement.compare()
    cells = np.flatnonzero(models.map.done)[:3]
    models.map._state.reshape(-1)[cells] = 0  # as if the memory were full
    models.map.count -= 3
    models.selection.look()
    assert models.view.sentence.endswith(MORE_SINCE)
    models.predict_with("third")
    assert models.view.compared is None
    models.selection.tick("third", False)
    assert models.view.compared is not None
    models.agreement.toggle_layer(True)
    models.open(slide("B"))
    assert models.view.compared is None
    assert not any("disagreement" in name for name in models.in_sight)
    models.presenter.choose_slide(models.viewer.layers["A"])
    assert models.view.compared is not None
    models.workspace.forget(models.selection.maps[0].map, "cleared")
    assert not any("disagreement" in name for name in models.names())


def test_a_result_that_comes_late_goes_to_its_slide_and_a_stopped_one_nowhere(two: Models) -> None:
    two.view.work.hold = True
    two.agreement.compare()
    two.open(slide("B"))
    two.view.work.release()
    assert two.view.compared is None
    two.presenter.choose_slide(two.viewer.layers["A"])
    assert two.view.compared is not None
    two.selection.tick("other", False)
    two.agreement.compare()
    assert two.view.work.said == ONE_TICKED
    two.selection.tick("other", True)
    two.agreement._by_slide.clear()
    two.view.work.hold = True
    two.agreement.compare()
    two.view.work.cancel()
    assert (two.view.compared, two.view.work.said) == (None, "Stopped.")


def test_three_models_have_no_sign(two: Models) -> None:
    two.predict_with("third")
    two.agreement.compare()
    assert list(two.view.compared.table.columns) == ["PCC", "lowest", "apart", "tiles"]
    two.agreement.toggle_layer(True)
    two.state.choose_gene("ERBB2")
    assert two.view.compared.image.layer.contrast_limits[0] == 0
    assert "disagreement of 3 models" in two.in_sight[-1]
    two.state.choose_gene("EXTRA")
    assert two.view.sentence.startswith("her2st and other do not predict EXTRA.")
    assert np.isnan(two.view.compared.image.values).all()


def load(models: Models, path: str) -> None:
    """Load a measurement, as the section *Measured* does."""
    measurement = read_measurement([path], models.state.slide, [], lambda *_: None, lambda: False)
    measurement.use()
    change_role(models.state.slide_layer, loaded=measurement)
    models.look()


def test_which_is_right_where(two: Models, tmp_path: Path) -> None:
    assert two.view.right_off == NO_MEASUREMENT
    load(two, h5ad(tmp_path / "A.h5ad"))
    assert two.view.right_off == ""
    two.state.choose_gene("ERBB2")
    two.right.ask()
    right = two.view.right
    assert right is not None, two.view.right_work.said
    assert right.table.her2st["ERBB2"] > 0.5 > right.table.other["ERBB2"]  # what was measured follows x
    assert two.view.right_sentence.startswith("ERBB2, 80 spots: her2st PCC 0.")
    two.right.toggle_layer(True)
    layer = two.right.layer.layer
    assert two.in_sight == ["A", "A · ERBB2 · her2st or other, the nearer"]
    nearest, margin = right.spots.nearest("ERBB2")
    assert list(layer.features["nearer"]) == [right.spots.names[i] for i in nearest]
    assert layer.face_color == pytest.approx(nearer_colours(nearest, margin)[0], abs=1e-6)
    two.state.choose_gene("KRT8")
    assert two.in_sight == ["A", "A · KRT8 · her2st or other, the nearer"]
    two.right.toggle_layer(False)
    assert two.in_sight == ["A", "A · KRT8 · predicted (other)"]
    change_role(two.state.slide_layer, loaded=None)
    two.look()
    assert two.view.right is None
    assert not two.right.layer.present


def test_a_map_from_a_file_has_no_model_to_ask(two: Models, tmp_path: Path) -> None:
    load(two, h5ad(tmp_path / "A.h5ad"))
    two.selection.maps[0].map.made_with = None
    two.look()
    assert two.view.right_off.startswith("her2st was opened from a file")


def test_colours_say_who_is_nearer_and_by_how_much() -> None:
    nearest, margin = np.array([0, 1, 1, -1]), np.array([2.0, 2.0, 0.0, np.nan], np.float32)
    colours, full = nearer_colours(nearest, margin)
    assert colours[0, 2] > colours[0, 0]  # blue
    assert colours[1, 0] > colours[1, 2]  # orange
    assert colours[2, :3].min() > 0.9
    assert colours[:, 3].tolist() == pytest.approx([1, 1, 0.3, 0])
    assert full == pytest.approx(2, abs=0.01)
    assert [text for text, _ in nearer_key("A", ["one", "two"], full)][1:3] == ["one", "two"]

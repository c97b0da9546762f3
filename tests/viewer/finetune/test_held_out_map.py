"""The map of held-out spots: read in the background, a gene kept while the run writes on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.training.run.held_out_prediction import FILE, HeldOutPrediction, SectionPrediction, write_held_out
from napari_nh2st.viewer.finetune.held_out_map import NOTHING_YET, HeldOutMap
from napari_nh2st.viewer.kit.background import Background

pytestmark = pytest.mark.viewer
GENES = ["KRT8", "ERBB2", "FLAT"]


def section(name: str, noise: float, *, around: int = 20) -> SectionPrediction:
    """Return 6 x 5 spots 100 apart; KRT8 is predicted with noise, ERBB2 with ten times as much."""
    rng = np.random.default_rng(0)
    xy = np.stack(np.meshgrid(np.arange(6), np.arange(5)), axis=-1).reshape(-1, 2).astype(np.float32) * 100
    measured = np.concatenate([xy / 100, np.ones((30, 1))], axis=1).astype(np.float32)
    off = rng.normal(size=measured.shape) * [noise, 10 * noise, 0]
    others = rng.uniform(-500, 1000, (around, 2)).astype(np.float32)
    return SectionPrediction(name, 100.0, others, xy, measured, (measured + off).astype(np.float32))


def write(run: Path, epoch: int | None, *sections: SectionPrediction) -> None:
    run.mkdir(exist_ok=True)
    write_held_out(HeldOutPrediction(epoch, "sections", GENES, "ln(1 + counts per 10,000)", list(sections)), run)
    second = 1000 if epoch is None else epoch
    os.utime(run / FILE, ns=(second * 10**9, second * 10**9))  # later than the last, however coarse the clock


@pytest.fixture
def shown(qtbot) -> HeldOutMap:
    background = Background()
    made = HeldOutMap(background)
    qtbot.addWidget(made)
    made.resize(320, 400)
    yield made
    made.shut()
    background.close()


def listed(shown: HeldOutMap) -> list[str]:
    return [shown.genes.itemData(i, Qt.ItemDataRole.DisplayRole) for i in range(shown.genes.count())]


def test_nothing_is_shown_before_there_is_a_map(shown, qtbot, tmp_path: Path) -> None:
    assert shown.isHidden()
    shown.show_run(tmp_path)
    assert shown.sentence.text() == NOTHING_YET
    assert not shown.isHidden()
    assert shown.pictures.isHidden()
    shown.show_run(tmp_path, going_on=False)
    assert shown.isHidden()


def test_a_gene_stays_while_the_run_writes_on(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "run", 0, section("C5", 0.1))
    shown.show_run(tmp_path / "run")
    qtbot.waitUntil(lambda: shown.found is not None)
    assert shown.gene == "KRT8"  # the best predicted one
    assert [line.split()[0] for line in listed(shown)] == ["KRT8", "ERBB2", "FLAT"]
    assert listed(shown)[2].strip() == "FLAT"
    assert shown.section.isHidden()
    shown.show()
    shown.genes.setFocus()
    shown.genes.lineEdit().selectAll()
    qtbot.keyClicks(shown.genes.lineEdit(), "erbb2")
    qtbot.keyClick(shown.genes.lineEdit(), Qt.Key.Key_Return)
    assert shown.gene == "ERBB2"
    said = shown.sentence.text()
    assert said.startswith("ERBB2, C5, epoch 1: PCC 0.")
    assert said.endswith(" across 30 spots")
    before = shown.pictures.spots
    write(tmp_path / "run", 11, section("C5", 0.01))
    shown.refresh()
    qtbot.waitUntil(lambda: "epoch 12" in shown.sentence.text())
    assert shown.genes.currentText() == shown.gene == "ERBB2"
    assert shown.pictures.spots.limits == before.limits  # colours mean the same in every epoch
    assert not np.array_equal(shown.pictures.spots.values[1], before.values[1])
    np.testing.assert_array_equal(shown.pictures.spots.values[0], before.values[0])


def test_what_is_no_gene_is_given_up(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "run", 0, section("C5", 0.1))
    shown.show_run(tmp_path / "run")
    qtbot.waitUntil(lambda: shown.found is not None)
    shown.show()
    shown.genes.lineEdit().selectAll()
    qtbot.keyClicks(shown.genes.lineEdit(), "nowhere")
    write(tmp_path / "run", 1, section("C5", 3.0))
    shown.refresh()
    qtbot.waitUntil(lambda: "epoch 2" in shown.sentence.text())
    assert shown.genes.currentText() == "nowhere"  # somebody is typing
    qtbot.keyClick(shown.genes.lineEdit(), Qt.Key.Key_Return)
    assert shown.genes.currentText() == shown.gene == "KRT8"


def test_a_flat_gene_has_no_correlation(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "run", 0, section("C5", 0.1))
    shown.show_run(tmp_path / "run")
    qtbot.waitUntil(lambda: shown.found is not None)
    shown.genes.setCurrentIndex(2)
    shown.genes.activated.emit(2)
    assert "no PCC" in shown.sentence.text()


def test_sections_are_chosen_where_there_are_several(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "run", 0, section("C5", 0.1), section("C6", 0.5, around=0))
    shown.show_run(tmp_path / "run")
    qtbot.waitUntil(lambda: shown.found is not None)
    assert not shown.section.isHidden()
    shown.section.setCurrentIndex(1)
    shown.section.activated.emit(1)
    assert shown.sentence.text().startswith("KRT8, C6, epoch 1")
    write(tmp_path / "run", 1, section("C5", 0.1), section("C6", 0.5))
    shown.refresh()
    qtbot.waitUntil(lambda: "epoch 2" in shown.sentence.text())
    assert shown.section.currentText() == "C6"


def test_values_of_the_spot_under_the_mouse(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "run", 0, section("C5", 0.1))
    shown.show_run(tmp_path / "run")
    qtbot.waitUntil(lambda: shown.found is not None)
    with qtbot.waitExposed(shown):
        shown.show()
    pictures = shown.pictures
    for predicted in (False, True):
        assert pictures.spot_at(pictures.place_of(7, predicted=predicted)) == 7
    assert pictures.spot_at(QPoint(0, 0)) is None

    qtbot.waitUntil(lambda: pictures.canvas is not None and not pictures._stale)

    def moved() -> bool:
        for at in (QPoint(1, 1), pictures.place_of(7)):
            qtbot.mouseMove(pictures.canvas, at)
        return pictures.pointed == 7

    qtbot.waitUntil(moved)
    _, predicted = pictures.spots.values
    assert pictures._tip == f"measured 1.00, predicted {predicted[7]:.2f} ln(1 + counts per 10,000)"
    image = pictures.grab().toImage()
    high, low = (pictures.place_of(at) for at in (29, 24))
    assert image.pixelColor(high) != image.pixelColor(low)  # 5 against 0
    ring = pictures.place_of(7, predicted=True)
    around = [image.pixelColor(ring.x() + x, ring.y()).lightness() for x in range(-12, 13)]
    assert min(around) < 30  # both pictures have the ring
    qtbot.mouseMove(pictures.canvas, QPoint(1, 1))
    qtbot.waitUntil(lambda: pictures.pointed is None)


def test_what_is_read_of_another_run_is_dropped(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path / "one", 0, section("C5", 0.1))
    shown.show_run(tmp_path / "one")
    shown.show_run(tmp_path / "none")
    qtbot.waitUntil(lambda: not shown._background.busy)
    qtbot.wait(50)
    assert shown.found is None
    shown.show_run(tmp_path / "one")
    qtbot.waitUntil(lambda: shown.found is not None)
    (tmp_path / "one" / FILE).write_bytes(b"broken")
    shown.refresh()
    qtbot.waitUntil(lambda: not shown._background.busy)
    assert shown.found is not None  # the last one that could be read


def test_the_finished_model_is_named(shown, qtbot, tmp_path: Path) -> None:
    write(tmp_path, 3, section("C5", 0.1))
    shown.show_run(tmp_path)
    qtbot.waitUntil(lambda: "epoch 4" in shown.sentence.text())
    write(tmp_path, None, section("C5", 0.1))
    shown.refresh()
    qtbot.waitUntil(lambda: "finished model" in shown.sentence.text())

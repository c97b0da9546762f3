"""The map of held-out spots in a window: a gene that is typed, a section that is chosen, the spot under the mouse."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.viewer.finetune.held_out_map import HeldOutMap, heatmap_colours
from napari_nh2st.viewer.finetune.held_out_map_presenter import HeldOutMapPresenter
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.test_held_out_map_presenter import rewrite, section, write

pytestmark = pytest.mark.viewer


@pytest.fixture
def threads() -> FakeThreads:
    return FakeThreads()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "run", 0, section("C5", 0.1))
    return tmp_path / "run"


@pytest.fixture
def shown(qtbot, threads, run) -> HeldOutMap:
    made = HeldOutMap(HeldOutMapPresenter(threads, heatmap_colours))
    qtbot.addWidget(made)
    assert made.isHidden()
    made.resize(320, 400)
    with qtbot.waitExposed(made):
        made.presenter.show_run(run)
        threads.run_all()
    yield made
    made.presenter.close()


def listed(shown: HeldOutMap) -> list[str]:
    return [shown.genes.itemData(i, Qt.ItemDataRole.DisplayRole) for i in range(shown.genes.count())]


def type_gene(shown: HeldOutMap, qtbot, text: str) -> None:
    shown.genes.setFocus()
    shown.genes.lineEdit().selectAll()
    qtbot.keyClicks(shown.genes.lineEdit(), text)


def test_a_gene_is_typed_and_stays(shown, threads, run, qtbot) -> None:
    assert [line.split()[0] for line in listed(shown)] == ["KRT8", "ERBB2", "FLAT"]
    assert listed(shown)[2].strip() == "FLAT"
    assert shown.section.isHidden()
    type_gene(shown, qtbot, "erbb2")
    qtbot.keyClick(shown.genes.lineEdit(), Qt.Key.Key_Return)
    assert shown.presenter.gene == "ERBB2"
    assert shown.sentence.text().startswith("ERBB2, C5, epoch 1")
    rewrite(shown.presenter, threads, run, 11, section("C5", 0.01))
    assert shown.genes.currentText() == "ERBB2"
    shown.genes.setCurrentIndex(2)
    shown.genes.activated.emit(2)
    assert shown.presenter.gene == "FLAT"


def test_what_is_no_gene_is_given_up(shown, threads, run, qtbot) -> None:
    type_gene(shown, qtbot, "nowhere")
    rewrite(shown.presenter, threads, run, 1, section("C5", 3.0))
    assert "epoch 2" in shown.sentence.text()
    assert shown.genes.currentText() == "nowhere"  # somebody is typing
    qtbot.keyClick(shown.genes.lineEdit(), Qt.Key.Key_Return)
    assert shown.genes.currentText() == shown.presenter.gene == "KRT8"


def test_any_part_of_a_name_is_searched_for(shown, qtbot) -> None:
    type_gene(shown, qtbot, "bb")
    completions = shown.genes.completer().completionModel()
    assert [completions.index(i, 0).data(Qt.ItemDataRole.EditRole) for i in range(completions.rowCount())] == ["ERBB2"]


def test_sections_are_chosen_where_there_are_several(shown, threads, run) -> None:
    rewrite(shown.presenter, threads, run, 1, section("C5", 0.1), section("C6", 0.5, around=0))
    assert not shown.section.isHidden()
    shown.section.setCurrentIndex(1)
    shown.section.activated.emit(1)
    assert shown.sentence.text().startswith("KRT8, C6, epoch 2")
    rewrite(shown.presenter, threads, run, 2, section("C5", 0.1), section("C6", 0.5))
    assert shown.section.currentText() == "C6"


def test_values_of_the_spot_under_the_mouse(shown, qtbot) -> None:
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
    ring = pictures.place_of(7, predicted=True)
    image = pictures.grab().toImage()
    around = [image.pixelColor(ring.x() + x, ring.y()).lightness() for x in range(-12, 13)]
    assert min(around) < 30  # both pictures have the ring
    high, low = (pictures.place_of(at) for at in (29, 24))
    assert image.pixelColor(high) != image.pixelColor(low)  # 5 against 0
    qtbot.mouseMove(pictures.canvas, QPoint(1, 1))
    qtbot.waitUntil(lambda: pictures.pointed is None)

"""The table of genes: real clicks and keys."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


def frame(**columns) -> pd.DataFrame:
    index = pd.Index(["ERBB2", "acta2", "KRT8", "CD3E"], name="gene")
    values = {"mean": [1.5, 0.25, np.nan, 3e-5], "spread": [0.1, 0.4, 0.2, 0.3]}
    return pd.DataFrame(values | columns, index=index)


@pytest.fixture
def table(qtbot) -> GeneTable:
    made = GeneTable("regions of C5")
    qtbot.addWidget(made)
    made.resize(304, 400)
    made.show_frame(frame(), sort_by="mean", tips={"mean": "in the region"})
    made.show()
    qtbot.waitExposed(made)
    made.told = []
    made.gene_clicked.connect(made.told.append)
    return made


def click(table: GeneTable, qtbot, row: int) -> None:
    at = table.view.visualRect(table.view.model().index(row, 1)).center()
    qtbot.mouseClick(table.view.viewport(), LEFT, pos=at)


def click_head(table: GeneTable, qtbot, column: int) -> None:
    head = table.view.horizontalHeader()
    x = head.sectionViewportPosition(column) + head.sectionSize(column) // 2
    qtbot.mouseClick(head.viewport(), LEFT, pos=head.viewport().rect().center().__class__(x, head.height() // 2))


def shown(table: GeneTable) -> list[str]:
    model = table.view.model()
    return [model.data(model.index(row, 0)) for row in range(model.rowCount())]


def test_highest_first_and_what_is_not_known_last(table: GeneTable) -> None:
    assert shown(table) == ["ERBB2", "acta2", "CD3E", "KRT8"]
    model = table.view.model()
    assert [model.data(model.index(row, 1)) for row in range(4)] == ["1.50", "0.25", "3e-05", ""]
    assert model.headerData(1, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole) == "in the region"


def test_a_click_tells_the_gene_once_and_again_when_clicked_again(table: GeneTable, qtbot) -> None:
    click(table, qtbot, 1)
    assert table.told == ["acta2"]
    click(table, qtbot, 1)  # another gene may have been shown meanwhile
    assert table.told == ["acta2", "acta2"]
    qtbot.keyClick(table.view, Qt.Key.Key_Down)
    assert table.told[2:] == ["CD3E"]
    click(table, qtbot, 0)
    assert table.told[3:] == ["ERBB2"]


def test_sorting_keeps_the_chosen_row_and_tells_nothing(table: GeneTable, qtbot) -> None:
    click(table, qtbot, 0)
    click_head(table, qtbot, 0)
    assert shown(table) == ["acta2", "CD3E", "ERBB2", "KRT8"]  # from A to Z whatever the case
    assert table.view.currentIndex().row() == 2
    assert table.told == ["ERBB2"]
    click_head(table, qtbot, 2)
    click_head(table, qtbot, 2)
    spreads = table.frame["spread"].tolist()
    assert spreads in (sorted(spreads), sorted(spreads, reverse=True))
    table.show_frame(frame(mean=[4.0, 3.0, 2.0, 1.0]), sort_by="mean")  # the same columns: the same order
    assert table.frame["spread"].tolist() == spreads
    assert shown(table)[table.view.currentIndex().row()] == "ERBB2"
    table.show_frame(frame(score=[1.0, 2.0, 3.0, 4.0]), sort_by="score")
    assert shown(table) == ["CD3E", "KRT8", "acta2", "ERBB2"]
    assert table.told == ["ERBB2"]


def test_nothing_to_show_takes_no_room(table: GeneTable) -> None:
    table.show_frame(None)
    assert table.isHidden()
    table.show_frame(frame().iloc[:0])
    assert table.isHidden()
    table.show_frame(frame())
    assert not table.isHidden()


def test_rows_are_as_high_as_their_text(table: GeneTable) -> None:
    before = table.view.height()
    assert before >= 5 * table.view.fontMetrics().height()
    font = table.font()
    font.setPointSize(font.pointSize() * 2)
    table.setFont(font)
    assert table.view.rowHeight(0) >= table.view.fontMetrics().height()
    assert table.view.height() > before


def test_twenty_thousand_genes_are_sorted_and_shown_at_once(table: GeneTable, qtbot) -> None:
    import time

    names = pd.Index([f"G{i}" for i in range(20_000)], name="gene")
    values = np.random.default_rng(0).normal(size=(20_000, 4))
    started = time.process_time()
    table.show_frame(pd.DataFrame(values, index=names, columns=list("abcd")), sort_by="c")
    click_head(table, qtbot, 1)
    assert time.process_time() - started < 1.0


def test_saved_as_it_is_shown(table: GeneTable, tmp_path: Path, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "genes.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    qtbot.mouseClick(table.save, LEFT)
    assert str(path) in table.note.text()
    pd.testing.assert_frame_equal(pd.read_csv(path, index_col="gene"), table.frame)
    everything = pd.DataFrame({"region": ["1", "2"], "gene": ["ERBB2", "ERBB2"], "mean": [1.0, 2.0]})
    table.show_frame(frame(), saved=everything)
    assert table.write(path) == path
    pd.testing.assert_frame_equal(pd.read_csv(path, dtype={"region": str}), everything)


def test_all_columns_are_in_sight_whatever_the_font(table: GeneTable) -> None:
    values = [1.5, -10.25, np.nan, 3e-5]
    wide = frame(mean=values, difference=values, spread=values, elsewhere=values)
    for size in (9, 13):  # of 100 and 150%
        font = table.font()
        font.setPointSize(size)
        table.setFont(font)
        table.resize(304 if size == 9 else 440, 400)
        table.show_frame(wide)
        view, model = table.view, table.view.model()
        assert view.horizontalHeader().length() <= view.viewport().width()
        assert model.headerData(4, Qt.Orientation.Horizontal) in ("rest", "elsewhere")
        for at in range(1, 5):
            texts = [model.data(model.index(i, at)) for i in range(4)]
            assert max(view.fontMetrics().horizontalAdvance(text) for text in texts) < view.columnWidth(at)
        if size == 9:  # and a name of twelve letters beside four common numbers
            plain = [1.5, 2.25, 0.5, 3.0]
            table.show_frame(frame(**dict.fromkeys(wide.columns, plain)))
            assert view.fontMetrics().horizontalAdvance("DEMO-TUMORIN") < view.columnWidth(0)


def test_a_table_in_a_window_of_its_own(make_napari_viewer, qtbot) -> None:
    viewer, dock = make_napari_viewer(show=True), QWidget()
    table = GeneTable("regions of C5")
    told: list[str] = []
    table.gene_clicked.connect(told.append)
    column(dock).addWidget(table)
    viewer.window.add_dock_widget(dock, name="NH2ST")
    table.show_frame(frame(elsewhere=[1.0, 2.0, 3.0, 4.0]), sort_by="mean")
    qtbot.mouseClick(table.enlarge, LEFT)
    window = table._window
    assert (window.isVisible(), window.windowTitle()) == (True, "regions of C5")
    head, at = window.view.horizontalHeader(), window.view.visualRect(window.view.model().index(1, 0)).center()
    assert window.view.model().headerData(3, Qt.Orientation.Horizontal) == "elsewhere"
    qtbot.mouseClick(window.view.viewport(), LEFT, pos=at)
    assert told == ["acta2"]
    where = QPoint(head.sectionViewportPosition(0) + 9, head.height() // 2)
    qtbot.mouseClick(head.viewport(), LEFT, pos=where)
    assert shown(table) in (["acta2", "CD3E", "ERBB2", "KRT8"], ["KRT8", "ERBB2", "CD3E", "acta2"])
    qtbot.mouseClick(window.copy, LEFT)
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0] == "gene\tmean\tspread\telsewhere"
    assert len(lines) == 5
    assert told == ["acta2"]
    viewer.window.remove_dock_widget(dock)
    assert not window.isVisible()


def test_what_cannot_be_saved_is_said(table: GeneTable, tmp_path: Path, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "folder.csv"), ""))
    qtbot.mouseClick(table.save, LEFT)
    assert table.note.text().startswith("Could not save")

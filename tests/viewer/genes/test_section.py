"""The gene field, the pinned genes and the limits under a person's hands: keys, clicks and what is drawn."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nh2st.model.gene_list import BEST_FIRST, VARYING_FIRST
from napari_nh2st.viewer.genes import spatial_variability
from napari_nh2st.viewer.genes.limits import LOCKED, NOT_BY_HAND, PRESS_RESET, TAKE_LOCK_OFF
from napari_nh2st.viewer.genes.section import GeneSection
from napari_nh2st.viewer.layers.roles import role_of
from napari_nh2st.viewer.state.preferences import Preferences
from viewer.fakes import card
from viewer.without_window import Desk

pytestmark = pytest.mark.viewer
KEY, LEFT, TIP = Qt.Key, Qt.MouseButton.LeftButton, Qt.ItemDataRole.ToolTipRole


class Window(Desk):
    """The section alone, with a dock that has no window."""

    def __init__(self, qtbot, preferences: Preferences | None = None) -> None:
        super().__init__()
        self.qtbot = qtbot
        if preferences is not None:
            self.workspace.preferences = preferences
        self.genes = GeneSection(self.workspace)
        self.field, self.edit = self.genes.field, self.genes.field.lineEdit()
        qtbot.addWidget(self.genes)
        with qtbot.waitExposed(self.genes):
            self.genes.show()

    def type(self, text: str, *keys: Qt.Key) -> None:
        self.edit.setFocus()
        self.edit.selectAll()
        self.qtbot.keyClick(self.edit, KEY.Key_Delete)
        self.qtbot.keyClicks(self.edit, text)
        for key in keys:
            self.press(key)

    def press(self, key: Qt.Key) -> None:
        """Press a key where a real one would arrive: the popup has the keyboard while it is open."""
        popup = self.field.popup
        self.qtbot.keyClick(popup if popup.isVisible() else self.edit, key)

    def offered(self) -> list[str]:
        popup = self.field.popup
        if not popup.isVisible():
            return []
        return [self.field._suggestion(popup.model().index(row, 0))[0] for row in range(popup.model().rowCount())]

    def click(self, widget) -> None:
        self.qtbot.mouseClick(widget, LEFT)


@pytest.fixture
def window(qtbot) -> Window:
    return Window(qtbot)


def test_a_suggestion_is_picked_with_the_keys(window: Window) -> None:
    window.type("her-2", KEY.Key_Return)
    assert (window.state.gene, window.edit.text()) == ("ERBB2", "ERBB2")
    window.type("cd3")
    assert window.offered()[:2] == ["CD3E (CD3)", "CD3D (CD3)   not predicted"]
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.state.gene == "CD3E"
    assert window.genes.trust.text() == "CD3 is CD3E: not evaluated"


def test_a_click_takes_all_of_the_field_and_a_second_one_places_the_cursor(window: Window) -> None:
    edit, middle = window.edit, window.edit.rect().center()
    window.field.clearFocus()
    window.click(edit)
    assert edit.selectedText() == "ERBB2"
    window.qtbot.keyClicks(edit, "CD3E")
    assert edit.text() == "CD3E"
    window.press(KEY.Key_Return)
    window.qtbot.keyClicks(edit, "kr")  # at once, without a click: the gene that is shown goes
    assert edit.text() == "kr"
    window.press(KEY.Key_Escape)  # closes the suggestions
    window.press(KEY.Key_Escape)
    window.click(edit)
    window.qtbot.mouseClick(edit, LEFT, pos=middle)
    assert not edit.selectedText()
    window.qtbot.keyClick(edit, KEY.Key_Home)
    window.qtbot.mousePress(edit, LEFT, pos=edit.rect().topLeft())
    window.qtbot.mouseMove(edit, edit.rect().center())
    window.qtbot.mouseRelease(edit, LEFT, pos=edit.rect().center())
    window.genes.focus()
    assert edit.selectedText() == "CD3E"


def test_nothing_moves_while_one_walks_genes(window: Window) -> None:
    def places() -> list[int]:
        QApplication.processEvents()
        below = (window.genes.pinned_row, window.genes.limits, window.genes.limits.sentence)
        return [each.mapTo(window.genes, each.rect().topLeft()).y() for each in below] + [
            window.genes.sizeHint().height()
        ]

    window.genes.resize(304, 400)
    window.predict()
    before = places()
    for text in ("cd3e", "krt8", "ki-67", "flat"):
        window.type(text, KEY.Key_Return)
        assert places() == before
    long = "CD3 stands for CD3D, CD3E and CD3G. CD3E: held-out PCC 0.41 (0.33 to 0.48), same patient, and so on and on"
    window.genes.say_trust(long)
    assert places() == before
    assert len(window.genes.trust.shown()) == 2
    assert window.genes.trust.shown()[1].endswith("…")
    assert "and so on and on" in window.genes.trust.toolTip()
    window.genes.say_measuring("Measuring…")
    assert places() == before


def test_limits_that_do_not_fit_the_gene_say_so(window: Window) -> None:
    window.predict()
    form = window.genes.limits
    label = lambda: role_of(window.heatmap.layer).label  # noqa: E731
    assert "beyond" not in form.sentence.text()
    form.lock.native.click()
    window.heatmap.layer.contrast_limits = (2.0, 3.0)
    window.type("flat", KEY.Key_Return)
    said = "100% of the tiles lie beyond the locked limits"
    assert form.sentence.text().startswith(f"{said}: {TAKE_LOCK_OFF}.")
    assert label().endswith(said)
    form.lock.native.click()
    assert "beyond" not in form.sentence.text()
    assert "beyond" not in label()
    window.type("krt8", KEY.Key_Return)
    window.heatmap.layer.contrast_limits = (0.0, 0.01)
    assert f"of the tiles lie beyond the limits set by hand: {PRESS_RESET}." in form.sentence.text()
    window.click(form.reset)
    assert "beyond" not in form.sentence.text()


def test_a_gene_that_is_not_predicted_is_grey_until_it_is_given_up(window: Window) -> None:
    window.predict()
    window.type("ki-67")
    assert window.offered() == ["MKI67 (Ki-67)   not predicted"]
    assert window.field._suggestion(window.field.popup.model().index(0, 0))[1]  # grey
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.genes.trust.text() == "her2st does not predict MKI67 (Ki-67)"
    assert "gray" in window.edit.styleSheet()
    window.press(KEY.Key_Escape)
    assert (window.edit.text(), window.edit.styleSheet()) == ("ERBB2", "")
    assert "held-out" in window.genes.trust.text()
    assert window.heatmap.gene == "ERBB2"


def test_the_arrow_keys_walk_the_list(window: Window) -> None:
    window.type("cd3e", KEY.Key_Return)
    window.press(KEY.Key_Down)
    assert (window.state.gene, window.edit.text()) == ("ERBB2", "ERBB2")
    window.press(KEY.Key_Up)
    assert window.state.gene == "CD3E"
    assert window.genes.trust.text() == "not evaluated"


def test_genes_shown_last_are_offered_in_an_empty_field(window: Window) -> None:
    for gene in ("KRT8", "FLAT"):
        window.type(gene, KEY.Key_Return)
        window.genes.stayed.flush()
    window.press(KEY.Key_Up)  # walked over: not looked at
    window.type("")
    assert window.offered() == ["FLAT   recent", "KRT8   recent"]
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Down)
    window.press(KEY.Key_Return)
    assert window.state.gene == "KRT8"


def test_a_gene_that_stays_is_remembered_and_a_closed_dock_remembers_nothing(window: Window) -> None:
    window.genes.stayed.setTimeout(1)
    window.type("krt8", KEY.Key_Return)
    window.qtbot.waitUntil(lambda: window.field.recent == ("KRT8",))
    window.genes.stayed.setTimeout(30)
    window.type("flat", KEY.Key_Return)
    window.workspace.close()
    window.qtbot.wait(60)
    assert window.workspace.preferences.recent_genes == ("KRT8",)


def test_pinned_genes_are_chips_that_show_and_unpin(window: Window) -> None:
    row = window.genes.pinned_row
    window.click(row.pin)
    window.type("krt8", KEY.Key_Return)
    assert row.pin.text() == "+"
    window.click(row.pin)
    assert window.state.pinned == ("ERBB2", "KRT8")
    assert row.pin.text() == "−"
    window.click(row.chips["ERBB2"])
    assert window.state.gene == "ERBB2"
    window.qtbot.keyClick(row.chips["KRT8"], KEY.Key_Space)
    assert window.state.gene == "KRT8"
    again = Window(window.qtbot, window.workspace.preferences)
    assert tuple(again.genes.pinned_row.chips) == ("ERBB2", "KRT8")
    window.qtbot.keyClick(row.chips["ERBB2"], KEY.Key_Delete)
    window.click(row.pin)
    assert window.state.pinned == ()
    assert list(row.chips) == []


def test_a_pinned_gene_of_another_model_says_so(window: Window) -> None:
    window.state.pinned = ("ESR1",)
    assert "does not predict" in window.genes.pinned_row.chips["ESR1"].toolTip()
    window.click(window.genes.pinned_row.chips["ESR1"])
    assert window.genes.trust.text() == "her2st does not predict ESR1"


def test_orders_that_are_off_say_why_and_lines_have_their_figures(window: Window, monkeypatch) -> None:
    measured = np.array([0.2, 0.9, 0.5, np.nan])
    monkeypatch.setattr(spatial_variability, "variability", lambda part, most, cancelled: measured)
    order, field = window.genes.order, window.field
    spatial, best = order.findData(VARYING_FIRST), order.findData(BEST_FIRST)
    assert not order.model().item(spatial).isEnabled()
    assert "Predict first" in order.itemData(spatial, TIP)
    assert order.model().item(best).isEnabled()
    window.predict()
    assert order.model().item(spatial).isEnabled()
    assert "Moran" in order.itemData(spatial, TIP)
    order.setFocus()
    for _ in range(2):
        window.qtbot.keyClick(order, KEY.Key_Down)
    assert order.currentData() == VARYING_FIRST
    lines = [field._line(field.model().index(row, 0))[0] for row in range(4)]
    assert lines == ["KRT8   I 0.90", "CD3E   I 0.50", "ERBB2   I 0.20   PCC 0.41 (0.33 to 0.48)", "FLAT   constant"]
    assert (field.gene, window.edit.text()) == ("ERBB2", "ERBB2")


def test_limits_and_colours_follow_the_hand_and_show_what_a_program_sets(window: Window) -> None:
    form, style = window.genes.limits, window.state.style
    window.predict()
    assert (form.reset.isEnabled(), form.reset.toolTip()) == (False, NOT_BY_HAND)
    window.heatmap.layer.contrast_limits = (0.2, 0.4)
    assert "set by hand" in form.sentence.text()
    window.click(form.reset)
    assert "set by hand" not in form.sentence.text()
    form.lock.native.click()
    form.smooth.native.click()
    window.qtbot.keyClick(form.colormap.native, KEY.Key_Down)
    assert (style.locked, style.smooth, style.colormap) == (True, True, "inferno")
    assert (form.percentiles.enabled, form.percentiles.native.toolTip()) == (False, LOCKED)
    style.locked = False
    assert not form.lock.value
    window.qtbot.keyClick(form.percentiles.native, KEY.Key_Down)
    assert style.percentiles == (5.0, 95.0)
    style.colormap, style.percentiles = "magma", (0.0, 100.0)
    assert (form.colormap.value, form.percentiles.native.currentText()) == ("magma", "all")
    kept = window.workspace.preferences
    assert (kept.locked, kept.smooth, kept.colormap, kept.percentiles) == (True, True, "inferno", "5 to 95 %")


def test_twenty_thousand_genes_stay_fluid(window: Window) -> None:
    genes = [f"GENE{i}" for i in range(20_000)]
    window.services.cards["large"] = card("large", genes=genes, gene_means=None, evaluation=None)
    window.use_model("large")
    started = time.thread_time()
    window.type("gene19999")
    typing = time.thread_time() - started
    assert window.offered() == ["GENE19999"]
    started = time.thread_time()
    window.press(KEY.Key_Escape)
    window.field.showPopup()
    QApplication.processEvents()
    opening = time.thread_time() - started
    window.field.hidePopup()
    print(f"typing {typing:.3f} s, opening {opening:.3f} s")
    assert typing < 1.0  # ten keys
    assert opening < 1.0

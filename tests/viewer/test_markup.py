"""Names of genes, models and slides are only text in the dock, whatever tags they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QLabel, QWidget

from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.viewer.finetune.curves import Curves
from napari_nh2st.viewer.kit.texts import paragraphs, plain_tip
from viewer.fakes import FakeModel, FakeServices, FakeSlide, card

HOSTILE = '<img src="file:///picture.png"><b>X</b> & $\\frac$'


@pytest.mark.parametrize("text", [HOSTILE, "<?xml version='1.0'?>", "a <b>c</b>\nsecond line", "<qt>x</qt>"])
def test_a_tooltip_is_never_taken_for_html(text: str) -> None:
    for line in text.split("\n"):
        assert line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:8] in plain_tip(text)
    assert "<b>" not in plain_tip(text)


def test_a_tooltip_without_tags_stays_and_one_of_ours_is_not_escaped_twice() -> None:
    assert plain_tip("1 to 99 %, A & B") == "1 to 99 %, A & B"
    assert plain_tip(paragraphs(["a < b"])) == "<qt><p>a &lt; b</p></qt>"


def _rich(widget: QWidget) -> list[str]:
    """Texts of a widget and of all in it that Qt would take for HTML although they hold a tag from outside."""
    texts = []
    for part in [widget, *widget.findChildren(QWidget)]:
        texts.append(part.toolTip())
        if isinstance(part, QLabel) and part.textFormat() != Qt.TextFormat.PlainText:
            texts.append(part.text())
        model = part.model() if isinstance(part, QComboBox | QAbstractItemView) else None
        for row in range(model.rowCount() if model is not None else 0):
            for column in range(3):
                texts.append(str(model.index(row, column).data(Qt.ItemDataRole.ToolTipRole) or ""))
    return [text for text in texts if "<img" in text or "<b>" in text]


def _labels_that_guess(widget: QWidget) -> list[QLabel]:
    """Labels that decide by their text whether it is HTML; those of other libraries' widgets do not count."""
    labels = [part for part in widget.findChildren(QLabel) if part.textFormat() == Qt.TextFormat.AutoText]
    return [label for label in labels if type(label).__module__.startswith("napari_nh2st") or label.text()]


@pytest.mark.viewer
def test_no_part_of_the_dock_shows_a_gene_s_name_as_markup(make_napari_viewer, qtbot, monkeypatch) -> None:
    from napari_nh2st.viewer.layers import frames
    from napari_nh2st.viewer.predict_dock import PredictWidget

    genes = [HOSTILE, "KRT8", "CD3E", "<b>FLAT</b>"]
    trust = {HOSTILE: GeneTrust(pcc=0.41, low=0.33, high=0.48)}
    evaluation = Evaluation(kind="same-patient", samples=[HOSTILE], pcc_mean=0.3, genes=trust)
    hostile = card(HOSTILE, genes=genes, evaluation=evaluation, description=HOSTILE, tissue=HOSTILE, licence=HOSTILE)
    services, slide = FakeServices(), FakeSlide()
    slide.path = Path("/nowhere/<b>C9<b>.svs")
    monkeypatch.setattr(services, "load_card", lambda name: hostile)
    monkeypatch.setattr(services, "load_model", lambda name: FakeModel(hostile))
    viewer = make_napari_viewer()
    data, meta, _ = frames.slide_layer_data(slide)
    viewer.add_image(data, **meta)
    dock = PredictWidget(viewer, services)
    viewer.window.add_dock_widget(dock, name="NH2ST", area="right")
    qtbot.mouseClick(dock.where.buttons["whole"], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(dock.job.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: any("‹img" in str(layer.name) for layer in viewer.layers))
    for fold in dock.folds.values():
        fold.open()
    dock.genes.pinned_row.pin.click()
    qtbot.wait(50)
    assert HOSTILE in dock.genes.pinned_row.chips
    assert _rich(dock) == []
    assert not any("<" in layer.name for layer in viewer.layers)
    assert _labels_that_guess(dock) == []


@pytest.mark.viewer
def test_the_one_label_with_markup_holds_our_own_words(qtbot) -> None:
    part = Curves()
    qtbot.addWidget(part)
    assert part.legend.textFormat() == Qt.TextFormat.RichText

"""When the window draws: seldom while much comes, at once where a person waits."""

import time

import pytest

pytestmark = pytest.mark.viewer


@pytest.fixture
def pacing(qtbot):
    from qtpy.QtWidgets import QWidget

    from napari_nh2st.viewer.kit.pacing import Pacing

    drawn = []
    parent = QWidget()
    qtbot.addWidget(parent)
    made = Pacing(parent, lambda: (drawn.append(1), made.drawing()))
    yield made, drawn
    made.stop()


def test_what_comes_together_is_drawn_once(pacing, qtbot) -> None:
    pace, drawn = pacing
    for _ in range(5):
        pace.draw_soon()
    assert not drawn
    qtbot.waitUntil(lambda: bool(drawn))
    qtbot.wait(100)
    assert len(drawn) == 1


def test_what_is_waited_for_is_drawn_next_however_long_the_pause(pacing, qtbot, monkeypatch) -> None:
    from napari_nh2st.viewer.kit import pacing as module

    monkeypatch.setattr(module, "_SPARE", 10_000)
    monkeypatch.setattr(module, "_MOST_MS", 300_000)
    pace, drawn = pacing
    pace.drawing()
    time.sleep(0.1)  # a drawing that took so long would be followed by a pause of minutes
    qtbot.wait(20)
    pace.draw_soon()
    qtbot.wait(50)
    assert not drawn
    pace.draw_next()
    pace.draw_next()
    qtbot.waitUntil(lambda: bool(drawn))
    qtbot.wait(20)
    assert len(drawn) == 1

"""The controller without Qt: one job at a time, one end to each, nothing predicted twice."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.engine.options import never
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import Box
from napari_nh2st.viewer.predict.events import Request, State
from napari_nh2st.viewer.predict.region import Region
from viewer.fakes import GENES, Bench, FakeSlide, hidden_at


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_whole_slide(bench: Bench) -> None:
    bench.predict()
    assert bench.ends() == [State.DONE]
    shown, status = bench.controller.map, bench.controller.status
    assert status.done == status.total == shown.done.sum() > 0
    assert not shown.done.reshape(shown.rows, shown.columns)[:, 0].any()  # background is not predicted
    expected = hidden_at(shown.tiles().centres[shown.done]).astype(np.float32)[:, 0]
    np.testing.assert_array_equal(shown.values("ERBB2").ravel()[shown.done], expected)


def test_second_run_asks_for_what_is_missing_alone(bench: Bench) -> None:
    bench.predict(region=Region(Box(0, 0, 640, 960)))
    first = bench.controller.map.done.sum()
    bench.predict()
    assert bench.services.asked == [first, bench.controller.map.done.sum() - first]
    assert bench.controller.status.known == first
    bench.predict()
    assert len(bench.services.asked) == 2  # nothing left: the engine is not even called
    assert bench.ends() == [State.DONE] * 3


def test_cancel_keeps_what_came(bench: Bench) -> None:
    bench.controller.predict(Request(bench.slide, "her2st"))
    bench.play(events=5)  # three steps, then a chunk or two
    kept = bench.controller.map.done.sum()
    bench.controller.cancel()
    bench.play()
    assert bench.ends() == [State.CANCELLED]
    assert 0 < kept <= bench.controller.map.done.sum() < bench.controller.map.done.size
    bench.predict()
    assert bench.ends() == [State.CANCELLED, State.DONE]


def test_late_answers_are_dropped(bench: Bench) -> None:
    bench.controller.predict(Request(bench.slide, "her2st"))
    bench.play(events=5)
    bench.controller.predict(Request(bench.slide, "demo"))
    bench.play(job=1)
    told = len(bench.view.statuses)
    bench.play(job=0)  # the first job speaks on
    assert len(bench.view.statuses) == told
    assert bench.controller.map.card.name == "demo"
    assert bench.ends() == [State.CANCELLED, State.DONE]


def test_looking_at_another_map_does_not_misplace_what_arrives(bench: Bench) -> None:
    bench.predict(model="demo")
    other = bench.controller.map
    values = other.values("ERBB2").copy()
    bench.controller.predict(Request(bench.slide, "her2st"))
    bench.play(events=4)
    bench.controller.adopt(other)
    bench.play()
    np.testing.assert_array_equal(other.values("ERBB2"), values)
    assert bench.controller.recall(bench.slide, "her2st").done.sum() == other.done.sum()


def test_a_device_of_another_precision_fills_a_map_of_its_own(bench: Bench, monkeypatch) -> None:
    made_by = {"cpu": "fp32", "cuda:0": "bf16", "cuda:1": "bf16"}
    monkeypatch.setattr(bench.services, "provenance", lambda request, model: {"precision": made_by[request.device]})
    maps = []
    for device in made_by:
        bench.predict(device=device)
        maps.append(bench.controller.map)
    assert [shown.provenance["precision"] for shown in maps] == ["fp32", "bf16", "bf16"]
    assert maps[0] is not maps[1]
    assert maps[1] is maps[2]


def test_model_trained_anew_is_loaded_anew(bench: Bench) -> None:
    bench.predict()
    assert bench.controller.recall(bench.slide, "her2st") is bench.controller.map
    bench.services.stamps["her2st"] = 1  # the same folder, other weights
    assert bench.controller.recall(bench.slide, "her2st") is None
    bench.predict()
    assert len(bench.services.asked) == 2


def test_failure_ends_once(bench: Bench) -> None:
    bench.services.fail = RuntimeError("disk on fire")
    bench.predict()
    assert bench.ends() == [State.FAILED]
    assert str(bench.controller.status.error) == "disk on fire"
    bench.services.fail = None
    bench.predict()
    assert bench.ends() == [State.FAILED, State.DONE]


def test_no_tissue_says_so(bench: Bench) -> None:
    bench.predict(region=Region(Box(0, 0, 200, 900)))
    assert isinstance(bench.controller.status.error, Nh2stError)
    assert "tissue" in str(bench.controller.status.error)


def test_edited_mask_is_obeyed_and_has_its_own_map(bench: Bench) -> None:
    bench.predict()
    whole = bench.controller.map
    mask = bench.slide.tissue().mask.copy()
    bench.predict(tissue=mask)
    assert bench.controller.map is whole  # unchanged: the same map
    mask[:, 40:] = False
    bench.predict(tissue=mask)
    edited = bench.controller.map
    assert edited is not whole
    x = edited.tiles().centres[edited.done][:, 0]
    assert x.max() < 40 * 16
    assert whole.done.sum() > edited.done.sum()


class Unseen(FakeSlide):
    """A slide without levels: its tissue takes two looks, a view's is there."""

    looks = 0

    @property
    def tissue_at_hand(self) -> bool:
        return self.looks > 1

    @tissue_at_hand.setter
    def tissue_at_hand(self, value: bool) -> None: ...

    def tissue(self, tell=lambda done, total: None, cancelled=never, **_):
        self.looks += 1
        tell(self.looks * 30, 60)
        if self.looks < 2:
            raise Cancelled("stopped")
        return self.mask

    def tissue_fields(self):
        return self.mask


def test_a_whole_slide_without_levels_is_looked_over_first_and_says_how_far(bench: Bench) -> None:
    bench.slide = Unseen()
    bench.predict()
    assert bench.ends() == [State.DONE]
    assert "looking the slide over, 50%" in [status.step for status in bench.view.statuses]


def test_a_view_of_it_does_not_wait_and_has_a_map_of_its_own(bench: Bench) -> None:
    bench.slide = Unseen()
    bench.predict(region=Region(Box(400, 200, 900, 700)), follow=True)
    assert bench.slide.looks == 0
    view = bench.controller.map
    assert view is not None
    bench.predict()
    assert bench.controller.map is not view


def test_after_close_nothing_is_told(bench: Bench) -> None:
    bench.controller.predict(Request(bench.slide, "her2st"))
    bench.play(events=4)
    told = len(bench.view.statuses)
    bench.controller.close()
    bench.play()
    assert len(bench.view.statuses) == told


def test_gene_never_runs_the_model(bench: Bench) -> None:
    bench.predict()
    asked = list(bench.services.asked)
    for gene in GENES:
        bench.controller.map.values(gene)
    assert bench.services.asked == asked
    with pytest.raises(KeyError, match="does not predict"):
        bench.controller.map.values("NOPE")


def test_prediction_round_trip(bench: Bench) -> None:
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

    bench.predict(region=Region(Box(300, 300, 900, 900)))
    shown = bench.controller.map
    again = PredictedMap.of(shown.prediction())
    np.testing.assert_array_equal(again.values("CD3E"), shown.values("CD3E"))
    assert again.origin == shown.origin
    assert again.cell == shown.cell

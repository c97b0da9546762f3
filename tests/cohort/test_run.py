"""Which worker gets a slide, and what happens to one that fails: with a cluster that answers at once."""

from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.cohort import at_work, tasks
from napari_nh2st.cohort.crew import Watch
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.progress import Standing
from napari_nh2st.cohort.run import CohortRun
from napari_nh2st.errors import Nh2stError
from support.crews import FakeFuture

ROW = {"tissue_mm2": 2.0, "tiles_encoded": 10, "tiles_total": 10}


class FakeClient:
    """Answers from a list for each slide; notes who was asked for what."""

    status = "running"

    def __init__(self, answers, resources=None):
        self.answers, self.sent = answers, []
        self.workers = {name: {"resources": resources or {}} for name in ("tcp://one", "tcp://two")}

    def submit(self, task, job, *more, key, **where):
        self.sent.append((task.__name__, job.stem, more, where))
        return FakeFuture(key, self.answers[job.stem].pop(0))

    def scheduler_info(self, n_workers):
        return {"workers": self.workers}

    def subscribe_topic(self, topic, hear):
        hear((0.0, {"path": "/s/a.tif", "done": 3, "total": 7}))

    def unsubscribe_topic(self, topic):
        pass

    def cancel(self, futures, force):
        self.cancelled = len(futures)


def jobs(*names, **settings):
    return [Job(f"/s/{name}.tif", None, "", "", Settings("m", "hash", "/out", **settings)) for name in names]


def run(client, these, cancelled=lambda: False):
    said, shown = [], []
    cohort = CohortRun(client, these, Watch(shown.append, said.append, cancelled))
    cohort.run()
    return cohort, said, shown


def done(**more):
    figures = {"genes": ["A", "B"], "unit": "", "mean": [1.5, None], "sd": [0.5, 0.0]}
    regions = {"tumour": {"tiles": 2, "mean": [2.5, 3.0], "sd": [0.0, 0.0]}}
    return {"state": at_work.DONE, "row": dict(ROW), "genes": {**figures, "regions": regions}, **more}


def failed(where="tcp://one"):
    return {"state": at_work.FAILED, "error": "it is broken", "worker": where}


def test_a_slide_that_fails_is_tried_once_more_on_another_worker():
    client = FakeClient({"a": [failed(), done()], "b": [failed(), failed("tcp://two")], "c": [done()]})
    cohort, said, shown = run(client, jobs("a", "b", "c"))
    assert [slide.state for slide in cohort.slides] == ["done", "failed", "done"]
    assert said == ["warning: b failed: it is broken"]
    where = [(name, sent["workers"]) for _, name, _, sent in client.sent]
    assert where.count(("a", ["tcp://two"])) == where.count(("b", ["tcp://two"])) == 1
    assert len(where) == 5
    first, last = (slide.answer["genes"] for slide in cohort.slides if slide.state == "done")
    assert first["genes"] is last["genes"]  # of thousands of slides once
    np.testing.assert_array_equal(first["mean"], np.array([1.5, np.nan], dtype=np.float32))
    assert first["regions"]["tumour"]["mean"].dtype == np.float32
    last = shown[-1]
    assert (last.done, last.failed, last.running, last.waiting, last.mm2) == (2, 1, 0, 0, 4.0)


def test_what_is_sent_ahead_waits_and_no_more_run_than_there_are_workers():
    client = FakeClient({name: [done()] for name in "abcdef"})
    _, _, shown = run(client, jobs(*"abcdef"))
    assert (shown[0].running, shown[0].waiting, len(shown[0].at_work)) == (2, 4, 2)
    assert {s.done + s.running + s.failed + s.waiting for s in shown} == {6}


def test_workers_that_end_under_a_slide_are_a_failure_of_the_slide():
    client = FakeClient({"a": [RuntimeError("killed"), RuntimeError("killed")]})
    (slide,) = run(client, jobs("a"))[0].slides
    assert slide.error == "its workers ended again and again (killed)"


def test_slides_that_have_left_a_record_are_looked_at_together(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.cohort.run._LOOKED_AT", 2)
    (tmp_path / "cohort").mkdir()
    for name in "abc":
        (tmp_path / "cohort" / f"{name}.json").write_text("{}")
    looked = [{"state": tasks.LOOKED, "found": [done(earlier=True), None]}, failed()]
    client = FakeClient({"b": [done()], "c": [done()], "d": [done()]})
    submit = client.submit

    def answer(task, job, *more, key, **where):
        if task.__name__ != "look_at":
            return submit(task, job, *more, key=key, **where)
        client.sent.append((task.__name__, "".join(one.stem for one in job), more, where))
        return FakeFuture(key, looked.pop(0))

    client.submit = answer
    these = [Job(f"/s/{name}.tif", None, "", "", Settings("m", "hash", str(tmp_path))) for name in "abcd"]
    cohort, said, shown = run(client, these)
    assert {standing.workers for standing in shown} == {2}
    assert [(task, names) for task, names, _, _ in client.sent] == [
        ("look_at", "ab"),
        ("look_at", "c"),
        ("predict_slide", "b"),  # not complete
        ("predict_slide", "c"),  # nobody could look
        ("predict_slide", "d"),
    ]
    assert {slide.state for slide in cohort.slides} == {"done"}
    assert not said
    assert cohort.standing().mm2 == 6.0  # not of what was there


def test_a_huge_slide_is_parts_and_an_end():
    parts = [[(0, 0)], [(0, 1), (1, 0)]]
    part = {"state": tasks.PART, "mm2": 0.5, "tiles": 4, "seconds": 1.5}
    client = FakeClient({"a": [{"state": tasks.PARTS, "parts": parts}, part, failed(), done()]})
    cohort = run(client, jobs("a"))[0]
    assert [(task, more) for task, _, more, _ in client.sent] == [
        ("predict_slide", ()),
        ("predict_part", (parts[0],)),
        ("predict_part", (parts[1],)),
        ("finish_slide", (4, 1.5)),
    ]
    assert cohort.standing().mm2 == 0.5 + 2.0 * 6 / 10


def test_what_a_worker_stopped_goes_to_another_one():
    client = FakeClient({"a": [{"state": at_work.STOPPED}, done()]})
    assert run(client, jobs("a"))[0].slides[0].state == "done"


@pytest.mark.parametrize(("device", "asked"), [("auto", {"GPU": 1}), ("cpu", None)])
def test_graphics_cards_get_a_slide_each(device, asked):
    client = FakeClient({"a": [done()]}, resources={"GPU": 1})
    run(client, jobs("a", device=device))
    assert client.sent[0][3]["resources"] == asked


def test_a_stop_and_a_scheduler_that_is_gone_leave_at_once(monkeypatch):
    client = FakeClient({"a": [done()]})
    with pytest.raises(Nh2stError, match="the same command goes on"):
        run(client, jobs("a"), cancelled=lambda: True)
    client.status = "closed"
    with pytest.raises(Nh2stError, match="the scheduler is gone; what was predicted is kept"):
        run(client, jobs("a"))


def test_the_table_says_how_it_stands_and_fits_the_terminal():
    at_work = [(f"slide-{i}", 1000 * i, 5000) for i in range(12)]
    lines = Standing(3, 12, 1, 184, 4, 120.0, 60.0, 3720.0, at_work).lines(60)
    assert lines[0].startswith("slides: 3 done, 12 running, 1 failed, 184 waiting; 4 workers;"[:58])
    assert "; 2 mm²/s; 62 min left" in Standing(3, 12, 1, 184, 4, 120.0, 60.0, 3720.0).summary()
    assert "  slide-2: 2,000 of 5,000 tiles" in lines
    assert lines[-1] == "  and 4 more"
    assert all(len(line) < 60 for line in lines)


def test_a_job_knows_its_files_and_notes_a_changed_slide(tmp_path):
    slide = tmp_path / "s.tif"
    slide.write_bytes(b"1")
    job = Job(str(slide), None, "", "", Settings("m", "hash", str(tmp_path / "out")))
    assert job.record == Path(tmp_path / "out" / "cohort" / "s.json")
    before = job.digest()
    slide.write_bytes(b"22")
    assert job.digest() != before

"""A list of work: what waits for what, what is tried again, and what is left out."""

import pytest

from napari_nh2st.cohort.at_work import DONE, FAILED, STOPPED
from napari_nh2st.cohort.crew import Endings, Watch
from napari_nh2st.cohort.work_list import LEFT_OUT, WorkItem, WorkList
from napari_nh2st.errors import Nh2stError
from support.crews import InlineClient

ENDINGS = Endings("stopped; it is kept", "the scheduler is gone; it is kept")


def answers(*states):
    """Make a task that answers so, one time after the other."""
    rest = list(states)

    def task(*arguments):
        return {"state": rest.pop(0), "error": "it is broken", "worker": "tcp://one", "arguments": arguments}

    return task


def run(*items, client=None, cancelled=lambda: False):
    said, shown, client = [], [], client or InlineClient()
    WorkList(client, items, "tasks", "cpu", Watch(shown.append, said.append, cancelled), ENDINGS).run()
    return client, said, shown


def test_what_fails_is_tried_once_more_elsewhere_then_said_and_the_others_go_on():
    first, second = WorkItem("first", answers(FAILED, FAILED), ()), WorkItem("second", answers(DONE), (7,))
    client, said, shown = run(first, second)
    assert (first.state, second.state, second.answer["arguments"]) == (FAILED, DONE, (7,))
    assert said == ["warning: first failed: it is broken"]
    assert [where for _, name, where in client.sent if name == "first"] == [None, ["tcp://two"]]
    assert shown[-1].summary().startswith("tasks: 1 done, 0 running, 1 failed, 0 waiting; 2 workers")


def test_no_more_run_than_there_are_workers():
    _, _, shown = run(*(WorkItem(str(i), answers(DONE), ()) for i in range(6)))
    assert (shown[0].running, shown[0].waiting, [name for name, *_ in shown[0].at_work]) == (2, 4, ["0", "1"])
    assert {s.done + s.running + s.failed + s.waiting for s in shown} == {6}


def test_an_item_waits_for_others_and_is_left_out_without_those_that_it_needs():
    broken, fine = WorkItem("broken", answers(FAILED, FAILED), ()), WorkItem("fine", answers(DONE), ())
    after = WorkItem("after", answers(DONE), (), after=[broken, fine])
    needs = WorkItem("needs", answers(DONE), (), needs=[broken, fine])
    client, said, _ = run(needs, after, broken, fine)
    assert [item.state for item in (needs, after, broken, fine)] == [LEFT_OUT, DONE, FAILED, DONE]
    assert client.sent[-1][1] == "after"
    assert len(said) == 1


def test_what_stops_with_its_worker_is_begun_again_and_counts_as_no_failure():
    item = WorkItem("stops", answers(STOPPED, FAILED, STOPPED, DONE), ())
    run(item)
    assert (item.state, item.stops) == (DONE, 2)
    endless = WorkItem("endless", answers(*[STOPPED] * 60), ())
    assert run(endless)[1] == ["warning: endless failed: workers stopped again and again"]


def test_of_thousands_those_that_have_ended_are_not_looked_at_again(monkeypatch):
    looks, ready = [], WorkItem.ready.fget
    monkeypatch.setattr(WorkItem, "ready", property(lambda item: looks.append(item) or ready(item)))
    run(*(WorkItem(str(i), answers(DONE), ()) for i in range(400)))
    assert len(looks) < 5 * 400


def test_what_was_done_before_is_not_sent():
    earlier = WorkItem("earlier", answers(), (), state=DONE)
    later = WorkItem("later", answers(DONE), (), needs=[earlier])
    assert [name for _, name, _ in run(earlier, later)[0].sent] == ["later"]


def test_a_stop_and_a_scheduler_that_is_gone_leave_at_once():
    with pytest.raises(Nh2stError, match="stopped; it is kept"):
        run(WorkItem("one", answers(DONE), ()), cancelled=lambda: True)
    client = InlineClient()
    client.status = "closed"
    with pytest.raises(Nh2stError, match="the scheduler is gone; it is kept"):
        run(WorkItem("one", answers(DONE), ()), client=client)

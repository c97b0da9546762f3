"""Clients of Dask that are none: tasks run at once, in this process."""

from concurrent.futures import Future
from contextlib import contextmanager


class FakeFuture(Future):
    """A future of Dask that has ended already."""

    def __init__(self, key, answer):
        super().__init__()
        self.key, self.status = key, "error" if isinstance(answer, Exception) else "finished"
        if isinstance(answer, Exception):
            self.set_exception(answer)
        else:
            self.set_result(answer)


class InlineClient:
    """Runs each task as soon as it is sent; notes what was sent: the task's name, and the words before its number."""

    status = "running"

    def __init__(self, workers=("tcp://one", "tcp://two")):
        self.workers = {name: {} for name in workers}
        self.sent = []

    def submit(self, task, *arguments, key, **where):
        self.sent.append((task.__name__, key.rpartition("-")[0], where["workers"]))
        return FakeFuture(key, task(*arguments))

    def scheduler_info(self, n_workers):
        return {"workers": self.workers}

    def cancel(self, futures, force):
        pass


def workers_inline(client):
    """Return what stands in for `workers_of`."""

    @contextmanager
    def workers_of(count, scheduler, device):
        yield client

    return workers_of

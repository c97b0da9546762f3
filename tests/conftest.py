import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.guard import WriteGuard


@pytest.fixture(scope="session")
def write_guard(tmp_path_factory: pytest.TempPathFactory) -> WriteGuard:
    guard = WriteGuard(tmp_path_factory.getbasetemp())
    guard.watch()
    return guard


@pytest.fixture(autouse=True)
def no_file_is_left_behind(write_guard: WriteGuard) -> Iterator[None]:
    """Fail a test that writes into the home folder, the working folder, or wherever else a person keeps files."""
    yield
    refused = list(write_guard.refused)
    write_guard.refused.clear()
    assert not refused, f"written outside the test's own folder: {refused}"


@pytest.fixture(scope="module", autouse=True)
def what_is_there_is_no_garbage() -> None:
    """Leave what the tests before have imported out of collections: napari makes one for each layer that goes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real slides and sections; NH2ST_DATA names another place."""
    folder = Path(os.environ.get("NH2ST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "slides").is_dir():
        pytest.skip(f"the test data are not at {folder} (set NH2ST_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the caches of a test run out of the user's own, and together for the run."""
    folder = tmp_path_factory.mktemp("nh2st-cache")
    before = os.environ.get("NH2ST_CACHE")
    os.environ["NH2ST_CACHE"] = str(folder)
    yield folder
    if before is None:
        os.environ.pop("NH2ST_CACHE", None)
    else:
        os.environ["NH2ST_CACHE"] = before


@pytest.fixture
def nh2st(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: ``nh2st(*words)`` gives the exit status and what was printed."""
    from napari_nh2st import cli

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nh2st", *map(str, words)])
        capsys.readouterr()
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)
        out = capsys.readouterr()
        return status, out.out, out.err

    return call

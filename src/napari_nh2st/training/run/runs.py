"""The runs that were started on this machine, found again whatever was closed meanwhile. Quick: no torch, no Qt."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import contents, parse_json
from napari_nh2st.training.run.metrics_file import append_line
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.run_process import ACTIVE, RunProcess, RunState
from napari_nh2st.training.run.summary import read_summary

_KEPT = 100


_LOOK_AGAIN = 0.5  # seconds


def registry_file() -> Path:
    """Return the file that lists them, in the user's data folder."""
    return platformdirs.user_data_path("napari-nh2st") / "runs.json"


@dataclass(frozen=True)
class RunLine:
    """One run in a list of runs.

    Attributes
    ----------
    folder : Path
    state : str
    started : float or None
        Seconds since 1970; None where it was not started by a `RunProcess`.
    best : float or None
        Mean held-out PCC of the run's summary; before there is one, the highest of the epochs on inner blocks.
    model : Path or None
        The model's folder, once there is one.
    sheet : Path or None
        The sample sheet that it was started with.
    resumable : bool
    message : str
        Why it ended early.
    stage : str
        What it does just now, where it tells.
    """

    folder: Path
    state: RunState
    started: float | None = None
    best: float | None = None
    model: Path | None = None
    sheet: Path | None = None
    resumable: bool = False
    message: str = ""
    stage: str = ""

    @property
    def active(self) -> bool:
        """True if a process is at work on it, or waits for its turn."""
        return self.state in ACTIVE


def line_of(process: RunProcess) -> RunLine:
    """Look at a run's files."""
    status, record = process.status(), process.record()
    argv = [str(word) for word in record.get("argv", ())]
    sheet = Path(argv[argv.index("finetune") + 1]) if "finetune" in argv[:-1] else None
    started = float(record["started"]) if "started" in record else None
    summary = None if status.active else read_summary(process.folder)
    best = status.metrics.best() if summary is None else summary.lines[-1].pcc
    return RunLine(
        process.folder, status.state, started, best, status.model, sheet,
        process.can_resume and sheet is not None, status.message, status.metrics.stage or "",
    )  # fmt: skip


def known_runs() -> list[Path]:
    """Return the run folders that were remembered and are still there, the last one first."""
    return [folder for folder in _listed() if folder.is_dir()]


def remember(folder: str | Path) -> None:
    """Put a run folder first in the list. A folder that is out of reach just now, on a drive say, keeps its place."""
    first = _whole(folder)
    _write([first, *(f for f in _listed() if f != first)])


def forget(folder: str | Path) -> None:
    """Take a run folder off the list; its files stay."""
    _write([f for f in _listed() if f != _whole(folder)])


def wait_for(runs: Sequence[str | Path], out: str | Path, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Wait until nothing is at work in other run folders any more, and say so in this run's metrics.

    Parameters
    ----------
    runs : sequence of path
        Folders of the runs before this one.
    out : path
        This run's folder. A file named ``stop`` in it ends the wait.
    cancelled : callable
        As well.

    Raises
    ------
    Nh2stError
        If the wait was ended.
    """
    before, run = [RunProcess(Path(r).expanduser()) for r in runs], RunFolder(Path(out).expanduser())
    if not any(process.status().active for process in before):
        return
    run.path.mkdir(parents=True, exist_ok=True)
    _tell(run, event="queued", after=[str(process.folder) for process in before])
    while any(process.status().active for process in before):
        if cancelled() or run.stop.exists():
            _tell(run, event="cancelled")
            raise Nh2stError("stopped while it waited for other runs: nothing was trained")
        time.sleep(_LOOK_AGAIN)
    _tell(run, event="preparing")


def _tell(run: RunFolder, **values: object) -> None:
    append_line(run.metrics, values)


def _whole(folder: str | Path) -> Path:
    return Path(folder).expanduser().resolve()


def _listed() -> list[Path]:
    try:
        folders = parse_json(contents(registry_file()))
    except (OSError, ValueError):  # not there yet, or broken: the runs themselves are elsewhere
        return []
    return [Path(f) for f in folders if isinstance(f, str) and "\0" not in f] if isinstance(folders, list) else []


def _write(folders: Sequence[Path]) -> None:
    with finished_file(registry_file()) as draft:
        draft.write_text(json.dumps([str(f) for f in folders[:_KEPT]], indent=1) + "\n", "utf-8")

"""Checks of a training run's folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.doctor.system import free_bytes, network_kind
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.run.run_folder import RunFolder

if TYPE_CHECKING:
    from napari_nh2st.training.run.run_process import RunProcess

SECONDS = 120.0
_LOG_LINES = 12
_LITTLE, _FULL = 2 * 10**9, 2 * 10**8


def state(_: Probes, folder: Path) -> Finding:
    """Say where the run stands, and how it goes on."""
    process = _process(folder)
    status = process.status()
    log = tuple(line for line in process.tail(_LOG_LINES).splitlines() if line.strip())
    if status.state == "empty":
        return warning("no run was started here", "nh2st finetune SAMPLES.csv --out RUN starts a run")
    if status.state == "failed":
        return fault(f"it ended early: {status.message.rstrip('.')}", _go_on(process, folder), *log)
    if status.state == "cancelled":
        kept = "; what it had learnt so far is a model" if status.model else ""
        return warning(f"it was stopped{kept}", _go_on(process, folder), *log)
    if status.state == "paused":
        return warning("it is paused", f"remove the file {RunFolder(folder).pause} to let it go on", *log)
    if status.state == "done":
        return ok("it is done", *log)
    epoch, total = status.metrics.epoch, status.metrics.total_epochs
    where = "" if epoch is None or total is None else f", epoch {epoch + 1} of {total}"
    return ok(f"it is at work ({status.state}{where})", *log)


def _process(folder: Path) -> RunProcess:
    from napari_nh2st.training.run.run_process import RunProcess  # needs what a broken installation may lack

    return RunProcess(folder)


def _go_on(process: RunProcess, folder: Path) -> str:
    """Return what lets a run that ended go on."""
    words = resume_command(process, folder)
    if not process.can_resume:
        return "nothing was kept: start it again"
    return (
        f"mend the reason, then go on: {words}" if words else "mend the reason, then repeat its command with --resume"
    )


def resume_command(process: RunProcess, folder: Path) -> str:
    """Return the command that lets a run go on; empty if nobody knows its sheet."""
    argv = [str(word) for word in process.record().get("argv", ())]
    if "finetune" not in argv:
        return ""
    words = argv[argv.index("finetune") :]
    if "--resume" not in words:
        words.append("--resume")
    return shlex.join(["nh2st", *words])


def log_errors(_: Probes, folder: Path) -> Finding | None:
    """Look for warnings in what the run told of itself."""
    notes = _process(folder).status().metrics.notes
    if not notes:
        return None
    return warning("; ".join(n.rstrip(".") for n in notes[-3:]), "read its log if the figures surprise you", *notes)


def started_with(_: Probes, folder: Path) -> Finding | None:
    """Read what the run was started with, which a resumed run needs."""
    from napari_nh2st.reading import read_json
    from napari_nh2st.training.config import read_config

    files = RunFolder(folder)
    if not files.start.is_file():
        return None
    try:
        started = read_json(files.start)
        samples = len(started["samples"])
        read_config(files.config)
    except (Nh2stError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return fault(f"its settings cannot be read: {error}", "start it again in another folder")
    return ok(f"started on {samples} section{'s' * (samples != 1)}; its settings can be read")


def checkpoints(probes: Probes, folder: Path) -> Finding | None:
    """Read the checkpoints."""
    files = checkpoint_files(folder)
    if not files:
        return None
    answer = _answer(probes, folder)
    bad = {name: fact["error"] for name, fact in answer.facts.items() if "error" in fact}
    for name, reason in bad.items():
        if reason == "begun":
            bad[name] = f"reading it {answer.why or 'did not end'}"
    if not answer.facts:
        return fault(f"the checkpoints cannot be read: {answer.why}", "mend the installation first")
    if bad:
        said = "; ".join(f"{name} cannot be read ({reason})" for name, reason in bad.items())
        gone = " ".join(shlex.quote(str(folder / "checkpoints" / name)) for name in bad)
        return fault(said, f"remove {gone} and go on with --resume: it goes on from what is left")
    epochs = [fact["epoch"] for fact in answer.facts.values() if "epoch" in fact]
    where = f", up to epoch {max(epochs) + 1}" if epochs else ""
    return ok(f"{len(answer.facts)} checkpoint file{'s' * (len(answer.facts) != 1)} can be read{where}")


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files that a resumed run goes on from, as far as they are there."""
    run = RunFolder(folder)
    prepared = (run.encoder, run.encoder_again, run.embedded, run.embedded_again, run.embedded_held_out)
    files = (*prepared, run.best, run.last, run.refit)
    return [file for file in files if file.is_file()]


def _answer(probes: Probes, folder: Path) -> Answer:
    return probes.answer("checkpoints", *map(str, checkpoint_files(folder)), seconds=SECONDS)


def trained_model(_: Probes, folder: Path) -> Finding | None:
    """Look at the card of the model that the run has left."""
    from napari_nh2st.model.folder import load_card

    model = RunFolder(folder).model
    if not model.exists():
        return None
    try:
        card = load_card(model)
    except (Nh2stError, OSError, ValueError, RecursionError) as error:
        return fault(str(error), "go on with --resume, which writes the model again")
    return ok(f"it has left a model of {len(card.genes)} genes", "nh2st doctor RUN/model looks at it closely")


def space(_: Probes, folder: Path) -> Finding:
    """Look whether the run's disk has space, and where it lies."""
    free, network = free_bytes(folder), network_kind(folder)
    if free is not None and free < _FULL:
        return fault(
            f"its disk has only {free / 1e6:.0f} MB free", "free some space: checkpoints are written every epoch"
        )
    if free is not None and free < _LITTLE:
        return warning(f"its disk has only {free / 1e9:.1f} GB free", "free some space")
    if network:
        return warning(f"it lies on a network drive ({network})", "train on a disk of this machine if epochs are slow")
    return ok("its disk has space")

"""The table of checks, by what they look at: a new check is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari_nh2st.doctor.checks import (
    compute,
    display,
    machine,
    model,
    packages,
    plugin,
    prediction,
    predictors,
    run,
    slide,
)
from napari_nh2st.doctor.examination import Check, Group, Probes
from napari_nh2st.doctor.subject import Subject
from napari_nh2st.slide_path import shown

INSTALLATION: tuple[Callable[[Probes], Any], ...] = (
    packages.python_version,
    packages.installed_once,
    packages.package_versions,
    packages.packages_import,
    packages.qt_binding,
    compute.torch_works,
    compute.graphics_card,
    compute.apple_graphics,
    compute.processor,
    compute.threads,
    plugin.napari_sees_it,
    plugin.enabled,
    plugin.reader_choice,
    predictors.others_work,
    machine.memory,
    machine.home_folder,
    machine.temporary_folder,
    machine.working_folder,
    machine.cache,
    machine.clock,
    machine.text_encoding,
)
DISPLAY: tuple[Callable[[Probes], Any], ...] = (display.screen, display.window, display.canvas)
SLIDE = (slide.opens, slide.pixel_size, slide.reads, slide.sound, slide.tissue, slide.stays)
MODEL = (model.card, model.weights, model.gene_ids, model.trust, model.predicts, model.device_agrees)
RUN = (run.state, run.log_errors, run.started_with, run.checkpoints, run.trained_model, run.space)
PREDICTION = (prediction.readable, prediction.complete, prediction.its_slide, prediction.writer)


def groups(subject: Subject) -> list[Group]:
    """Return the checks of the installation, the display, and everything that is asked about."""
    out = [_group("Installation", INSTALLATION), _group("Display", DISPLAY)]
    out += [_group("Slide", SLIDE, path, path, subject.mpp) for path in subject.slides]
    out += [_group("Model", MODEL, name, name, subject.device) for name in subject.models]
    out += [_group("Run", RUN, path, path) for path in subject.runs]
    out += [_group("Prediction", PREDICTION, path, path) for path in subject.predictions]
    return out


def begin_probes(probes: Probes) -> None:
    """Start the processes that the checks will ask, so that they run beside each other."""
    probes.begin("compute")
    probes.begin("plugin")
    probes.begin("predictors")
    probes.begin("packages", *packages.IMPORTED)
    if display.draws():
        probes.begin("window")


def _group(title: str, checks: tuple[Callable[..., Any], ...], named: Path | str = "", *arguments: Any) -> Group:
    return Group(title, [Check(c.__name__, partial(_call, c, arguments)) for c in checks], shown(named))


def _call(check: Callable[..., Any], arguments: tuple[Any, ...], probes: Probes) -> Any:
    return check(probes, *arguments)

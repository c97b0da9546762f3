"""Viewer tests that need a real window are skipped without a display: Qt would end the whole process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from viewer.canvas import Canvas


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        skip = pytest.mark.skip(reason="needs a display: run under xvfb-run")
        for item in items:
            if item.get_closest_marker("viewer"):
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def plugins_are_looked_for_once() -> Iterator[None]:
    """Read the manifests of all plugins once: napari's fixture makes each window look for them anew, twice."""
    from npe2 import PluginManifest

    look, found = PluginManifest.discover, {}

    def discover(paths: Sequence[str | Path] = ()) -> Iterator[Any]:
        key = tuple(map(str, paths))
        if key not in found:
            found[key] = list(look(paths))
        return iter(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", discover)
        yield


@pytest.fixture
def keep_settings_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder for what the docks remember, which is not the user's own."""
    from napari import settings

    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))  # as napari's own fixture does
    settings._clear_plugin_settings_cache()
    yield tmp_path
    settings._clear_plugin_settings_cache()


@pytest.fixture(autouse=True)
def own_settings(request: pytest.FixtureRequest) -> None:
    """Keep what the docks remember away from the user's own settings."""
    if request.node.get_closest_marker("viewer"):
        request.getfixturevalue("keep_settings_in")


@pytest.fixture(autouse=True)
def no_dialog_waits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a dialog would wait for an answer that nobody gives: no time limit of pytest's ends that."""
    if not request.node.get_closest_marker("viewer"):
        return
    from qtpy.QtWidgets import QDialog, QFileDialog

    def refuse(*given: Any, **options: Any) -> None:
        parts = [given[0].windowTitle() or type(given[0]).__name__] if given and given[0] is not None else []
        raise AssertionError(" ".join(["nobody answers a dialog:", *parts, *map(str, given[1:])]))

    monkeypatch.setattr(QDialog, "exec", refuse)
    for name in ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"):
        monkeypatch.setattr(QFileDialog, name, refuse)


PATIENCE_MS = 20_000  # a busy machine takes its time to start a process, or to load torch


@pytest.fixture
def qtbot(qtbot: Any) -> Any:
    """Click as a person does, who waits until a widget in sight has its size: one that was just unfolded has none.

    And wait long enough for a machine that has other things to do, where a test names no time of its own.
    """
    click, wait = qtbot.mouseClick, qtbot.waitUntil

    def click_what_is_laid_out(widget: Any, *given: Any, **options: Any) -> None:
        if widget.isVisible():
            wait_until(lambda: not widget.rect().isEmpty())
        click(widget, *given, **options)

    def wait_until(condition: Callable[[], Any], *, timeout: int = PATIENCE_MS) -> None:
        wait(condition, timeout=timeout)

    qtbot.mouseClick, qtbot.waitUntil = click_what_is_laid_out, wait_until
    return qtbot


@pytest.fixture
def canvas(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canvas]:
    """Return a window with the dock, on whose canvas files are dropped."""
    from napari.utils.notifications import notification_manager

    canvas = Canvas(make_napari_viewer(show=True), qtbot, monkeypatch)
    yield canvas
    notification_manager.notification_ready.disconnect(canvas._noted)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a randomly initialised model, small enough for every test."""
    import torch

    from napari_nh2st.model.card import Architecture, Card
    from napari_nh2st.model.folder import save_model
    from napari_nh2st.model.nh2st import build

    torch.manual_seed(0)
    architecture = Architecture(width=4, dim=16, hidden=8, heads=2, stride=32)
    genes = [f"GENE{i}" for i in range(20)]
    card = Card(
        name="tiny", architecture=architecture, mpp=0.5, pitch=224, genes=genes, gene_means=[0.0] * 20, synthetic=True
    )
    return save_model(build(architecture, len(genes)), card, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def small_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pyramidal TIFF with pixel size: pink tissue with dark dots on white, 1,100 x 900 pixels."""
    import numpy as np
    import tifffile

    rng = np.random.default_rng(0)
    image = np.full((900, 1100, 3), 245, dtype=np.uint8)
    image[100:850, 120:1000] = (215, 140, 185)
    rows, columns = rng.integers(100, 850, 3000), rng.integers(120, 1000, 3000)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            image[np.clip(rows + dy, 0, 899), np.clip(columns + dx, 0, 1099)] = (90, 50, 120)
    path = tmp_path_factory.mktemp("slides") / "small.tif"
    with tifffile.TiffWriter(path) as file:
        how = {"tile": (256, 256), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
        file.write(image, subifds=0, resolution=(20000, 20000), **how)
    return path

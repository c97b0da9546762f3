"""A second run over the same slide, and a run that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.bench.child_processes import run_json, start
from napari_nh2st.bench.data_sets import own_cache
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places, store_for
from napari_nh2st.engine.store import SUFFIX, PredictionStore, find_prediction, open_prediction
from napari_nh2st.errors import Cancelled, Nh2stError

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets

START_SECONDS = 120


def second_run(data_sets: DataSets) -> Findings:
    """Predict the demo slide twice into one folder; the second time encodes nothing. Weigh what is left on the disk."""
    slide, model = data_sets.demo, data_sets.load_model()
    places = lattice_for(slide, model.card)
    encoded, folder, cache = [], data_sets.options.folder / "second", data_sets.options.folder / "cache-second"
    with own_cache(cache):
        options = replace(data_sets.prediction_options, cache=True)
        for _ in range(2):
            store = store_for(folder, slide, model, places.pitch, options)
            encoded.append(predict_places(slide, model, places, replace(options, store=store))[1])
    return Findings(
        {"second_run_encoded": Value.one(encoded[1])},
        notes={"second_run_encoded": f"{encoded[0]} tiles the first time"},
        storage={
            "results_per_tile": size_of(folder) / len(places),
            "cache_per_tile": size_of(cache / "embeddings") / len(places),
        },
    )


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def killed(data_sets: DataSets) -> Findings:
    """Kill ``nh2st predict`` in mid-run (SIGKILL), run it again, and compare with one that was left alone."""
    if os.name == "nt":
        return Findings(notes={"killed_lost": "left out: Windows has no SIGKILL"})
    options = data_sets.options
    words = ["napari_nh2st", "predict", data_sets.demo_path, "--model", options.model, "--format", "none", "--json"]
    words += ["--device", options.device, "--precision", options.precision]
    model = data_sets.load_model()
    # Cells of half a patch: a run long enough to be killed in the middle.
    stride = model.card.architecture.stride
    words += ["--pitch", stride if options.quick else model.card.patch // 2 // stride * stride]
    cache = options.folder / "cache-killed"
    with own_cache(cache):
        folder = options.folder / "killed"
        if not _kill_when_begun([*words, "--out", folder], folder, data_sets):
            return Findings(notes={"killed_lost": "left out: the run was over before it could be killed"})
        before = finished_tiles(folder)
        row = run_json([*words, "--out", folder], options.cancelled)["slides"][0]
        # The calibration of this machine stays: the other memory format would round differently.
        shutil.rmtree(cache / "embeddings", ignore_errors=True)
        run_json([*words, "--out", options.folder / "calm"], options.cancelled)
    again, calm = (open_prediction(f) for f in (folder, options.folder / "calm"))
    if not np.array_equal(again.places.centres, calm.places.centres):
        raise Nh2stError("a run that was killed and run again has other tiles than one that was left alone")
    difference = float(np.nanmax(np.abs(again.hidden.astype(np.float32) - calm.hidden.astype(np.float32))))
    # What the first run vouched for must not be encoded again.
    lost = max(0, before - int(row["tiles_skipped"]))
    total = row["tiles_total"]
    return Findings(
        {"killed_lost": Value.one(lost), "killed_difference": Value.one(difference)},
        notes={"killed_lost": f"killed with {before} of {total} tiles kept; the second run encoded the rest"},
    )


def finished_tiles(folder: Path) -> int:
    """Count the tiles that a prediction folder vouches for."""
    return PredictionStore(find_prediction(folder)).done


def _kill_when_begun(words: list[object], folder: Path, data_sets: DataSets) -> bool:
    """Start a run and kill it once its first chunk is on the disk; False where it was over before."""
    state = folder / f"{data_sets.demo_path.stem}{SUFFIX}" / "state" / "c"
    with tempfile.TemporaryFile("w+") as errors:
        child = start(words, errors)
        try:
            until = time.monotonic() + START_SECONDS
            while child.poll() is None and not state.exists():
                if data_sets.options.cancelled():
                    raise Cancelled("stopped")
                if time.monotonic() > until:
                    raise Nh2stError(f"nothing was predicted within {START_SECONDS} s")
                time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
        finally:
            child.kill()
            child.communicate()
        return child.returncode == -signal.SIGKILL

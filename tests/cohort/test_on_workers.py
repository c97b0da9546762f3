"""Two workers of Dask that are processes: comparisons and tiles are those of one process."""

import json

import numpy as np
import pytest
import torch
import yaml

from napari_nh2st.cohort.cluster import workers_of
from napari_nh2st.cohort.tile_reading import TileReader
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.compare import compare
from napari_nh2st.training.config import read_config
from napari_nh2st.training.pretraining.pretrain import pretrain
from napari_nh2st.training.pretraining.settings import PretrainSettings
from napari_nh2st.training.pretraining.tissue_tiles import TileRequest
from support.sections import sheet

SETTINGS = {
    "architecture": {"width": 4, "dim": 16, "hidden": 12, "heads": 4, "dropout": 0.1},
    "epochs": 1, "pretrain_steps": 3, "ema": 0.5, "panel": 4, "mpp": 1.0, "device": "cpu", "precision": "fp32",
    "kernel_share": 0.8, "intervals": False,  # one training: tests/cohort/test_comparison.py has the others
}  # fmt: skip


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with workers_of(2, None, "cpu") as client:
            client.wait_for_workers(2)
            yield client


@pytest.fixture(scope="module")
def address(client):
    """As any cluster of Python says it: those of dask_jobqueue are of the same class, `SpecCluster`."""
    return client.cluster.scheduler_address


def figures(report):
    """A report but for its seconds and its command."""
    for split in report["splits"]:
        del split["seconds"]
        for model in split["models"].values():
            del model["seconds"]
    del report["provenance"]["command"]
    return json.dumps(report)


def test_a_comparison_has_the_figures_of_one_process(client, address, nh2st, tmp_path):
    samples = sheet(tmp_path, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(SETTINGS))
    words = ["evaluate", samples, "--protocol", "S1:S2", "--models", "encoder-ridge,nh2st-context", "--seeds", "3"]
    more = ["--config", tmp_path / "c.yaml", "--out", tmp_path / "r.json", "--scheduler", address, "--json"]
    status, out, err = nh2st(*words, *more)
    assert status == 0, err
    assert "tasks: 9 done, 0 running, 0 failed, 0 waiting; 2 workers" in err
    # In one of the workers: with as many threads, on the same processor.
    models = ["encoder-ridge", "nh2st-context"]
    alone = client.submit(compare, samples, "S1:S2", config=read_config(tmp_path / "c.yaml"), models=models, seeds=[3])
    assert figures(json.loads(out)) == figures(alone.result(timeout=60))
    status, again, err = nh2st(*words, *more)
    assert (status, json.loads(again)["splits"]) == (0, json.loads((tmp_path / "r.json").read_text())["splits"])
    assert "tasks:" not in err


def requests(slides, names):
    return [
        TileRequest(slides / f"{name}.tif", None, i, 40, 1.4, PretrainSettings(seed=3)) for i, name in enumerate(names)
    ]


def test_tiles_are_the_same_in_the_same_order(address, slides):
    wanted = requests(slides, ["a", "b", "a"])
    read = TileReader(None, address, lambda: False)(wanted)
    for tiles, request in zip(read, wanted, strict=True):
        alone = request.read(progress=lambda done, total: None, cancelled=lambda: False)
        np.testing.assert_array_equal(tiles, np.stack(alone))
    assert not np.array_equal(read[0], read[2])  # the number of a slide counts


def test_a_slide_without_tiles_is_said_and_nothing_is_written(address, slides):
    with pytest.raises(Nh2stError, match=r"1 of 2 slides could not be read, and nothing was written\. .*broken\.tif"):
        TileReader(None, address, lambda: False)(requests(slides, ["a", "broken"]))


def test_an_encoder_is_the_one_of_one_process(address, slides, nh2st, tmp_path):
    named = [slides / "a.tif", slides / "b.tif"]
    words = ["pretrain", *named, "--out", tmp_path / "e.safetensors", "--steps", 1, "--seed", 5, "--device", "cpu"]
    before = torch.get_num_threads()
    status, _, err = nh2st(*words, "--scheduler", address)
    assert status == 0, err
    torch.set_num_threads(before)
    alone = pretrain(named, tmp_path / "alone.safetensors", PretrainSettings(steps=1, seed=5, device="cpu"))
    weights = [file.read_bytes()[8 + int.from_bytes(file.read_bytes()[:8], "little") :] for file in (
        tmp_path / "e.safetensors", alone,
    )]  # fmt: skip
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "demo", "--workers", 2], "workers need a --protocol"),
        (["--protocol", "S1:S2", "--workers", 2], "kept beside the report"),
        (["--protocol", "S1:S2", "--workers", 2, "--scheduler", "tcp://x"], "give either --workers"),
    ],
)
def test_words_that_do_not_go_together(nh2st, tmp_path, words, said):
    status, _, err = nh2st("evaluate", tmp_path / "samples.csv", *words)
    assert status != 0
    assert said in " ".join(err.split())

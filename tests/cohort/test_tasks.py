"""The tasks of a worker, outside of one."""

from dataclasses import replace

import pytest

from napari_nh2st.cohort import tasks
from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.engine import kept_runner
from napari_nh2st.engine.model_runner import ModelRunner
from support.models import small_model


@pytest.fixture
def made(monkeypatch):
    """The nets for which runners were made, and a worker that has loaded nothing yet."""
    nets = []

    def runner(net, device, precision):
        nets.append(net)
        return ModelRunner(net, device, precision)

    monkeypatch.setattr(kept_runner, "ModelRunner", runner)
    monkeypatch.setattr(tasks, "_models", {})
    tasks._runner.drop()
    yield nets
    tasks._runner.drop()


def test_a_worker_prepares_the_model_once_and_another_model_takes_its_place(slides, model, made, tmp_path):
    settings = Settings(str(model.path), model.hash, str(tmp_path / "one"), device="cpu", precision="fp32")
    jobs = [Job(str(slides / f"{name}.tif"), None, "", "", settings) for name in ("a", "b")]
    assert [tasks.predict_slide(job)["state"] for job in jobs] == [DONE, DONE]
    assert len(made) == 1
    other = small_model(tmp_path, genes=["X", "Y"], gene_means=[0.0] * 2, gene_stds=[1.0] * 2)
    second = replace(settings, model=str(other.path), model_hash=other.hash, out=str(tmp_path / "two"))
    assert tasks.predict_slide(replace(jobs[0], settings=second))["state"] == DONE
    assert len(made) == 2
    assert [*tasks._models] == [other.hash]


def test_another_precision_is_another_runner(model, made):
    import torch

    cpu = torch.device("cpu")
    first = tasks._runner(model.net, cpu, "fp32")
    assert tasks._runner(model.net, cpu, "fp32") is first
    assert tasks._runner(model.net, cpu, "bf16") is not first


def test_a_model_that_is_another_one_here_is_said(slides, model, made, tmp_path):
    settings = Settings(str(model.path), "another", str(tmp_path), device="cpu")
    answer = tasks.predict_slide(Job(str(slides / "a.tif"), None, "", "", settings))
    assert answer["state"] == FAILED
    assert "is another model here than where the command was given" in answer["error"]

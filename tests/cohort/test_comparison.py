"""A comparison whose fits are tasks: what it keeps beside the report, and what it does with a fit that fails."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.cohort import comparison, fit_tasks
from napari_nh2st.cohort.comparison import ComparisonRun
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation import split_ready
from napari_nh2st.evaluation.baselines import nh2st
from napari_nh2st.evaluation.compare import compare
from napari_nh2st.evaluation.measured_sections import MeasuredSections
from napari_nh2st.model import intervals
from napari_nh2st.model.card import Architecture
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.pretraining import on_sections
from support.crews import InlineClient, workers_inline
from support.runs import short_epochs
from support.sections import sheet

CONFIG = TrainingConfig(
    architecture=Architecture(width=4, dim=16, hidden=12, heads=4, dropout=0.1),
    epochs=1, pretrain_steps=3, ema=0.5, panel=4, mpp=1.0, device="cpu", precision="fp32",
)  # fmt: skip
MODELS = ["encoder-ridge", "nh2st-kernel"]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))


@pytest.fixture
def inline(monkeypatch):
    """Workers that are this process, and have read nothing yet."""
    client = InlineClient()
    monkeypatch.setattr(comparison, "workers_of", workers_inline(client))
    monkeypatch.setattr(on_sections, "BATCH", 8)
    monkeypatch.setattr(fit_tasks, "_sections", MeasuredSections())
    monkeypatch.setattr(fit_tasks, "_ready", {})
    with short_epochs():
        yield client


def on_workers(samples, out, protocol="S1:S2", models=MODELS, **more):
    fits = ComparisonRun(out, 2, None, lambda: False)
    return compare(samples, protocol, config=CONFIG, models=models, seeds=[4], fits=fits, **more)


def figures(report):
    """A report but for its seconds."""
    report = json.loads(json.dumps(report))
    for split in report["splits"]:
        del split["seconds"]
        for model in split["models"].values():
            del model["seconds"]
    return report


def test_the_report_is_that_of_one_process_and_finished_tasks_are_used_again(samples, inline, tmp_path):
    protocol = "S1:S2;S2:S1"
    report = on_workers(samples, tmp_path / "r.json", protocol)
    alone = compare(samples, protocol, config=CONFIG, models=MODELS, seeds=[4])
    assert json.dumps(figures(report)) == json.dumps(figures(alone))
    fits = [name for task, name, _ in inline.sent if task == "fit_models"]
    assert len(fits) == len(set(fits)) == 2 * 4
    assert sum(task == "make_encoder" for task, *_ in inline.sent) == 2
    inline.sent.clear()
    again = on_workers(samples, tmp_path / "r.json", protocol)
    assert not inline.sent
    assert json.dumps(again) == json.dumps(report)


def test_one_training_gives_the_stack_and_its_learnt_part(samples, inline, tmp_path, monkeypatch):
    monkeypatch.setattr(intervals, "FEWEST", 4)
    trained = []
    train = nh2st.train_sections
    monkeypatch.setattr(nh2st, "train_sections", lambda *a, **k: trained.append(1) or train(*a, **k))
    both = ["nh2st-learnt", "nh2st-context"]
    report = on_workers(samples, tmp_path / "r.json", models=both)
    assert len(trained) == 1
    alone = compare(samples, "S1:S2", config=CONFIG, models=both, seeds=[4])
    assert len(trained) == 2
    assert json.dumps(figures(report)) == json.dumps(figures(alone))
    (split,) = report["splits"]
    assert split["models"]["nh2st-context"]["intervals"]["held_out"] == "blocks"
    assert "intervals" not in split["models"]["nh2st-learnt"]
    on_workers(samples, tmp_path / "other.json", models=["nh2st-context"])
    assert len(trained) == 3
    again = on_workers(samples, tmp_path / "other.json", models=both)  # the learnt part is new
    assert len(trained) == 4
    assert json.dumps(figures(again)) == json.dumps(figures(alone))


def test_what_is_damaged_or_of_other_inputs_is_fitted_again(samples, inline, tmp_path):
    out = tmp_path / "r.json"
    on_workers(samples, out, models=["colour-ridge"])
    folder = tmp_path / "r.fits"
    for scores in folder.glob("*.json"):
        scores.write_text("{")
    fits = sorted(folder.glob("*.npz"))
    fits[0].write_bytes(fits[0].read_bytes()[:-40])
    inline.sent.clear()
    on_workers(samples, out, models=["colour-ridge"])
    assert sorted(task for task, *_ in inline.sent) == ["fit_models", *["score_model"] * 3]
    inline.sent.clear()
    counts = samples.parent / "S1.h5ad"
    counts.touch()
    on_workers(samples, out, models=["colour-ridge"])
    assert sum(task == "fit_models" for task, *_ in inline.sent) == 3


def test_a_fit_that_fails_is_tried_again_and_said_and_the_others_go_on(samples, inline, tmp_path, monkeypatch, capsys):
    def fails(self, baseline, fitting):
        if baseline.name == "colour-ridge":
            raise Nh2stError("it is broken")
        return split_ready.BlindRun([np.zeros(t.labels.shape, np.float32) for t in self.truths])

    monkeypatch.setattr(split_ready.ReadySplit, "run", fails)
    report = on_workers(samples, tmp_path / "r.json", models=["colour-ridge"])
    (split,) = report["splits"]
    assert [*split["models"]] == ["mean-profile", "coordinates-knn"]
    assert split["failed"] == [{"model": "colour-ridge", "seed": 4, "error": "it is broken"}]
    assert report["warnings"] == ["S1:S2: colour-ridge, seed 4 failed, and is not in this report: it is broken"]
    assert sum(name == "S1:S2: colour-ridge" for _, name, _ in inline.sent) == 2
    assert capsys.readouterr().err.count("warning: S1:S2: colour-ridge failed: it is broken") == 1


def test_nothing_that_could_be_fitted_is_an_error(samples, inline, tmp_path, monkeypatch):
    def fails(self, baseline, fitting):
        raise Nh2stError("it is broken")

    monkeypatch.setattr(split_ready.ReadySplit, "run", fails)
    with pytest.raises(Nh2stError, match=r"nothing could be fitted\. .*it is broken"):
        on_workers(samples, tmp_path / "r.json", models=["colour-ridge"])


def test_failures_of_a_split_that_has_nothing_to_report_count(samples, inline, tmp_path, monkeypatch):
    def fails(self, baseline, fitting):
        if self.test[0].name == "S1":
            raise Nh2stError("it is broken")
        return split_ready.BlindRun([np.zeros(t.labels.shape, np.float32) for t in self.truths])

    monkeypatch.setattr(split_ready.ReadySplit, "run", fails)
    fits = ComparisonRun(tmp_path / "r.json", 2, None, lambda: False)
    report = compare(samples, "S1:S2;S2:S1", config=CONFIG, models=["mean-profile"], seeds=[4], fits=fits)
    assert [split["test"] for split in report["splits"]] == [["S2"]]
    assert fits.failed == 2


def test_a_section_that_a_split_does_not_need_is_forgotten(samples, inline):
    from napari_nh2st.evaluation.splits import parse_protocol
    from napari_nh2st.expression import read_sheet

    (split,) = parse_protocol("S1:S2", read_sheet(samples))
    sections = MeasuredSections()
    for sample in (*split.train, *split.test):
        sections.expression(sample)
    sections.forget_all_but([replace(split.train[0])])
    assert [*sections.data] == ["S1"]

"""What the fine-tune dock says of a run."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.training.run.held_out_prediction import HeldOutPrediction, SectionPrediction
from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.training.run.run_process import RunState, RunStatus
from napari_nh2st.training.run.summary import Summary, SummaryLine
from napari_nh2st.viewer.finetune.messages import (
    map_words,
    progress_words,
    result_words,
    run_facts,
    run_sentence,
    run_state,
    summary_words,
)
from napari_nh2st.viewer.kit.phrases import short
from viewer.fakes import card


@pytest.mark.parametrize(
    ("state", "metrics", "said"),
    [
        ("starting", RunMetrics(), "Preparing: loading the program. You can close napari."),
        (
            "starting",
            RunMetrics(stage="pretraining the encoder", done=12, total=60),
            "Preparing: pretraining the encoder, 12 of 60. You can close napari.",
        ),
        ("running", RunMetrics(stage="training"), "Training. You can close napari."),
        (
            "running",
            RunMetrics([{"val_pcc": 0.25}], stage="scoring beside simpler models"),
            "Comparing with simpler models. You can close napari. Best PCC on inner blocks so far: 0.250.",
        ),
    ],
)
def test_a_run_says_what_it_does(state: RunState, metrics: RunMetrics, said: str) -> None:
    assert run_sentence(RunStatus(state, metrics)) == said


def test_facts_of_a_run() -> None:
    assert run_facts(RunMetrics()) == ""
    assert run_facts(RunMetrics([{"device": "cpu"}])) == "cpu"
    row = {"device": "cuda:0", "memory_mb": 1400, "spots_per_second": 31010.2}
    assert run_facts(RunMetrics([row])) == "cuda:0, 1.4 GB, 31,010 spots/s"
    assert run_facts(RunMetrics([{**row, "memory_mb": 850, "spots_per_second": 3.14}])) == (
        "cuda:0, 850 MB, 3.1 spots/s"
    )


def line(name: str, pcc: float) -> SummaryLine:
    return SummaryLine(name=name, about=f"about {name}", pcc=pcc, low=pcc - 0.04, high=pcc + 0.04)


def summary(**changes: object) -> Summary:
    lines = [line("mean profile", 0.0), line("coordinates alone", 0.1), line("colour ridge", 0.229)]
    values = {"kind": "same-patient", "held_out": ["C5"], "spots": 181, "genes": 250, "lines": lines}
    return Summary.model_validate({**values, "lines": [*lines, line("this model", 0.291)], **changes})


def test_a_summary_stands_beside_simpler_models() -> None:
    assert summary_words(summary()) == (
        "Held-out section C5 (same patient): colour ridge 0.229, this model 0.291. "
        "Mean PCC of 250 genes across 181 spots."
    )
    said = summary_words(summary(kind="cross-patient", held_out=["B1", "B2"]))
    assert said.startswith("Held-out sections B1, B2 (cross-patient): ")
    assert summary_words(summary(held_out=["A (block)"])).startswith("Held-out blocks of A (same patient): ")
    assert [short(v) for v in (0.2, -0.0123, 1.0, -0.0001)] == ["0.200", "-0.012", "1.000", "0.000"]


def test_a_map_says_what_it_shows() -> None:
    empty = np.zeros((181, 2), np.float32)
    section = SectionPrediction("C5", 10.0, empty, empty, empty, empty)
    found = HeldOutPrediction(11, "sections", ["ERBB2", "FLAT"], "counts", [section])
    assert map_words("ERBB2", found, section, 0.412) == "ERBB2, C5, epoch 12: PCC 0.41 across 181 spots"
    last = HeldOutPrediction(None, "sections", found.genes, found.unit, found.sections)
    said = map_words("ERBB2", last, section, 0.412)
    assert said == "ERBB2, C5, finished model: PCC 0.41 across 181 spots"
    blocks = HeldOutPrediction(0, "blocks", found.genes, found.unit, found.sections)
    said = map_words("FLAT", blocks, section, None)
    assert said == "FLAT, block of C5, epoch 1: the same in every spot, no PCC across 181 spots"


def test_what_was_held_out_of_a_model_is_said_as_it_is() -> None:
    trust = {"ERBB2": GeneTrust(pcc=0.41, low=0.33, high=0.48)}
    evaluation = Evaluation(kind="same-patient", samples=["C2 (block)", "C3 (block)"], pcc_mean=0.3, genes=trust)
    assert "Parts of the sections it trained on" in result_words(card(evaluation=evaluation))
    assert "It has learnt from that patient: on another" in result_words(card())


def test_a_run_is_measured_in_what_it_does_just_now() -> None:
    encoding = RunMetrics(stage="looking at the tissue", done=48, total=60, epoch=0)
    assert progress_words(RunStatus("starting", encoding)) == "encoding the tissue, 48 of 60"
    assert run_sentence(RunStatus("starting", encoding)) == (
        "Preparing: encoding the tissue, 48 of 60. You can close napari."
    )
    assert (run_state("starting"), run_state("starting", encoding.stage)) == ("starting", "preparing")
    training = RunMetrics(stage="training", epoch=2, total_epochs=8)
    assert progress_words(RunStatus("running", training, 12.0)) == "epoch 3 of 8   0:12 left"

"""What the docks say."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box
from napari_nh2st.model.card import Evaluation, GeneTrust, TrainingSample
from napari_nh2st.viewer.genes.messages import gene_words
from napari_nh2st.viewer.kit.phrases import clock, count, when
from napari_nh2st.viewer.predict.command import command_line
from napari_nh2st.viewer.predict.events import State, Status
from napari_nh2st.viewer.predict.messages import model_details, model_words, ready_sentence, status_sentence
from napari_nh2st.viewer.predict.region import Region
from viewer.fakes import FakeSlide, card


def test_opening_the_dock_loads_no_torch() -> None:
    """Importing torch on the GUI thread would freeze the window for seconds."""
    code = (
        "import sys; import napari_nh2st.viewer.predict_dock, napari_nh2st.viewer.finetune.dock;"
        "from napari_nh2st.viewer.state.services import Services; from viewer.fakes import FakeSlide, card;"
        "s = Services(); s.models(); s.warnings_for(FakeSlide(), card()); s.lattice_for(FakeSlide(), card());"
        "sys.exit('torch' in sys.modules)"
    )
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": tests}, check=False)
    assert done.returncode == 0


def test_when() -> None:
    now = datetime(2026, 3, 2, 0, 30).timestamp()
    assert when(now - 60, now) == "today 00:29"
    assert when(1e20, now) == when(float("nan"), now) == ""
    assert when(now - 3600, now) == "yesterday 23:30"
    assert when(now - 2 * 86400, now) == "28 Feb 00:30"
    assert when(now - 400 * 86400, now) == "2025-01-26 00:30"
    assert when(None, now) == ""


def test_clock_and_counts() -> None:
    assert [clock(s) for s in (None, 7, 72, 3760)] == ["", "0:07", "1:12", "1:02:40"]
    assert [count(n, "tile") for n in (1, 1200)] == ["1 tile", "1,200 tiles"]


def test_model_line() -> None:
    trained = [TrainingSample(sample=s, patient=s[0], spots=9) for s in ("B4", "C2", "C3")]
    assert model_words(card(training=trained, tissue="HER2-positive breast tumours")) == (
        "4 genes, 3 sections of 2 patients, HER2-positive breast tumours"
    )
    assert model_words(card(training=trained)) == "4 genes, 3 sections of 2 patients"
    assert model_words(card()) == "4 genes, training not recorded"
    assert model_words(card(training=trained, synthetic=True)) == "4 genes, 3 sections, synthetic tissue"


def test_model_details() -> None:
    trained = [TrainingSample(sample=s, patient=s[0], spots=9) for s in ("B4", "C2")]
    assert model_details(card(description="Made here.", training=trained, citation="A. 2021", licence="MIT")) == [
        "Made here.",
        "Trained on B4, C2.",
        "Mean held-out PCC 0.30 over 1 gene, same patient.",
        "PCC: correlation of predicted with measured values across spots. 1 is perfect, 0 is none.",
        "In brackets: the 95% interval.",
        "Held out: tissue that the model did not see in training.",
        "Same patient: the model knows other tissue of these patients. Expect less in a new patient.",
        "Data: A. 2021",
        "Licence: MIT. Predictions, not measurements: for research use only.",
    ]
    assert model_details(card(evaluation=None))[0] == "Not evaluated on held-out tissue."


def test_gene_in_the_list() -> None:
    genes = {"ERBB2": GeneTrust(pcc=0.41, low=0.33, high=0.48), "CD3E": GeneTrust(pcc=0.05, low=-0.1, high=0.2)}
    known = card(evaluation=Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.3, genes=genes))
    said = [gene_words(known, gene) for gene in ("ERBB2", "CD3E", "KRT8")]
    assert said == ["ERBB2   PCC 0.41 (0.33 to 0.48)", "CD3E   PCC 0.05 (-0.10 to 0.20), chance", "KRT8"]


def test_states() -> None:
    say = status_sentence
    assert say(Status()) == "Ready: press Predict."
    assert say(Status(State.RUNNING, step="loading the model")) == "Loading the model…"
    run = Status(State.RUNNING, "C5", step="predicting", done=3242, total=24_240)
    assert say(run) == "C5: 3,242 of 24,240 tiles."
    done = Status(State.DONE, "C5", done=9, total=9, seconds=12.0, share=0.18)
    assert say(done) == "C5: done, 9 tiles in 0:12. 18% of the slide's tissue is predicted."
    assert say(replace(done, seconds=0.3, share=1.0)) == "C5: done, 9 tiles in less than a second."
    assert say(Status(State.DONE, total=9, known=9, share=1.0)) == "Everything here is already predicted."
    assert say(Status(State.CANCELLED, "C5", done=3, total=9)) == "C5: stopped at 3 of 9 tiles. Press Predict to go on."
    assert say(Status(State.CANCELLED, "C5", closed=True)) == "C5 was closed: its prediction has stopped."
    assert say(Status(State.FAILED, "C5", error=Nh2stError("no tissue"))) == "C5: that did not work: no tissue"
    assert "Details" in say(Status(State.FAILED, error=ZeroDivisionError("x")))


def test_what_is_predicted_where_no_job_runs() -> None:
    assert ready_sentence(0, None) == "Ready: press Predict."
    assert ready_sentence(9, 0.18) == "18% of the tissue is predicted. Press Predict to go on."
    assert ready_sentence(9, 1.0) == "All of the tissue is predicted. Choose a gene, or export."
    assert ready_sentence(9, None) == "9 tiles are predicted. Press Predict to go on."  # opened from a file


def test_states_of_a_view_that_is_followed() -> None:
    def say(state: State, **how) -> str:
        return status_sentence(Status(state, follow=True, **how))

    run = {"step": "predicting", "done": 3, "total": 9}
    assert say(State.RUNNING, **run) == "Predicting what you see: 3 of 9 tiles."
    assert say(State.RUNNING, **run, preview=True) == "Quick preview, refining: 3 of 9 tiles."
    assert say(State.RUNNING, step="loading the model") == "Loading the model…"
    so_far = "18% of the tissue is predicted"
    assert say(State.RUNNING, step="around", share=0.18) == f"{so_far}; going on around what you see."
    assert say(State.DONE, total=9, share=0.18) == f"{so_far}; move the view to predict the rest."
    assert say(State.DONE, total=9, share=1.0) == "All of the tissue is predicted."
    assert say(State.DONE, share=0.18) == "No tissue found here. Move the view, or edit the tissue mask."
    assert say(State.CANCELLED, share=0.18) == (
        "Stopped. 18% of the tissue is predicted. Press Predict to follow the view again."
    )
    assert say(State.FAILED, error=Nh2stError("the disk is gone")) == (
        "That did not work: the disk is gone. The view is no longer followed."
    )


def test_command_line() -> None:
    slide = FakeSlide().with_mpp(0.499)
    region = Region(Box(10.4, 20.6, 110, 220), (np.zeros((3, 2)),))
    line = command_line(slide, "my models/m", region, edited_tissue=True, device="cpu")
    assert line == (
        "nh2st predict /nowhere/C9.svs --model 'my models/m' --out predictions --region 10,21,100,199 --mpp 0.499 "
        "--device cpu  # without the outline and the edited tissue mask"
    )
    fine = command_line(slide, "m", Region(), edited_tissue=False, pitch=16)
    assert fine == "nh2st predict /nowhere/C9.svs --model m --out predictions --pitch 16 --mpp 0.499"

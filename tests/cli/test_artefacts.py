"""`--quality` and `--skip-artefacts` as contracts."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from napari_nh2st import open_slide, predict
from napari_nh2st.cohort import tasks
from napari_nh2st.cohort.at_work import DONE
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.leftovers import cohort_table
from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.errors import Nh2stError, NoTissue
from support.slides import picture, tiff


@pytest.fixture(scope="module")
def soft(tmp_path_factory):
    """A procedural slide of 1 um per pixel whose right third was out of focus."""
    pixels = make_section(5, size_mm=(2.2, 1.8)).image.copy()
    right = pixels[:, 1500:]
    right[:] = ndimage.gaussian_filter(right.astype(np.float32), (5, 5, 0))
    return tiff(tmp_path_factory.mktemp("soft") / "soft.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)


@pytest.fixture(scope="module")
def shares(soft):
    with open_slide(soft) as slide:
        return slide.artefacts().shares


def predicted(nh2st, slide, model, out, *more):
    status, printed, err = nh2st("predict", slide, "--model", model.path, "--out", out, "--json", *more)
    assert status == 0, err
    return json.loads(printed)["slides"][0]


def test_info_says_the_shares_if_asked(nh2st, soft, shares):
    facts = json.loads(nh2st("info", soft, "--quality", "--json")[1])
    assert facts["artefacts"] == pytest.approx(shares, abs=1e-4)
    assert 0.1 < facts["artefacts"]["blur"] < 0.4
    assert "artefacts    out of focus " in nh2st("info", soft, "--quality")[1]
    assert "artefacts" not in json.loads(nh2st("info", soft, "--json")[1])


def test_info_of_a_slide_without_a_pixel_size_says_what_is_missing(nh2st, tmp_path):
    slide = tiff(tmp_path / "s.tif", picture(600, 600))
    status, _, err = nh2st("info", slide, "--quality")
    assert status == 1
    assert "--mpp" in err


def test_tiles_out_of_focus_are_left_out_counted_and_never_mixed(nh2st, soft, model, shares, tmp_path):
    assert predicted(nh2st, soft, model, tmp_path / "plain", "--format", "none")["artefacts"] is None
    every = predicted(nh2st, soft, model, tmp_path / "every", "--format", "none", "--quality")
    assert every["artefacts"] == pytest.approx(shares, abs=1e-4)
    assert every["tiles_left_out"] is None
    clean = predicted(nh2st, soft, model, tmp_path / "clean", "--skip-artefacts")
    left_out = clean["tiles_left_out"]
    assert left_out["blur"] > 5
    assert clean["tiles_total"] + sum(left_out.values()) == every["tiles_total"]
    kept = open_prediction(clean["outputs"][0])
    assert kept.provenance["skip_artefacts"] == 0.25
    assert kept.slide["artefacts"] == pytest.approx(shares, abs=1e-4)
    with open_slide(soft) as slide:
        covered = slide.artefacts().shares_at(kept.places.centres, model.card.patch * kept.places.scale).sum(axis=1)
    assert covered.max() <= 0.25
    assert predicted(nh2st, soft, model, tmp_path / "clean", "--skip-artefacts")["tiles_encoded"] == 0
    for out, more in (("clean", []), ("every", ["--skip-artefacts"])):
        status, _, err = nh2st("predict", soft, "--model", model.path, "--out", tmp_path / out, *more)
        assert status == 1
        assert "another limit of artefacts" in err
    said = nh2st("predict", soft, "--model", model.path, "--out", tmp_path / "clean", "--skip-artefacts")[1]
    assert f"left out for artefacts: {sum(left_out.values())} (" in said


def test_a_region_alone_is_not_looked_over_for_artefacts(nh2st, soft, model, tmp_path):
    row = predicted(nh2st, soft, model, tmp_path, "--region", "900,700,300,400", "--format", "none", "--quality")
    assert row["artefacts"] is None


def test_in_python(soft, model, tmp_path):
    every = predict(soft, model, options=PredictionOptions(cache=False))
    clean = predict(soft, model, options=PredictionOptions(cache=False, skip_artefacts=0.25), out=tmp_path)
    assert len(clean.places) < len(every.places)
    with pytest.raises(Nh2stError, match="another limit of artefacts"):
        predict(soft, model, options=PredictionOptions(cache=False, skip_artefacts=0.5), out=tmp_path)
    with pytest.raises(NoTissue, match="free of artefacts"):
        predict(soft, model, region=(1600, 700, 200, 300), options=PredictionOptions(skip_artefacts=0.25))
    with pytest.raises(ValueError, match="from 0 to 1"):
        PredictionOptions(skip_artefacts=25)


def test_what_is_left_out_is_absent_as_a_neighbour(soft, model):
    """A tile beside what was left out is predicted as at an edge of the tissue."""
    from napari_nh2st.engine.places import ground_of, neighbourhood, slide_box

    with open_slide(soft) as slide:
        options = PredictionOptions(skip_artefacts=0.25)
        ground = ground_of(slide, options)
        places = predict(slide, model, options=options).places
        _, present = neighbourhood(places, model.card, slide_box(slide), ground)
        _, before = neighbourhood(places, model.card, slide_box(slide), slide.tissue())
    assert (before & ~present).any()
    assert not (present & ~before).any()


def test_workers_leave_the_same_tiles_out_and_the_table_says_so(soft, model, shares, tmp_path, monkeypatch):
    settings = Settings(str(model.path), model.hash, str(tmp_path), device="cpu", precision="fp32", skip_artefacts=0.25)
    job = Job(str(soft), None, "", "", settings)
    monkeypatch.setattr(tasks, "_models", {})
    answer = tasks.predict_slide(job)
    tasks._runner.drop()
    assert answer["state"] == DONE, answer
    left_out = answer["row"]["tiles_left_out"]
    assert left_out["blur"] > 5
    run = SlideRun(job)
    run.state, run.answer = DONE, answer
    table = cohort_table([run])
    assert isinstance(table, pd.DataFrame)
    assert table.loc[0, "artefacts"] == pytest.approx(sum(shares.values()), abs=1e-3)
    assert table.loc[0, "left_out"] == sum(left_out.values())

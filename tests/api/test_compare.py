"""`compare_models` and `nh2st compare`: two models on one slide, from Python and from the command line."""

import json

import numpy as np
import pandas as pd
import pytest

from napari_nh2st import Nh2stError, Nh2stWarning, compare_models, open_prediction, predict
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.model.card import TrainingSample
from support import predictors
from support.models import small_model
from support.sections import GENES, section

CPU = PredictionOptions(device="cpu", precision="fp32", cache=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A measured section S1, predicted by two small models whose tiles differ in size."""
    folder = tmp_path_factory.mktemp("compared")
    section(folder, "S1", "P1", 1)
    for name, facts in (("one", {}), ("two", {"mpp": 1.25, "genes": [*GENES[1:], "OTHER"]})):
        facts = {"genes": GENES, "n_genes": 4, "name": name, **facts}
        facts["training"] = [TrainingSample(sample="S1" if name == "two" else "T1", patient="P1", spots=10)]
        model = small_model(folder / name, **facts)
        with pytest.warns(Nh2stWarning):
            predict(folder / "S1.tif", model, out=folder / name, options=CPU)
    return folder


@pytest.fixture(scope="module")
def pair(folder):
    return [folder / name / "S1.nh2st" for name in ("one", "two")]


def test_two_folders_become_a_table_and_a_map(pair):
    found = compare_models(*pair)
    assert repr(found).startswith("ModelComparison(one and two: 3 genes, ")
    assert found.table().index.isin(GENES[1:]).all()
    assert found.disagreement("LIGHT").shape == (len(found),)
    named = compare_models(*map(open_prediction, pair), names=["a", "b"])
    assert named.names == ("a", "b")
    pd.testing.assert_frame_equal(named.table(), found.table())
    with pytest.raises(Nh2stError, match="at least two"):
        compare_models(pair[0])


def test_a_measurement_says_which_is_right_and_what_that_is_worth(folder, pair):
    with pytest.warns(Nh2stWarning, match="two was trained on S1: which model is right there says nothing"):
        found = compare_models(*pair, measured=folder / "S1.h5ad")
    assert found.measured.trained_as == ("", "S1")
    assert set(found.measured.table().index) == set(GENES[1:])
    assert found.measured.table().spots.iloc[0] == len(found.measured) > 50


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_the_slide_is_needed_for_a_measurement_alone(folder, pair, tmp_path):
    moved = [open_prediction(path) for path in pair]
    for prediction in moved:
        prediction.slide = {**prediction.slide, "path": str(tmp_path / "gone.tif")}
    assert len(compare_models(*moved))
    with pytest.raises(Nh2stError, match="say where the slide is"):
        compare_models(*moved, measured=folder / "S1.h5ad")
    found = compare_models(*moved, measured=folder / "S1.h5ad", slide=folder / "S1.tif")
    assert len(found.measured) > 50
    section(tmp_path, "S2", "P1", 2)
    with pytest.raises(Nh2stError, match="another slide than the one that was predicted"):
        compare_models(*moved, measured=folder / "S1.h5ad", slide=tmp_path / "S2.tif")


class Colours(predictors.Colours):
    """Someone else's model, with tiles of its own size and a unit of its own."""

    genes = ("LIGHT", "NOISE", "OWN")


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_someone_elses_model_beside_ours(folder, pair):
    theirs = predict(folder / "S1.tif", Colours(), options=CPU)
    found = compare_models(pair[0], theirs, measured=folder / "S1.h5ad")
    assert found.names == ("one", "colours")
    assert found.genes == ["LIGHT", "NOISE"]
    assert found.common.coarsest == 0  # tiles of 112 px at 1 um beside 64 px at 1.6 um
    light = found.values("LIGHT")[1]
    expected = theirs.at(found.common.places.centres, "LIGHT")
    assert np.corrcoef(light, expected)[0, 1] > 0.9
    assert found.measured.table().colours["LIGHT"] > 0.5  # the darker the tissue, the less of it


def test_the_command_prints_or_writes_the_same(nh2st, folder, pair, tmp_path):
    status, out, err = nh2st("compare", *pair)
    assert status == 0
    assert "one: 4 genes, " in err
    assert "in common: 3 genes, " in err
    assert out.split()[:3] == ["PCC", "apart", "tiles"]
    words = ["compare", *pair, "--measured", folder / "S1.h5ad"]
    status, out, err = nh2st(*words, "--out", tmp_path / "t.csv", "--tiles", tmp_path / "d.csv", "--genes", "LIGHT")
    assert (status, out.strip()) == (0, str(tmp_path / "t.csv"))
    assert "warning: two was trained on S1" in err
    table = pd.read_csv(tmp_path / "t.csv", index_col="gene")
    expected = compare_models(*pair)
    assert table.PCC["LIGHT"] == pytest.approx(expected.table().PCC["LIGHT"])
    assert {"measured one", "measured two", "measured difference", "measured spots"} <= set(table.columns)
    tiles = pd.read_csv(tmp_path / "d.csv")
    assert np.allclose(tiles.LIGHT, expected.disagreement("LIGHT"), atol=1e-5)
    status, out, _ = nh2st("compare", *pair, "--json", "--names", "a,b")
    document = json.loads(out)
    assert [model["name"] for model in document["models"]] == ["a", "b"]
    assert set(document["genes"]) == set(GENES[1:])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["{one}"], 2, "give two predictions"),
        (["{one}", "{two}", "--names", "a"], 2, "need as many names"),
        (["{one}", "{two}", "--out", "t.txt"], 2, "ends in .csv"),
        (["{one}", "{two}", "--genes", "DARK"], 1, "not all of one, two predict DARK"),
        (["{one}", "nowhere"], 1, "nowhere is not a prediction"),
    ],
)
def test_mistakes_are_told_in_one_line(nh2st, pair, words, status, said):
    found, _, err = nh2st("compare", *(w.format(one=pair[0], two=pair[1]) for w in words))
    assert found == status
    assert said in err.splitlines()[-1]

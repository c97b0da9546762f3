"""Finding other people's models, by entry point or in a named file. A broken one is a line, and the others go on."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from napari_nh2st.errors import ModelError
from napari_nh2st.model import predictors
from napari_nh2st.model.models import load_card, load_model, model_names
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.model.predictors import find_predictor, list_predictors, name_file
from support.predictors import Colours, name_files, predictor_file

BROKEN = {
    "syntax": "def (",
    "raises": "raise RuntimeError('no licence server')",
    "exits": "import sys; sys.exit('bye')",
    "lacks": "x = 1",
    "imports": "import not_installed_anywhere",
    "other": "predictor = object()",
    "nameless": "import napari_nh2st\nclass P(napari_nh2st.Predictor):\n    predict = print\npredictor = P",
    "twice": "from support.predictors import Colours\nclass P(Colours):\n    genes = ('A', 'A')\npredictor = P",
    "bundled": "from support.predictors import Colours\nclass P(Colours):\n    name = 'her2st'\npredictor = P",
    "coarse": "from support.predictors import Colours\npredictor = Colours(mpp=50)",
    "weights": "from support.predictors import Colours\nclass P(Colours):\n    files = ['/nowhere/w']\npredictor = P",
}
WHY = {
    "syntax": "SyntaxError",
    "raises": "RuntimeError: no licence server",
    "exits": "SystemExit: bye",
    "lacks": "it has no 'predictor'",
    "imports": "ModuleNotFoundError: No module named 'not_installed_anywhere'",
    "other": "make its class a subclass of napari_nh2st.Predictor",
    "nameless": "P has no name, no version, no genes, no unit, no needs",
    "twice": "names a gene twice",
    "bundled": "is that of a bundled model",
    "coarse": "mpp: Input should be less than 10",
    "weights": "needs /nowhere/w: No such file",
}


def test_a_broken_model_is_one_line_that_says_which_and_why(tmp_path, monkeypatch):
    files = [predictor_file(tmp_path)]
    for name, text in BROKEN.items():
        files.append(tmp_path / f"{name}.py")
        files[-1].write_text(text)
    name_files(monkeypatch, tmp_path, *files)
    files.append(tmp_path / "gone.py")
    files[-1].touch()
    name_file(files[-1])
    files[-1].unlink()
    listed = {one.name: one for one in list_predictors()}
    assert set(listed) == {"mine", "gone", *BROKEN}
    assert model_names() == ["demo", "demo-paper", "her2st", "mine"]
    for name, why in {**WHY, "gone": "No such file"}.items():
        trouble = listed[name].trouble
        assert listed[name].model is None
        assert trouble.startswith(f"the model {name!r} of {tmp_path / name}.py does not work: ")
        assert why in trouble
        assert "\n" not in trouble
        with pytest.raises(ModelError, match="does not work"):
            load_model(name)
    assert load_card("mine").genes == ["RED", "GREEN", "BLUE"]
    assert load_card("her2st").predictor is None


def test_an_unknown_name_says_what_there_is(tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path))
    with pytest.raises(ModelError, match=r"no model 'mein': give a model folder or one of demo, .*, mine \(nh2st mod"):
        load_model("mein")


def test_two_of_one_name_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    first, second = predictor_file(tmp_path), predictor_file(tmp_path / "more")
    name_files(monkeypatch, tmp_path, first, second)
    working, twin = list_predictors()
    assert working.model is not None
    assert f"another model of that name is in {first}" in twin.trouble


def test_an_entry_point_is_listed_by_its_own_name(monkeypatch, tmp_path):
    name_files(monkeypatch, tmp_path)
    points = [
        EntryPoint("colours", "support.predictors:Colours", predictors.GROUP),
        EntryPoint("colors", "support.predictors:Colours", predictors.GROUP),
        EntryPoint("away", "support.not_there:Colours", predictors.GROUP),
    ]
    monkeypatch.setattr(predictors, "plugins", lambda: points)
    away, colors, colours = list_predictors()
    assert "No module named 'support.not_there'" in away.trouble
    assert "its entry point is 'colors', and it is named 'colours'" in colors.trouble
    assert colours.model is find_predictor("colours")
    assert colours.model is not None
    assert load_model("colours").card.unit == "share of white"


def test_a_file_can_be_named_without_the_list_and_is_read_again_when_it_changes(tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path)
    file = predictor_file(tmp_path)
    first = load_model(file)
    assert load_model(str(file)) is first
    predictor_file(tmp_path, version="2")
    os.utime(file, ns=(1, 1))
    second = load_model(file)
    assert second.card.predictor.version == "2"
    assert second.hash != first.hash


def test_the_hash_follows_everything_that_answers_depend_on(tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path)
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"one")

    class Weighted(Colours):
        files = (weights,)

    same = PredictorModel(Weighted()).hash
    assert PredictorModel(Weighted()).hash == same
    changed = {"genes": ("R", "G", "B"), "version": "2", "unit": "other", "name": "others"}
    hashes = {PredictorModel(type("Other", (Weighted,), {name: value})()).hash for name, value in changed.items()}
    hashes.add(PredictorModel(Weighted(neighbours=True)).hash)
    weights.write_bytes(b"two")
    hashes.add(PredictorModel(Weighted()).hash)
    assert len(hashes - {same}) == len(changed) + 2
    file = predictor_file(tmp_path)
    before = load_model(file).hash
    predictor_file(tmp_path, more="# another line\n")
    os.utime(file, ns=(2, 2))
    assert load_model(file).hash != before


def test_files_are_put_on_the_list_and_taken_off(tmp_path, monkeypatch):
    file = predictor_file(tmp_path)
    listed = name_files(monkeypatch, tmp_path, file, file)
    assert listed.read_text() == f"{file}\n"
    listed.write_text(f"# mine\n\n{file}\n")
    assert [one.name for one in list_predictors()] == ["mine"]
    name_file(file, forget=True)
    assert list_predictors() == []
    with pytest.raises(ModelError, match="is not in"):
        name_file(file, forget=True)
    with pytest.raises(ModelError, match="is no file"):
        name_file(tmp_path / "none.py")


def test_listing_loads_neither_torch_nor_the_weights(tmp_path):
    code = (
        "import sys; from pathlib import Path; from napari_nh2st.model import predictors\n"
        f"predictors.predictors_file = lambda: Path({str(tmp_path / 'list.txt')!r})\n"
        "(one,) = predictors.list_predictors(); print(one.model.card.name, 'torch' in sys.modules)"
    )
    file = tmp_path / "light.py"
    file.write_text(
        "from napari_nh2st import Predictor, Tiles\n"
        "class Light(Predictor):\n    name, version, unit, genes, needs = 'light', '1', 'u', ['A'], Tiles(64, 1.0)\n"
        "    def load(self, device): import torch\n    def predict(self, batch): ...\n"
        "predictor = Light\n"
    )
    (tmp_path / "list.txt").write_text(f"{file}\n")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["light", "False"]

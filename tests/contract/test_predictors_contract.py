"""The contract of other people's models: the examples of the docs keep to it, and each way to break it is told."""

import numpy as np
import pytest

from napari_nh2st import predict
from napari_nh2st.errors import ModelError
from napari_nh2st.model.models import load_model
from napari_nh2st.testing import check_predictor
from support.predictors import EXAMPLES, Colours, Norms, write_lazyslide, write_ridge, write_torchscript
from support.slides import picture, tiff

WRITERS = {
    "path2space": lambda folder, monkeypatch: write_lazyslide(folder, monkeypatch),
    "tile-genes": lambda folder, monkeypatch: write_torchscript(folder),
    "ridge": lambda folder, monkeypatch: write_ridge(folder),
}


@pytest.fixture(params=WRITERS)
def example(request, tmp_path, monkeypatch):
    return request.param, WRITERS[request.param](tmp_path, monkeypatch)


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_an_example_keeps_to_the_contract_and_predicts(example, tmp_path):
    name, file = example
    model = load_model(file)
    assert model.card.name == name
    check_predictor(model.predictor)
    path = tiff(tmp_path / "s.tif", picture(900, 900), resolution=(1e4, 1e4), resolutionunit=3)
    prediction = predict(path, file, region=(100, 100, 600, 600), out=tmp_path / "out")
    assert len(prediction) >= 9
    assert np.isfinite(prediction.matrix()).all()
    assert prediction.provenance["model"] == name


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_an_example_is_short(file):
    assert len(file.read_text("utf-8").splitlines()) <= 40


@pytest.mark.parametrize("needs", [{}, {"neighbours": True}, {"whole_slide": True}])
def test_a_sound_model_passes(needs):
    check_predictor(Colours(**needs))
    check_predictor(Norms("her2st", **needs))


class Restless(Colours):
    def predict(self, batch):
        return super().predict(batch) + np.random.default_rng().uniform(0.1, 1)


class Crowded(Colours):
    def predict(self, batch):
        values = super().predict(batch)
        return values - values.mean(axis=0)


class Forgetful(Colours):
    def predict(self, batch):
        return np.cumsum(super().predict(batch), axis=0)


class Careless(Colours):
    def predict(self, batch):
        batch.inputs[:] = 0
        return super().predict(batch)


class Short(Colours):
    def predict(self, batch):
        return super().predict(batch)[:, :2]


class Unnamed(Colours):
    genes = ("A", "A", "B")


class Unitless(Colours):
    unit = ""


@pytest.mark.parametrize(
    ("predictor", "error", "said"),
    [
        (Restless, AssertionError, "asking twice changes a value by"),
        (Crowded, AssertionError, "the size of the batch changes a value by"),
        (Forgetful, AssertionError, "the order of the places changes a value by"),
        (Careless, AssertionError, "changes the inputs that it is given"),
        (Short, ModelError, "gave values of shape"),
        (Unnamed, ModelError, "names a gene twice"),
        (Unitless, ModelError, "unit: String should have at least 1 character"),
    ],
)
def test_a_breach_is_told(predictor, error, said):
    with pytest.raises(error, match=said):
        check_predictor(predictor())

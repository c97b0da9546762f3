"""Other people's models, small enough to know their answers; and the docs' examples with stand-ins behind them."""

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np

from napari_nh2st import Embeddings, Predictor, Tiles

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "predictors"


class Colours(Predictor):
    """Means of red, green and blue over a tile, 0 to 1; of its neighbourhood if it looks around."""

    name, version, unit = "colours", "1", "share of white"
    genes = ("RED", "GREEN", "BLUE")

    def __init__(self, **needs):
        self.needs = Tiles(**{"size": 64, "mpp": 1.6, **needs})
        self.batches, self.devices = [], []

    def load(self, device):
        self.devices.append(device)

    def predict(self, batch):
        self.batches.append(batch)
        means = np.concatenate([batch.inputs[i : i + 7].mean(axis=(-3, -2)) / 255 for i in range(0, len(batch), 7)])
        if not self.needs.neighbours:
            return means
        return (means * batch.present[..., None]).sum(axis=1) / batch.present.sum(axis=1)[:, None]


class Norms(Predictor):
    """Norm and first entry of our embeddings."""

    name, version, unit, genes = "norms", "1", "a norm", ("NORM", "FIRST")

    def __init__(self, model, **needs):
        self.needs = Embeddings(str(model), **needs)

    def predict(self, batch):
        own = batch.inputs[:, 4] if self.needs.neighbours else batch.inputs[:]
        return np.stack([np.linalg.norm(own, axis=1) / 100, own[:, 0]], axis=1)


FILE = """
from support.predictors import Colours

class Mine(Colours):
    name, version = "{name}", "{version}"

predictor = Mine
"""


def predictor_file(folder, name="mine", version="1", more=""):
    """Write a Python file that holds a predictor."""
    file = Path(folder) / f"{name}.py"
    file.write_text(FILE.format(name=name, version=version) + more)
    return file


DARK = (
    "\nclass Dark(Mine):\n    name, unit, genes = 'dark', 'ln1p-cp10k', ('DARK', 'LIGHT', 'ELSE')\n"
    "    def predict(self, batch):\n        values = super().predict(batch)\n"
    "        values[:, 0] = 1 - values[:, 0]\n        return values\n\npredictor = Dark\n"
)
"""More of a Python file: a model that sees how dark the tissue of `support.sections` is."""


def name_files(monkeypatch, folder, *files):
    """Let a list of the test's own be the user's list of predictors."""
    from napari_nh2st.model import predictors

    listed = Path(folder) / "settings" / "predictors.txt"
    monkeypatch.setattr(predictors, "predictors_file", lambda: listed)
    for file in files:
        predictors.name_file(file)
    return listed


def example_of(file):
    """Execute the example without making its predictor: what it reads is not written yet."""
    module = types.ModuleType("example")
    module.__file__ = str(file)
    exec(compile(file.read_text(), str(file), "exec"), vars(module))
    return module


def write_ridge(folder, genes=("ERBB2", "CD74")):
    """Copy the example of scikit-learn on embeddings, and fit it to something small."""
    from sklearn.linear_model import Ridge

    from napari_nh2st.model.folder import load_model

    file = Path(shutil.copy(EXAMPLES / "ridge_on_embeddings.py", folder))
    width = load_model("her2st").net.embedding_dim
    rng = np.random.default_rng(0)
    fitted = Ridge(alpha=10.0).fit(rng.normal(size=(40, width)), rng.uniform(0, 3, (40, len(genes))))
    example_of(file).save(fitted, genes, file.with_name("ridge.npz"))
    return file


def write_torchscript(folder, genes=("KRT8", "VIM", "CD3E")):
    """Copy the example of a TorchScript model, and script a small network in WSInfer's form."""
    import torch

    file = Path(shutil.copy(EXAMPLES / "torchscript_tiles.py", folder))
    place = file.with_name("tile-genes")
    place.mkdir()
    config = {
        "spec_version": "1.0",
        "architecture": "small",
        "num_classes": len(genes),
        "patch_size_pixels": 96,
        "spacing_um_px": 1.0,
        "class_names": list(genes),
        "transform": [
            {"name": "Resize", "arguments": {"size": 48}},
            {"name": "ToTensor"},
            {"name": "Normalize", "arguments": {"mean": [0.7, 0.5, 0.6], "std": [0.2, 0.2, 0.2]}},
        ],
    }
    (place / "config.json").write_text(json.dumps(config))
    torch.manual_seed(5)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(8, len(genes)),
    ).eval()  # fmt: skip
    torch.jit.script(net).save(place / "torchscript_model.pt")
    return file


def write_lazyslide(folder, monkeypatch, genes=("GATA3", "ESR1")):
    """Copy the example of a LazySlide model, and put stand-ins of the same interface where LazySlide would be."""
    file = Path(shutil.copy(EXAMPLES / "lazyslide_features.py", folder))
    file.with_name("genes.txt").write_text("\n".join(genes) + "\n")
    module = types.ModuleType("lazyslide_models")
    module.MODEL_REGISTRY = {"path2space": StandInFeatureModel, "ctranspath": StandInEncoder}
    monkeypatch.setitem(sys.modules, "lazyslide_models", module)
    return file


class StandInEncoder:
    """An image model of LazySlide: `get_transform`, `to`, `encode_image` (B, C, H, W) -> (B, d)."""

    def to(self, device):
        return self

    def get_transform(self):
        import torch

        return lambda tile: torch.from_numpy(np.ascontiguousarray(tile)).permute(2, 0, 1).float() / 255

    def encode_image(self, image):
        return image.mean(dim=(2, 3))


class StandInFeatureModel:
    """A feature-prediction model of LazySlide: `features_model_name`, `to`, `predict` (n, d) -> {name: (n,)}."""

    features_model_name = "ctranspath"

    def to(self, device):
        return self

    def predict(self, features):
        values = np.asarray(features)
        return {"ESR1": values[:, 0] * 3, "OTHER": values[:, 1], "GATA3": values[:, 2] * 2}

"""Every head, trained on demo tissue by `nh2st finetune` (make test-long): what it learns, and that labels do not leak.

The encoder is that of a bundled demo model and stays as it is: heads are compared, and a run takes half a minute.
"""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import yaml

from napari_nh2st import metrics
from napari_nh2st.demo.genes import GENES
from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.model.encoder_file import save_encoder
from napari_nh2st.model.folder import bundled_models, load_model
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.slides import open_slide
from napari_nh2st.training.objectives.table import OBJECTIVES

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not {"demo", "demo-paper"} <= set(bundled_models()), reason="make demo-models"),
]
NAMES = [gene.name for gene in GENES]
OWN = np.array([gene.group == "own" for gene in GENES])
TRAINING, TEST = range(1000, 1004), 3000


@pytest.fixture(scope="module")
def sheet(tmp_path_factory) -> Path:
    return write_sample_sheet(TRAINING, tmp_path_factory.mktemp("sheet"), size_mm=(2.4, 2.0))


@pytest.fixture(scope="module")
def shuffled(sheet, tmp_path_factory) -> Path:
    """The same slides, with the counts of each section's spots given to others of its spots."""
    folder = tmp_path_factory.mktemp("shuffled")
    for file in sheet.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for seed in TRAINING:
        data = ad.read_h5ad(folder / f"S{seed}.h5ad")
        data.X = data.X[np.random.default_rng(seed).permutation(data.n_obs)]
        data.write_h5ad(folder / f"S{seed}.h5ad")
    return folder / sheet.name


def trained(sheet, out, head, objective=None, epochs=6):
    """Run `nh2st finetune` with the encoder of a demo model; return the model's folder."""
    base = load_model("demo" if HEADS[head].dense else "demo-paper")
    encoder = save_encoder(base.net.encoder, out / "encoder.safetensors")
    settings = {
        "architecture": {key: getattr(base.card.architecture, key) for key in ("encoder", "width", "dim", "heads")},
        "encoder_start": str(encoder),
        "pretrain_steps": 0,
        "kernel_share": 0.0,
        "train": "head",
        "epochs": epochs,
        "mpp": 1.0,
        "pitch": 144,
        "genes": NAMES,
        "refit": False,
        "intervals": False,
    }
    if objective is not None:
        settings["objectives"] = {objective: {}}
    config = out / "settings.yaml"
    config.write_text(yaml.safe_dump(settings), "utf-8")
    words = ["finetune", sheet, "--variant", head, "--config", config, "--out", out / "run", "--seed", 0]
    subprocess.run([sys.executable, "-m", "napari_nh2st", *map(str, words), "--quiet"], check=True)
    return out / "run" / "model"


@pytest.mark.parametrize("head", HEADS)
def test_a_head_learns_the_demo_s_genes(head, sheet, tmp_path):
    """Mean PCC on another section: .9 for genes of the patch, .8 for those of what is round it if it looks there."""
    model = load_model(trained(sheet, tmp_path, head))
    section = make_section(TEST, size_mm=(3.4, 3.0))
    with open_slide(write_slide(section, tmp_path / "test.tif")) as slide:
        places = lattice_for(slide, model.card)
        prediction = predict_places(slide, model, places, PredictionOptions(cache=False))[0].only_done()
    pcc = metrics.pcc(section.truth(prediction.places.centres), prediction.matrix(NAMES)).per_gene
    print(f"{head}: own {pcc[OWN].mean():.3f}, context {pcc[~OWN].mean():.3f}")
    assert pcc[OWN].mean() >= 0.9
    if "nine" in HEADS[head].needs:
        assert pcc[~OWN].mean() >= 0.8


ROWS = [(head, None) for head in HEADS] + [("context", name) for name in OBJECTIVES if name != "info-nce"]


@pytest.mark.parametrize(("head", "objective"), ROWS)
def test_shuffled_labels_score_0(head, objective, shuffled, tmp_path):
    """On blocks that are held out: a head or an objective that saw their labels would score."""
    card = json.loads((trained(shuffled, tmp_path, head, objective, epochs=3) / "card.json").read_text("utf-8"))
    print(head, objective, card["evaluation"]["pcc_mean"])
    assert abs(card["evaluation"]["pcc_mean"]) < 0.03

"""Train the two bundled models again: ``python -m napari_nh2st.demo.recipe --out DIR``.

It writes the training sections' sample sheet, runs the command `nh2st finetune` for both variants, scores them on
sections that were neither trained nor tuned on, and puts the model folders in place.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import yaml

from napari_nh2st import metrics
from napari_nh2st.demo.genes import GENES
from napari_nh2st.demo.run import MODELS
from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.demo.tissue import make_section, sample_slide
from napari_nh2st.engine.descriptor_file import put_descriptors, read_descriptors
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.model.folder import Model, load_model, load_reference, save_model
from napari_nh2st.slides import open_slide

TRAINING_SEEDS = tuple(range(1000, 1008))
"""Seeds of the training sections."""

TEST_SEEDS = (3000, 3001, 3002)
"""Seeds of the sections for the cards' figures; the settings were chosen on others (2000 to 2002)."""

RECIPES = {"demo": "recipe_context.yaml", "demo-paper": "recipe_paper.yaml"}
SEED = 0


def recipe_path(model: str) -> Path:
    """Return the settings of a bundled model, a YAML file for `nh2st finetune --config`."""
    return Path(str(resources.files("napari_nh2st.demo"))) / RECIPES[model]


def bundle_folder() -> Path:
    """Return the folder of the bundled models in this checkout."""
    return Path(str(resources.files("napari_nh2st.demo"))) / "models"


def write_config(model: str, path: Path) -> Path:
    """Write a model's settings with the demo's genes as its panel."""
    settings = yaml.safe_load(recipe_path(model).read_text("utf-8"))
    settings["genes"] = [gene.name for gene in GENES]
    path.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    return path


def finetune_command(sheet: Path, run_folder: Path, config: Path) -> list[str]:
    """Return the command line that trains one model."""
    program = [sys.executable, "-m", "napari_nh2st"]
    return [*program, "finetune", str(sheet), "--out", str(run_folder), "--config", str(config), "--seed", str(SEED)]


def evaluate(model: Model, seeds: Sequence[int] = TEST_SEEDS) -> Evaluation:
    """Score a model against the truth at the tissue tiles of whole sections.

    Returns
    -------
    Evaluation
        PCC per gene across the tiles of a section, averaged over sections, with the interval of a block bootstrap.
    """
    genes = [gene.name for gene in GENES]
    scores, draws = [], []
    for seed in seeds:
        with open_slide(sample_slide(seed)) as slide:
            prediction = predict_places(slide, model, lattice_for(slide, model.card), PredictionOptions(cache=False))[
                0
            ].only_done()
        truth, centres = make_section(seed).truth(prediction.places.centres), prediction.places.centres
        blocks = metrics.spatial_blocks(centres, side=3.0 * model.card.pitch)
        scores.append(metrics.pcc(truth, prediction.matrix(genes)).per_gene)
        draws.append(metrics.bootstrap(truth, prediction.matrix(genes), blocks).pcc)
    score = np.mean(scores, axis=0)
    low, high = metrics.interval(np.mean(draws, axis=0))
    return Evaluation(
        kind="synthetic",
        samples=[f"procedural section {seed}" for seed in seeds],
        pcc_mean=round(float(score.mean()), 4),
        genes={
            gene: GeneTrust(pcc=round(float(p), 3), low=round(float(a), 3), high=round(float(b), 3))
            for gene, p, a, b in zip(genes, score, low, high, strict=True)
        },
    )


def train(out: Path, bundle: Path | None = None, models: Sequence[str] = MODELS) -> list[Path]:
    """Train, score and bundle models.

    Parameters
    ----------
    out : path
        Folder for the sheet and the runs.
    bundle : path, optional
        Destination of the model folders; the package's own `demo/models` by default.
    models : sequence of str
        Keys of `RECIPES`.

    Raises
    ------
    subprocess.CalledProcessError
        If a training run failed; standard error has the reason.
    """
    bundle = bundle_folder() if bundle is None else bundle
    sheet = out / "sheet" / "samples.csv"
    if not sheet.exists():
        write_sample_sheet(TRAINING_SEEDS, sheet.parent)
    written = []
    for name in models:
        run_folder = out / name
        if not (run_folder / "model").exists():
            config = write_config(name, out / f"{name}.yaml")
            subprocess.run(finetune_command(sheet, run_folder, config), check=True)
        model = load_model(run_folder / "model")
        card = model.card.model_copy(update={"evaluation": evaluate(model)})
        reference = load_reference(run_folder / "model")
        written.append(save_model(model.net, card, bundle / name, half=True, reference=reference))
        put_descriptors(read_descriptors(run_folder / "model"), bundle / name)
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_nh2st.demo.recipe", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the sample sheet and the runs")
    parser.add_argument("--bundle", type=Path, default=None, help="folder for the models (default: the package's own)")
    parser.add_argument("--model", choices=list(RECIPES), action="append", help="only this one")
    given = parser.parse_args(argv)
    for folder in train(given.out, given.bundle, given.model or MODELS):
        evaluation = load_model(folder).card.evaluation
        mean = float("nan") if evaluation is None else evaluation.pcc_mean
        size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
        print(f"{folder}: mean PCC {mean:.3f} on sections {', '.join(map(str, TEST_SEEDS))}, {size:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

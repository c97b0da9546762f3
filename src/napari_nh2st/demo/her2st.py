"""Train the bundled model of real tissue: ``python -m napari_nh2st.demo.her2st SAMPLES.csv --reports DIR --out RUN``.

It runs the command `nh2st finetune` with recipe_her2st.yaml. The card's figures come from the committed cross-patient
reports of the protocol, because the model itself has seen every section.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from napari_nh2st.demo.recipe import bundle_folder
from napari_nh2st.engine.descriptor_file import put_descriptors, read_descriptors
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.protocol import evaluation_of
from napari_nh2st.model.card import Evaluation
from napari_nh2st.model.folder import load_model, load_reference, save_model

NAME = "her2st"
SEED = 0
SCORED_AS = "nh2st-context"


def recipe_path() -> Path:
    """Return the settings, a YAML file for `nh2st finetune --config`."""
    return Path(str(resources.files("napari_nh2st.demo"))) / "recipe_her2st.yaml"


def finetune_command(sheet: Path, run: Path) -> list[str]:
    """Return the command line that trains the model."""
    program = [sys.executable, "-m", "napari_nh2st"]
    return [*program, "finetune", str(sheet), "--out", str(run), "--config", str(recipe_path()), "--seed", str(SEED)]


def cross_patient(reports: Path) -> Evaluation:
    """Average the cross-patient splits of full reports, weighted by spots.

    Raises
    ------
    Nh2stError
        If there are none.
    """
    splits: list[dict[str, Any]] = []
    for path in sorted(reports.glob("*.json")):
        report = json.loads(path.read_text("utf-8"))
        if report.get("budget") == "full":
            splits += [s for s in report["splits"] if s["kind"] == "cross-patient" and SCORED_AS in s["models"]]
    if not splits:
        raise Nh2stError(f"{reports} holds no full report with a cross-patient split: run nh2st evaluate --protocol")
    figures = evaluation_of(splits, SCORED_AS)
    names = [f"{','.join(s['test'])} (trained on {', '.join(s['train'])})" for s in splits]
    return figures.model_copy(update={"samples": names})


def train(sheet: Path, reports: Path, run: Path, bundle: Path | None = None) -> Path:
    """Train, put the measured figures on the card, and bundle.

    Parameters
    ----------
    sheet : path
        The sample sheet of the five sections.
    reports : path
        Folder of full reports of the same recipe.
    run : path
        Folder of the run; a finished run is taken as it is.
    bundle : path, optional
        Destination of the model folder; the package's own by default.

    Raises
    ------
    subprocess.CalledProcessError
        If training failed; standard error has the reason.
    """
    figures = cross_patient(reports)
    if not (run / "model").exists():
        subprocess.run(finetune_command(sheet, run), check=True)
    model = load_model(run / "model")
    known = {g: t for g, t in figures.genes.items() if g in model.card.genes}
    # The training machine's paths are private, and repeat nothing on another machine.
    made = {k: v for k, v in model.card.versions.items() if k != "command"}
    card = model.card.model_copy(update={"evaluation": figures.model_copy(update={"genes": known}), "versions": made})
    folder = (bundle_folder() if bundle is None else bundle) / NAME
    save_model(model.net, card, folder, half=True, reference=load_reference(run / "model"))
    put_descriptors(read_descriptors(run / "model"), folder)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_nh2st.demo.her2st", description=main.__doc__)
    parser.add_argument("sheet", type=Path, help="sample sheet of the HER2 sections")
    parser.add_argument("--reports", type=Path, required=True, help="folder of full reports of nh2st evaluate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--bundle", type=Path, default=None, help="folder for the model (default: the package's own)")
    given = parser.parse_args(argv)
    folder = train(given.sheet, given.reports, given.out, given.bundle)
    size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    print(f"{folder}: {size:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

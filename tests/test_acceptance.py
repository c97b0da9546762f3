"""The whole way on real sections, as a person goes it (make test-long)."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st import metrics
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.expression import labels, read_expression, read_sheet

# Colour statistics and ridge on the same split (C2, C3, C4 -> C5, 250 genes of highest mean raw count).
COLOUR_RIDGE = 0.229


def nh2st(*words: object) -> str:
    call = [sys.executable, "-m", "napari_nh2st", *map(str, words)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout


def part_of(sheet: Path, names: list[str], to: Path) -> Path:
    with sheet.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sample"] in names]
    for row in rows:
        row.update({k: str(sheet.parent / row[k]) for k in ("slide", "expression", "spots")})
    with to.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return to


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_fine_tune_on_three_sections_predict_and_score_the_fourth(data_dir, tmp_path):
    sheet = data_dir / "her2st" / "samples.csv"
    run = tmp_path / "run"
    nh2st("finetune", part_of(sheet, ["C2", "C3", "C4"], tmp_path / "train.csv"), "--out", run)
    test = part_of(sheet, ["C5"], tmp_path / "test.csv")
    nh2st("evaluate", test, "--model", run / "model", "--out", tmp_path / "r.json")
    split = json.loads((tmp_path / "r.json").read_text())["splits"][0]
    scores = split["models"]["nh2st-context"]
    assert split["kind"] == "same-patient"
    assert len(scores["genes"]) == 250
    assert scores["pcc_mean"] >= COLOUR_RIDGE
    assert scores["mse_ratio"] < 1

    nh2st("predict", test, "--model", run / "model", "--out", tmp_path / "p", "--format", "none")
    prediction = open_prediction(tmp_path / "p")
    data = read_expression(read_sheet(test)[0])
    # The lattice does not meet the spots: take the nearest tile. Shifted, mirrored or rotated heatmaps would not score.
    distance = np.linalg.norm(prediction.places.centres[:, None] - data.obsm["spatial"][None], axis=2)
    nearest = distance.argmin(axis=0)
    truth = labels(data, prediction.genes)
    on_tiles = metrics.pcc(truth, prediction.matrix()[nearest]).per_gene.mean()
    assert on_tiles > 0.75 * scores["pcc_mean"]

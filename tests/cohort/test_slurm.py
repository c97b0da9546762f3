"""The recipe for SLURM in docs/cohorts.md, with a plain process in place of srun."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from napari_nh2st.engine.store import open_prediction

PAGE = Path(__file__).parents[2] / "docs" / "cohorts.md"


@pytest.mark.long
@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="the recipe is a script of bash")
def test_the_recipe_predicts_a_sheet(slides, model, tmp_path):
    (recipe,) = [
        block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL) if "srun" in block
    ]
    programs = {
        "srun": '"$@" & "$@" & wait',  # two tasks
        "dask": f'exec {sys.executable} -m dask "$@"',
        "nh2st": f'exec {sys.executable} -m napari_nh2st "$@"',
    }
    (tmp_path / "bin").mkdir()
    for name, words in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{words}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "cohort.csv").write_text(f"slide,patient\n{slides / 'a.tif'},P1\n{slides / 'b.tif'},P2\n")
    shutil.copytree(model.path, tmp_path / "RUN" / "model")
    (tmp_path / "job.sh").write_text(recipe)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SLURM_CPUS_PER_TASK": "1"}
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            ["bash", "job.sh"], cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            status = job.wait(timeout=300)
        finally:
            os.killpg(job.pid, signal.SIGKILL)  # as SLURM does with what a job leaves running
    assert status == 0, (tmp_path / "log").read_text()[-3000:]
    assert pd.read_csv(tmp_path / "results" / "cohort.csv")["state"].tolist() == ["done", "done"]
    assert len(open_prediction(tmp_path / "results" / "b.nh2st")) > 10

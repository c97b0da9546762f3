"""kill -9 in mid-run: what was kept is kept, and the same command gives what an undisturbed run gives."""

import os

import pytest

from napari_nh2st.bench import data_sets, durable
from napari_nh2st.bench.data_sets import BenchOptions, DataSets
from support.models import small_model


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_and_run_again_equals_a_run_that_was_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(data_sets, "QUICK_SIZE_MM", (2.4, 2.0))
    model = small_model(tmp_path)
    made = DataSets(BenchOptions(tmp_path, str(model.path), quick=True, device="cpu", precision="fp32"))
    try:
        found = durable.killed(made)
    finally:
        made.close()
    if not found.values:
        pytest.skip(found.notes["killed_lost"])  # too fast a machine
    assert found.values["killed_lost"].value == 0
    assert found.values["killed_difference"].value <= 0.001  # 0, or a rounding of float16: windows are cut otherwise

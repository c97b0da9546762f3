"""The bench's windows, one after another with the same settings: what the first has chosen, the second begins with."""

import pytest

from napari_nh2st.bench import window
from napari_nh2st.bench.data_sets import BenchOptions, DataSets

pytestmark = [pytest.mark.viewer, pytest.mark.long]

MEMORY_MORE = (
    "genes_250",
    "genes_20000",
)  # MB after switching, less those before: something else may have gone meanwhile


def test_every_figure_of_the_window_is_measured(tmp_path):
    made = DataSets(BenchOptions(tmp_path, "demo", repeat=1, quick=True, device="cpu", precision="fp32"))
    try:
        found = window.compare(made)
    finally:
        made.close()
    assert found.values.keys() >= set(window.KEYS)
    assert {key: v for key, v in found.values.items() if v.value < 0 and key not in MEMORY_MORE} == {}
    assert all(found.values[key].value > -1 for key in MEMORY_MORE)

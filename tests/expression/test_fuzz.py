"""Measurements damaged at random: read or refused, never anything else. More of them: docs/scripts."""

import random
import shutil
import warnings
from functools import partial

import fuzz_measurements
import pytest

from napari_nh2st.expression import Sample
from napari_nh2st.expression.transform import Transform
from support import assays


@pytest.mark.parametrize("name", fuzz_measurements.FORMATS)
@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=pytest.mark.long)])
def test_damaged_measurements_are_read_or_refused(name, rounds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = dict(fuzz_measurements.trials(name, rounds * (1 if ".h5" in name or "h5" in name else 5), seed=rounds))
    assert not {seed: end for seed, end in ends.items() if end not in ("read", "refused")}


ASSAYS = {
    "visium-hd": assays.visium_hd,
    "xenium": assays.xenium,
    "cell-table": assays.merscope,
    "bead-table": assays.slide_seq,
    "spatialdata": assays.spatialdata,
    "spatialdata of labels": partial(assays.spatialdata, labels=True),
    "hest": assays.hest,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ASSAYS)
@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_damaged_assays_are_read_or_refused(tmp_path, name, rounds):
    """Bytes of any one of their files are changed: tables, Parquet, HDF5, JSON and chunks of zarr."""
    written = ASSAYS[name](tmp_path / "whole" / "s", assays.tissue(rows=1, columns=1))
    kind = name.partition(" ")[0]
    moved = {"transform": Transform.of(assays.ON_SLIDE)} if name in ("cell-table", "bead-table") else {}
    ends = {}
    for seed in range(rounds):
        folder = tmp_path / str(seed)
        shutil.copytree(tmp_path / "whole", folder)
        rng = random.Random(seed)
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in (".png", ".tif")]
        fuzz_measurements.damage_bytes(rng.choice(files), rng)
        path = folder / written.relative_to(tmp_path / "whole")
        ends[seed] = fuzz_measurements.outcome(Sample("S", "P", folder / "S.tif", path, kind, mpp=0.5, **moved))
    assert not {seed: end for seed, end in ends.items() if end not in ("read", "refused")}


def test_a_store_with_an_odd_group_is_refused(tmp_path):
    path = assays.spatialdata(tmp_path / "s", assays.tissue(rows=1, columns=1))
    about = path / "tables" / "table" / "layers" / "zarr.json"
    about.write_text(about.read_text().replace('"attributes"', '"attrzbutes"'))
    assert fuzz_measurements.outcome(Sample("S", "P", path, path, "spatialdata", mpp=0.5)) == "refused"

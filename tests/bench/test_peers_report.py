"""Ratios over other programs come from the newest report of their script."""

import importlib
import json
import re
from pathlib import Path

from napari_nh2st.bench import peers
from napari_nh2st.bench.figures import Value


def test_without_a_report_the_rows_say_how_to_get_one(tmp_path):
    found = peers.compare(peers.KEYS, tmp_path)
    assert not found.values
    assert found.notes == dict.fromkeys(peers.KEYS, "not run: scripts/bench_peers.sh measures it")


def test_the_newest_report_is_read(tmp_path):
    old, new = {"over_lazyslide_default": 9.0}, {"over_lazyslide_default": [3.5, 3.1, 3.9], "over_lazyslide_best": None}
    for name, ratios in (("peers-2026-11-29.json", old), ("peers-2026-11-30.json", new)):
        (tmp_path / name).write_text(json.dumps({"ratios": ratios}), "utf-8")
    found = peers.compare(peers.KEYS, tmp_path)
    assert found.values == {"over_lazyslide_default": Value(3.5, 3.1, 3.9)}
    assert found.notes["over_lazyslide_best"] == "not run: it is not in peers-2026-11-30.json"


def test_every_table_of_the_page_is_written_from_the_reports(monkeypatch):
    root = Path(__file__).parents[2] / "docs"
    monkeypatch.syspath_prepend(str(root / "scripts"))
    table = importlib.import_module("performance_table")
    page = (root / "performance.md").read_text("utf-8")
    made = table.tables(root / "reports")
    assert set(re.findall(r"<!-- begin table: ([\w-]+) -->", page)) == set(made)
    assert importlib.import_module("page_tables").with_tables(page, made) == page

"""The tables of docs/performance.md are those of the newest report."""

import importlib.util
import json
from pathlib import Path

import pytest

from napari_nh2st.bench.figures import Findings, Value, document

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "scripts" / "performance_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(**settings):
    found = Findings(
        {"over_bare_encoder": Value(0.5, 0.4, 0.6)},
        {
            "contiguous grid": {"places_per_s": 100.0, "mm2_per_s": 2.5},
            "dense map": {"places_per_s": 4000.0, "mm2_per_s": 2.0},
        },
        storage={"results_per_tile": 700.0, "cache_per_tile": 20_000.0},
    )
    machine = {"cpu": "a processor", "cores": 2, "threads": 2, "simd": "AVX2", "bf16": False}
    chosen = {"model": "her2st", "slide": "procedural tissue", "repeat": 5, "quick": False, **settings}
    return document(found, "cpu", "fp32", {"machine": machine, "settings": chosen, "versions": {"torch": "2"}})


def test_the_page_is_up_to_date(script):
    assert script.main(["--check"]) == 0


def test_the_newest_full_report_is_taken(script, tmp_path):
    for name, settings in (("bench-1.json", {"model": "old"}), ("bench-2.json", {}), ("bench-3.json", {"quick": True})):
        (tmp_path / name).write_text(json.dumps(report(**settings)), "utf-8")
    assert script.newest(tmp_path)["settings"]["model"] == "her2st"
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text("utf-8"), "utf-8")
    words = ["--reports", str(tmp_path), "--page", str(page)]
    script.main(words)
    text = page.read_text("utf-8")
    assert "| 0.50 (0.40 to 0.60) | at least 0.60 | short |" in text
    assert "a processor, 2 cores" in text
    assert script.main([*words, "--check"]) == 0


def test_the_plan_follows_from_rates_and_sizes(script):
    text = script.plan(report())
    assert "| coarse | 4,000 | 40 s | 111 h | 0.7 | 2.8 MB | 28 GB |" in text  # 100 mm2 at 2.5 mm2/s, 0.025 mm2 a tile
    assert "| fine | 200,000 | 50 s |" in text
    assert "80 MB" in text

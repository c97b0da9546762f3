"""Every snippet of docs/python.md runs, on the demo tissue; those that train are held to the names by test_docs.py."""

import doctest
import importlib
import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import napari_nh2st
from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.slides import open_slide

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
TRAINS = "## Train and evaluate"  # takes minutes


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_the_snippets_of_the_page_run(tmp_path, monkeypatch):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    write_slide(make_section(3, size_mm=(1.3, 1.2)), "slide.tif")
    text = PAGE.read_text(encoding="utf-8")
    before = text[: text.index(TRAINS)]
    names = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", before, flags=re.DOTALL)):
        exec(compile(block, f"python.md, snippet {number + 1}", "exec"), names)
    assert np.isfinite(names["prediction"]["HER2"]).all()
    assert {"two.pdf", "two.csv", "slide.h5ad", "view.json", "results"} <= {p.name for p in tmp_path.iterdir()}
    x, y, _ = names["heat"].transform @ (0.5, 0.5, 1)
    assert (x, y) == names["heat"].origin
    assert names["shown"].genes == ("IGKC",)
    assert set(names["genes"].region) == {"tumour"}
    with open_slide("slide.tif") as slide:
        assert slide.synthetic


@pytest.mark.parametrize(
    "module", ["api.prediction", "model.folder", "model.models", "model.predictor", "model.find_genes"]
)
def test_the_examples_of_the_docstrings_hold(module):
    found = doctest.testmod(importlib.import_module(f"{napari_nh2st.__name__}.{module}"))
    assert found.failed == 0
    assert found.attempted


NOTEBOOKS = sorted((PAGE.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path, monkeypatch):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
            assert cell["outputs"] == []
    if "labels" in names:
        assert np.corrcoef(names["labels"][names["both"]], names["predicted"][names["both"]])[0, 1] > 0.3
    else:
        assert (tmp_path / "slide.csv").is_file()


def test_both_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["demo", "measured_section"]

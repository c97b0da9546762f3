"""Each step of docs/exports.md is done, in the order of the page, with the programs that it names."""

import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from napari_nh2st.demo.tissue import make_section, write_slide

pytestmark = [
    pytest.mark.readers,
    pytest.mark.filterwarnings("ignore"),  # of the programs themselves
]

PAGE = Path(__file__).parents[1] / "docs" / "exports.md"


def test_the_steps_of_the_page_are_done(tmp_path, monkeypatch, nh2st):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    write_slide(make_section(3, size_mm=(1.5, 1.4)), "slide.tif")
    text = PAGE.read_text("utf-8")
    command, view, _ = re.findall(r"```sh\n(.*?)\n```", text, flags=re.DOTALL)
    status, _, said = nh2st(*command.split()[1:])
    assert status == 0, said
    names = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)):
        exec(compile(block, f"exports.md, snippet {number + 1}", "exec"), names)
    assert names["adata"].uns["moranI"]["I"].max() > 0.2
    assert names["table"].index.tolist() == ["tumour"]
    assert set(names["sdata"].coordinate_systems) == {"global", "micrometres"}
    assert Path("with-slide.zarr/images/slide").is_dir()
    assert Path("regions.geojson").is_file()
    config = json.loads(Path("results/vitessce.json").read_text("utf-8"))
    (file,) = config["datasets"][0]["files"]
    assert Path("results", file["url"].removeprefix("http://localhost:9000/"), "zarr.json").is_file()
    _knows(view.split()[2:], monkeypatch)


def _knows(words, monkeypatch):
    """Make sure that napari-spatialdata has the command of the page, without opening its window."""
    import napari_spatialdata

    opened = []
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(napari_spatialdata, "Interactive", lambda sdata, **_: opened.append(sdata))
    with pytest.raises(SystemExit):
        runpy.run_module(words[0], run_name="__main__")
    assert opened

"""`nh2st figure` as a contract: what it writes, what it takes over from a saved view, what it refuses."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.cli import figure as figure_command
from napari_nh2st.cli import output
from napari_nh2st.engine.store import save_prediction
from napari_nh2st.formats.display import Display, Subject, save_display
from napari_nh2st.slides import open_slide
from support.predictions import prediction
from support.slides import tiff


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    pixels = np.full((900, 1400, 3), (220, 160, 200), np.uint8)
    return tiff(tmp_path_factory.mktemp("slide") / "S.tif", pixels, resolution=(2e4, 2e4), resolutionunit=3)


@pytest.fixture(scope="module")
def stored(slide, tmp_path_factory):
    with open_slide(slide) as opened:
        made = prediction(slide_path=slide, fingerprint=opened.fingerprint)
    return save_prediction(made, tmp_path_factory.mktemp("out") / "S.nh2st")


def record(path):
    with Image.open(path) as image:
        return json.loads(image.text["Description"])


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setattr(output, "_MOMENT", 1e9)  # it comes where drawing takes long: on a busy machine, anywhere


def test_a_figure_that_takes_long_has_a_bar_and_can_be_stopped(nh2st, stored, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_MOMENT", -1)
    words = ["figure", stored, "--genes", "CD74,IGKC", "--dpi", 60, "--out", tmp_path / "f.png"]
    status, _, err = nh2st(*words)
    assert status == 0
    assert [line.split(": ")[1].split(" %")[0] for line in err.splitlines()] == ["0 of 100", "100 of 100"], err
    monkeypatch.setattr(figure_command, "interruptible", lambda: lambda: True)
    (tmp_path / "f.png").unlink()
    status, _, err = nh2st(*words)
    assert "stopped; nothing was written" in err
    assert (status != 0, list(tmp_path.iterdir())) == (True, [])


def test_a_gene_is_one_option_away(nh2st, stored, tmp_path):
    out = tmp_path / "deeper" / "f.png"
    assert nh2st("figure", stored, "--gene", "ERBB2", "--out", out, "--dpi", 100) == (0, f"{out}\n", "")
    found = record(out)
    assert found["display"] == json.loads(Display(genes=("ERBB2",)).model_dump_json())
    assert found["figure_command"].startswith(f"nh2st figure {stored} --gene ERBB2")
    with Image.open(out) as image:
        assert image.width == pytest.approx(85 / 25.4 * 100, abs=1)


def test_options_are_what_is_drawn(nh2st, stored, tmp_path):
    out, more = tmp_path / "f.png", tmp_path / "g.png"
    words = ["figure", stored, "--gene", "CD74", "--gene", "IGKC", "--dpi", 100, "--colormap", "magma", "--smooth"]
    assert nh2st(*words, "--limits", "-0.5,2", "--region", "100,200,300,400", "--opacity", "0.4", "--out", out)[0] == 0
    shown = record(out)["display"]
    assert (shown["genes"], shown["colormap"], shown["smooth"], shown["opacity"]) == (
        ["CD74", "IGKC"],
        "magma",
        True,
        0.4,
    )
    assert shown["limits"] == {"CD74": [-0.5, 2.0], "IGKC": [-0.5, 2.0]}
    assert shown["region"] == [100.0, 200.0, 300.0, 400.0]
    assert nh2st(*words, "--percentiles", "5,95", "--width-mm", "100", "--out", more)[0] == 0
    assert record(more)["display"]["percentiles"] == [5.0, 95.0]
    with Image.open(more) as image:
        assert image.width == pytest.approx(100 / 25.4 * 100, abs=1)


def test_a_saved_view_is_drawn_and_options_change_it(nh2st, stored, tmp_path):
    view = Display(genes=("CD74",), colormap="gray", limits={"CD74": (0.0, 1.0)}, region=(0.0, 0.0, 400.0, 300.0))
    path = save_display(view, tmp_path / "view.json")
    out = tmp_path / "f.png"
    assert nh2st("figure", stored, "--display", path, "--out", out)[0] == 0
    assert record(out)["display"] == json.loads(view.model_dump_json())
    assert nh2st("figure", stored, "--display", path, "--out", out, "--gene", "IGKC", "--percentiles", "2,98")[0] == 0
    changed = record(out)["display"]
    assert (changed["genes"], changed["limits"], changed["colormap"]) == (["IGKC"], {}, "gray")


def test_a_view_of_another_slide_gives_its_colours_alone(nh2st, stored, tmp_path):
    other = Subject(fingerprint="another", model="m", pitch=112)
    view = Display(genes=("CD74",), colormap="gray", region=(1e6, 0.0, 1.0, 1.0), of=other)
    status, _, err = nh2st(
        "figure", stored, "--display", save_display(view, tmp_path / "v.json"), "--out", tmp_path / "f.png"
    )
    assert status == 0
    assert "made on another slide: its colours are taken over, its region is not" in err
    assert record(tmp_path / "f.png")["display"]["region"] is None


def test_a_slide_that_moved(nh2st, slide, tmp_path):
    moved = save_prediction(prediction(slide_path=tmp_path / "gone.tif", fingerprint=None), tmp_path / "S.nh2st")
    white, tissue = tmp_path / "white.png", tmp_path / "tissue.png"
    status, _, err = nh2st("figure", moved, "--gene", "ERBB2", "--out", white, "--dpi", 60)
    assert status == 0
    assert err.startswith("warning: drawn without tissue, the slide ")
    assert err.count("\n") == 1
    assert nh2st("figure", moved, "--gene", "ERBB2", "--out", tissue, "--dpi", 60, "--slide", slide)[2] == ""
    assert nh2st("figure", moved, "--gene", "ERBB2", "--out", tmp_path / "n.png", "--dpi", 60, "--no-tissue")[2] == ""
    assert np.array_equal(Image.open(white), Image.open(tmp_path / "n.png"))
    assert not np.array_equal(Image.open(white), Image.open(tissue))


def test_neither_model_nor_torch_nor_qt(stored, tmp_path):
    blocked = "import sys; [sys.modules.__setitem__(m, None) for m in ('torch', 'qtpy', 'napari', 'PySide6')];"
    code = f"{blocked} from napari_nh2st.cli import main; sys.argv = ['nh2st', *sys.argv[1:]]; main()"
    words = ["figure", str(stored), "--gene", "ERBB2", "--out", str(tmp_path / "f.pdf"), "--dpi", "60", "-q"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gene", "NOPE"], "the model test-model does not predict NOPE"),
        (["--gene", ""], "no gene was named"),
        (["--gene", "ERBB2", "--colormap", "nope"], "matplotlib has no colormap named 'nope'"),
        (["--gene", "ERBB2", "--limits", "2,1"], "of two limits the lower comes first"),
        (["--gene", "ERBB2", "--region", "9000,0,10,10"], "nothing is predicted in this region"),
        (["--gene", "ERBB2", "--display", "nothing.json"], "cannot be read"),
        (["--gene", "ERBB2", "--width-mm", "2"], "30 to 500 mm"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(nh2st, stored, tmp_path, words, said):
    status, out, err = nh2st("figure", stored, "--out", tmp_path / "f.png", *words)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_slide_is_refused(nh2st, stored, slide, tmp_path):
    other = shutil.copy(slide, tmp_path / "T.tif")
    tiff(tmp_path / "U.tif", np.full((900, 1400, 3), 99, np.uint8), resolution=(2e4, 2e4), resolutionunit=3)
    words = ["figure", stored, "--gene", "ERBB2", "--dpi", 60, "--out", tmp_path / "f.png", "--slide"]
    assert nh2st(*words, other)[0] == 0  # a copy is the same slide
    assert "another slide than the one that was predicted" in nh2st(*words, tmp_path / "U.tif")[2]


@pytest.mark.parametrize(
    "words",
    [
        ["--out", "f.png"],
        ["--gene", "ERBB2"],
        ["--gene", "ERBB2", "--out", "f.jpg"],
        ["--gene", "ERBB2", "--out", "f.png", "--limits", "1"],
        ["--gene", "ERBB2", "--out", "f.png", "--region", "1,2,3"],
        ["--gene", "ERBB2", "--out", "f.png", "--limits", "1,2", "--percentiles", "1,99"],
    ],
)
def test_wrong_usage(nh2st, stored, words):
    assert nh2st("figure", stored, *words)[0] == 2

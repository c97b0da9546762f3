"""How a command fails: one line and status 1, or status 2 for wrong usage."""

import errno
import warnings

import pytest
from typer.testing import CliRunner

from napari_nh2st import cli
from napari_nh2st.errors import Nh2stError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "nowhere.svs", "--model", "{model}", "--out", "{out}"], "nowhere.svs does not exist"),
        (["predict", "{slide}", "--model", "nothing", "--out", "{out}"], "no model 'nothing'"),
        (["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--genes", "X"], "does not predict X"),
        (["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--pitch", "100"], "multiple of 16"),
        (
            ["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--region", "0,0,50,50"],
            "no tissue in this region",
        ),
        (["predict", "{slide}", "{slide}", "--model", "{model}", "--out", "{out}"], "several slides are named"),
        (["info", "nowhere.svs"], "does not exist"),
        (["predict", "{slide}", "--model", "{model}", "--out", "{file}"], "is a file, so "),
        (["predict", "{slide}", "--model", "{model}", "--out", "{file}/a/b"], "is a file, so "),
        (["info", "{prediction}"], "is a prediction, not a slide: nh2st doctor"),
        (["export", "{out}", "--format", "csv", "--out", "x.csv"], "not a prediction"),
        (["finetune", "nowhere.csv", "--out", "{out}"], "cannot read the sample sheet"),
        (["predict", "nowhere.xlsx", "--model", "{model}", "--out", "{out}"], "cannot read the sheet of slides"),
        (["evaluate", "nowhere.csv", "--model", "{model}"], "cannot read the sample sheet"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(nh2st, slide, model, tmp_path, words, said):
    file, prediction = tmp_path / "a file", tmp_path / "a.nh2st"
    file.touch()
    prediction.mkdir()
    words = [
        w.format(slide=slide, model=model.path, out=tmp_path / "out", file=file, prediction=prediction) for w in words
    ]
    status, out, err = nh2st(*words)
    assert status == 1
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in err
    assert out == ""


def test_a_warning_is_one_line(nh2st, monkeypatch):
    def warns(*_, **__):
        warnings.warn("exported without\na tissue image", stacklevel=1)
        raise Nh2stError("enough")

    monkeypatch.setattr("napari_nh2st.engine.store.open_prediction", warns)
    err = nh2st("export", "x.nh2st", "--format", "csv", "--out", "x.csv")[2]
    assert err.splitlines() == ["warning: exported without a tissue image", "error: enough"]


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--region", "1,2,3"],
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--format", "pdf"],
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--precision", "int8"],
        ["predict", "x.svs"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(words):
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "--region"),
        (ImportError("libx.so: failed to map segment from shared object"), "there is not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/disk/x"), "the disk that holds /disk/x is full: free"),
        (OSError(errno.EACCES, "Permission denied", "/disk/x"), "/disk/x is not yours to read or write: choose"),
        (OSError(errno.EROFS, "Read-only file system", "/disk/x"), "/disk/x is on a read-only drive"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/disk/x"), "choose a shorter one"),
        (OSError(errno.EIO, "Input/output error", "/disk/x"), "Input/output error: '/disk/x'"),
    ],
)
def test_what_the_system_refuses_is_one_line(nh2st, monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("napari_nh2st.engine.store.open_prediction", fail)
    status, out, err = nh2st("export", "x.nh2st", "--format", "csv", "--out", "x.csv")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: ")
    assert said in err

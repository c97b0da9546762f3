"""What all commands have in common: options, help pages, statuses, JSON errors, and how soon a mistake is told."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import typer

from napari_nh2st import cli
from napari_nh2st.cli.pages import PAGES
from napari_nh2st.terminal import Bar

COMMANDS = typer.main.get_command(cli.app).commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.command.__name__)
def test_a_help_page_has_examples_that_can_be_read_and_options_for_everywhere(page):
    command = COMMANDS[page.command.__name__]
    assert page.examples
    for example in page.examples:
        program, name, *words = shlex.split(example)
        assert (program, name) == ("nh2st", command.name)
        command.make_context(name, words)
        assert example in command.epilog
    assert {"--debug", "-q", "-v"} <= {name for option in command.params for name in option.opts}
    assert command.rich_help_panel


def test_debug_stands_anywhere(nh2st):
    for words in (["--debug", "info", "nowhere.svs"], ["info", "--debug", "nowhere.svs"]):
        with pytest.raises(Exception, match="does not exist"):
            nh2st(*words)
    assert nh2st("info", "nowhere.svs")[0] == 1


def test_quiet_leaves_warnings_and_verbose_says_when(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--format", "none", "--region", "400,300,600,500"]
    status, _, err = nh2st(*words, "--out", tmp_path / "a", "-v")
    assert status == 0
    assert "slide.tif: " in err
    assert all(line.startswith("[") for line in err.splitlines())
    err = nh2st("-q", *words, "--out", tmp_path / "b")[2]
    assert [line for line in err.splitlines() if not line.startswith("warning: ")] == []
    assert nh2st(*words, "--out", tmp_path / "c", "-q", "-v")[0] == 2
    demo = [str(word).replace(str(model.path), "demo") for word in words]
    assert "warning: The model 'demo" in nh2st(*demo, "--out", tmp_path / "d", "--quiet")[2]
    assert nh2st("info", slide)[2] == ""  # an option of one command is forgotten by the next
    Bar("again")(1, 1)


def test_an_error_is_a_json_object_where_json_was_asked_for(nh2st, slide):
    status, out, err = nh2st("info", "nowhere.svs", "--json")
    assert (status, json.loads(out)) == (1, {"error": "nowhere.svs does not exist", "status": 1})
    assert err == "error: nowhere.svs does not exist\n"
    status, out, err = nh2st("predict", slide, "--json")
    assert (status, json.loads(out)["status"], err.count("\n")) == (2, 2, 1)
    assert "--model" in json.loads(out)["error"]


def test_versions_and_completion(nh2st):
    status, out, _ = nh2st("--version")
    assert (status, out.count(".")) == (0, 2)
    environment = {**os.environ, "_NH2ST_COMPLETE": "complete_bash", "COMP_WORDS": "nh2st pred", "COMP_CWORD": "1"}
    program = [sys.executable, "-c", "import sys; sys.argv = ['nh2st']; from napari_nh2st.cli import main; main()"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["predict"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child process")
@pytest.mark.parametrize(
    "body",
    ["os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "interruptible(); os.kill(os.getpid(), signal.SIGINT)"],
)
def test_ctrl_c_ends_with_130(nh2st, monkeypatch, body):
    """In a command that does not look for it, and in one that does and ends in good order."""

    def stopped(*_, **__):
        names = {"os": os, "signal": signal, "time": time}
        from napari_nh2st.terminal import interruptible

        exec(body, {**names, "interruptible": interruptible})
        raise typer.Exit

    monkeypatch.setattr("napari_nh2st.slides.open_slide", stopped)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        assert nh2st("info", "x.svs")[0] == 130
    finally:
        signal.signal(signal.SIGINT, before)


MISTAKES = {
    "no such format": ["predict", "{slide}", "--model", "demo", "--out", "{out}", "--format", "pdf"],
    "no such slide": ["predict", "nowhere.svs", "--model", "demo", "--out", "{out}"],
    "no such model": ["predict", "{slide}", "--model", "nothing", "--out", "{out}"],
    "no such gene": ["predict", "{slide}", "--model", "demo", "--out", "{out}", "--genes", "NOPE"],
    "out is a file": ["predict", "{slide}", "--model", "demo", "--out", "{slide}"],
    "no sheet": ["finetune", "nowhere.csv", "--out", "{out}"],
    "no model to score": ["evaluate", "{sheet}", "--model", "nothing"],
    "no report there": ["evaluate", "{sheet}", "--model", "demo", "--out", "{slide}/r.json"],
    "no tissue": ["pretrain", "nowhere.svs", "--out", "{out}.safetensors"],
    "no checkpoint": ["convert", "nowhere.ckpt", "--out", "{out}"],
    "no model to see": ["view", "{slide}", "--model", "nothing"],
    "no window": ["view", "{slide}"],
}


def test_a_mistake_is_told_before_torch_and_qt_are_loaded(slide, tmp_path):
    """All in one process that has neither; each is one line."""
    (tmp_path / "s.csv").write_text(f"sample,patient,slide,expression,format\nA,P,{slide},{slide},h5ad\n")
    names = {"slide": slide, "out": tmp_path / "out", "sheet": tmp_path / "s.csv"}
    lines = [[word.format(**names) for word in words] for words in MISTAKES.values()]
    body = (
        "import sys, json\n"
        "for name in ('torch', 'qtpy', 'napari'): sys.modules[name] = None\n"
        "from napari_nh2st.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv[1:] = words\n"
        "    try: main()\n"
        "    except SystemExit as end: print(end.code)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    program = [sys.executable, "-c", body, json.dumps(lines)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100, check=False)
    told = dict(zip(MISTAKES, done.stderr.splitlines(), strict=True))
    assert all(line.startswith("error: ") for line in told.values()), told
    assert done.stdout.split() == ["2", *["1"] * (len(MISTAKES) - 1)]
    if sys.platform == "linux":
        assert "there is no display for a window" in told["no window"]
    assert not (tmp_path / "out").exists()


def test_the_shell_completes_formats_models_and_genes_and_help_names_all_formats(nh2st, slide, model, tmp_path):
    from napari_nh2st.cli import values
    from napari_nh2st.formats import EXPORTERS

    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none", "--region", "0,0,700,700")
    assert values.complete_formats("h5ad,ome-") == ["h5ad,ome-tiff", "h5ad,ome-zarr"]
    assert values.complete_models("demo") == ["demo", "demo-paper"]
    for given in ({"prediction": tmp_path}, {"model": str(model.path)}):
        assert values.complete_genes(SimpleNamespace(params=given), "G1,g") == [f"G1,G{i}" for i in (0, 2, 3, 4, 5)]
    for given in ({"prediction": tmp_path / "none"}, {"model": "nowhere"}, {}):
        assert values.complete_genes(SimpleNamespace(params=given), "G") == []
    for command in ("predict", "export"):
        page = nh2st(command, "--help")[1].replace("│", " ")
        assert all(re.search(rf"\b{name}\b", page) for name in EXPORTERS), command


def test_completing_loads_no_torch(tmp_path):
    script = (
        "import sys; from napari_nh2st.cli import values\n"
        "assert 'numpy' not in sys.modules\n"
        "from types import SimpleNamespace as S\n"
        "assert values.complete_genes(S(params={'model': 'her2st'}), 'ERBB2') == ['ERBB2']\n"
        "values.complete_formats(''); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)

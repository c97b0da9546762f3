"""What the pages say exists: links, commands with their options, Python that runs."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / ".napari-hub" / "DESCRIPTION.md"])


def _blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [t.split("#")[0] for t in targets if not t.startswith(("http", "mailto", "#"))]
    missing = [t for t in local if not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_nothing_is_left_to_fill_in(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"TODO|FIXME|XXX", text)


def _commands(page):
    for block in _blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["nh2st"]:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_their_options_exist(page):
    from napari_nh2st.cli import app

    known = typer.main.get_command(app).commands
    for command, *words in _commands(page):
        assert command in known, command
        options = {name for p in known[command].params for name in p.opts}
        used = {w for w in words if w.startswith("--")}
        assert used <= options, f"nh2st {command}: {used - options}"


def test_every_promise_names_tests_that_are_there():
    import reliability

    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    names = reliability.TEST.findall(page)
    assert len(names) > 30
    assert [name for name in names if not reliability.present(name)] == []
    assert len(reliability.PROMISE.findall(page)) > 30
    commands = [command for _, command, _ in reliability.TRIAL.findall(page)]
    assert len(commands) == 5
    assert [command for command in commands if not (ROOT / command.split()[1]).is_file()] == []


def test_the_table_of_commands_is_complete():
    from napari_nh2st.cli import app

    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `nh2st (\w+)", text, flags=re.MULTILINE))
    assert documented == set(typer.main.get_command(app).commands)


def _written_on(page):
    """Return the functions and classes of the modules that a page's own examples are, by the module."""
    written = {}
    for block in _blocks(page, "python"):
        if file := re.match(r"# src/(\S+)\.py\n", block):
            names = {node.name for node in ast.parse(block).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            written[file[1].replace("/", ".")] = names
    return written


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_examples_name_what_exists(page):
    import importlib

    written = _written_on(page)
    for block in _blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("napari_nh2st"):
                names = written.get(node.module) or dir(importlib.import_module(node.module))
                for alias in node.names:
                    assert alias.name in names, f"{node.module}.{alias.name}"

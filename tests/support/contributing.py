"""The code blocks of CONTRIBUTING.md, by the file that their first line names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def examples(section: str) -> dict[str, str]:
    """Return the code blocks of a section."""
    text = PAGE.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"```python\n# (\S+?)(?:,[^\n]*)?\n(.*?)```", text, flags=re.DOTALL))


def run(code: str, path: str, namespace: dict[str, object]) -> dict[str, object]:
    """Run a block in a namespace of its own, which begins as a copy of the given one."""
    names = dict(namespace)
    exec(compile(code, path, "exec", dont_inherit=True), names)
    return names


def new_module(monkeypatch: pytest.MonkeyPatch, path: str, code: str) -> ModuleType:
    """Make the module that a block writes, importable by its name; its package too where there is none."""
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    package = name.rpartition(".")[0]
    if package not in sys.modules and not (PAGE.parent / path).parent.is_dir():
        made = ModuleType(package)
        made.__path__ = []
        monkeypatch.setitem(sys.modules, package, made)
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, path, "exec", dont_inherit=True), vars(module))
    return module

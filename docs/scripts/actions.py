"""Write what the dock can do into napari's manifest and into docs/shortcuts.md, from the table in viewer/actions.py.

    python docs/scripts/actions.py [--check]

With --check, nothing is written; it fails where one of them is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from napari_nh2st.viewer.actions import ACTIONS, Action

ROOT = Path(__file__).parents[2]
MANIFEST, PAGE = ROOT / "napari.yaml", ROOT / "docs" / "shortcuts.md"
BEGIN, END = "# {}, written by docs/scripts/actions.py", "# end of what is written"
MENUS = {
    "napari/layers/visualize": "Layers > Visualize > NH2ST",
    "napari/layers/annotate": "Layers > Annotate > NH2ST",
    "napari/layers/measure": "Layers > Measure > NH2ST",
    "napari/file/io_utilities": "File > IO Utilities > NH2ST",
}


def commands() -> str:
    """Return the manifest's lines for the commands."""
    return "".join(
        f"    - id: {each.id}\n      title: {each.title}\n      python_name: napari_nh2st.viewer.commands:{each.name}\n"
        for each in ACTIONS
    )


def menus() -> str:
    """Return the manifest's lines for the menus: one submenu in each."""
    entries: dict[str, list[Action]] = defaultdict(list)
    for each in ACTIONS:
        entries[each.menu].append(each)
    lines = ["  menus:\n"]
    for menu, actions in entries.items():
        lines.append(f"    {menu}:\n      - submenu: {_submenu(menu)}\n")
        lines.append(f"    {_submenu(menu)}:\n")
        lines += [f"      - command: {each.id}\n" for each in actions]
    lines.append("  submenus:\n")
    lines += [f"    - id: {_submenu(menu)}\n      label: NH2ST\n" for menu in entries]
    return "".join(lines)


def _submenu(menu: str) -> str:
    return f"napari-nh2st/{menu.rpartition('/')[2]}"


def page() -> str:
    """Return the page that lists all actions."""
    lines = [
        "# Menus, the command palette and shortcuts\n",
        "Whatever the dock *NH2ST* can do is also in napari's menus and in its command palette (Ctrl+Shift+P: type a",
        "few letters). The dock opens if it is not there. On a Mac, Ctrl is Cmd. Esc cancels what runs, and ends a",
        "tool.\n",
        "| action | shortcut | menu |",
        "|---|---|---|",
        *(f"| {each.title} | {each.shortcut.replace('Return', 'Enter')} | {MENUS[each.menu]} |" for each in ACTIONS),
    ]
    return "\n".join(lines) + "\n"


def manifest(text: str) -> str:
    """Return the manifest with both written parts renewed."""
    for name, lines in (("commands", commands()), ("menus", menus())):
        begin = BEGIN.format(name)
        before, rest = text.split(begin, 1)
        indent = before[len(before.rstrip(" ")) :]
        after = rest.split(END, 1)[1]
        text = f"{before}{begin}\n{lines}{indent}{END}{after}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    old = MANIFEST.read_text(encoding="utf-8")
    for path, text in ((MANIFEST, manifest(old)), (PAGE, page())):
        if args.check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            sys.exit(f"error: {path.name} is not up to date: run python docs/scripts/actions.py")
        if not args.check:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

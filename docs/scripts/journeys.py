"""Walk through six journeys of a person in a real window, picture each step, and say how long the window froze.

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/scripts/journeys.py [--only newcomer] [--look 1280-dark]

The pictures lie in `build/journeys`, with one page (`index.html`): a row for each step, a column for each look (three
sizes, two themes). `freezes.txt` has the longest freezes, beyond napari's own drawing, with the lines that caused them.
All tissue is procedural. Each look of each journey is a process of its own.
"""

from __future__ import annotations

import argparse
import html
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path(__file__).parents[2] / "build" / "journeys"


class Look(NamedTuple):
    """A size of the window in screen pixels, how much larger everything is drawn, and the theme."""

    width: int
    height: int
    scale: float
    theme: str


LOOKS = {
    f"{name}-{theme}": Look(width, height, scale, theme)
    for name, width, height, scale in (
        ("1280", 1280, 800, 1.0),
        ("1920", 1920, 1080, 1.0),
        ("150%", 1920, 1200, 1.5),
    )
    for theme in ("dark", "light")
}
JOURNEYS = ("newcomer", "whole-slide", "measured", "exploring", "fine-tune", "nasty")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=JOURNEYS, action="append")
    parser.add_argument("--look", choices=tuple(LOOKS), action="append")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--child", nargs=2, metavar=("JOURNEY", "LOOK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        walk(args.child[0], args.child[1], args.out)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for journey in args.only or JOURNEYS:
        for look in args.look or LOOKS:
            env = os.environ | {"QT_SCALE_FACTOR": str(LOOKS[look].scale)}
            command = [sys.executable, __file__, "--out", str(args.out), "--child", journey, look]
            if subprocess.run(command, env=env, check=False).returncode:
                failed.append(f"{journey} {look}")
    write_page(args.out)
    print(args.out / "index.html")
    if failed:
        sys.exit("error: these did not come to their end: " + ", ".join(failed))


def walk(journey: str, look: str, out: Path) -> None:
    """Walk one journey in this process."""
    import faulthandler

    import journey_steps

    faulthandler.enable()
    faulthandler.dump_traceback_later(300)  # where it hangs, if it does

    folder = out / journey / look
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as home:
        data = Path(home) / "sections"  # a plain name in the fields that show it
        data.mkdir()
        person = journey_steps.Person(folder, data, LOOKS[look])
        began = time.monotonic()
        steps: Callable[[Any], None] = getattr(journey_steps, journey.replace("-", "_"))
        try:
            person.live(lambda: steps(person))
        except Exception:
            person.faults.append(traceback.format_exc())
        finally:
            (folder / "freezes.txt").write_text(person.heart.table() + "\n")
            (folder / "faults.txt").write_text("\n".join(person.faults))
            person.leave()
    print(f"{journey} {look}: {time.monotonic() - began:.0f} s, {len(person.faults)} faults", flush=True)
    print(person.heart.table(4), flush=True)
    if person.faults:
        print("\n".join(person.faults), flush=True)
        sys.exit(1)


def write_page(out: Path) -> None:
    """Lay out all pictures: a row for each step, a column for each look; and put the freezes together."""
    parts = ["<!doctype html><meta charset=utf-8><title>Journeys</title><style>body{font:14px sans-serif}"]
    parts.append("img{width:420px;border:1px solid #888}td{vertical-align:top}pre{white-space:pre-wrap}</style>")
    freezes = []
    for journey in JOURNEYS:
        looks = [look for look in LOOKS if (out / journey / look).is_dir()]
        names = sorted({path.name for look in looks for path in (out / journey / look).glob("*.png")})
        parts.append(f"<h1>{journey}</h1><table><tr><th>" + "".join(f"<th>{look}" for look in looks))
        for name in names:
            links = (_link(journey, look, name) for look in looks)
            cells = (f'<td><a href="{link}"><img loading=lazy src="{link}"></a>' for link in links)
            parts.append(f"<tr><td>{html.escape(name[:-4])}" + "".join(cells))
        parts.append("</table>")
        for look in looks:
            table = out / journey / look / "freezes.txt"
            if table.exists():
                freezes.append(f"{journey}, {look}\n{table.read_text()}")
    parts.append(f"<h1>Freezes</h1><pre>{html.escape(chr(10).join(freezes))}</pre>")
    (out / "index.html").write_text("\n".join(parts), encoding="utf-8")
    (out / "freezes.txt").write_text("\n".join(freezes), encoding="utf-8")


def _link(journey: str, look: str, name: str) -> str:
    return f"{journey}/{look.replace('%', '%25')}/{name}"


if __name__ == "__main__":
    main()

"""Count what stands behind the promises of docs/reliability.md, and run the long trials.

    python docs/scripts/reliability.py            # count the tests of each promise anew, and print the counts
    python docs/scripts/reliability.py --check    # change nothing; exit 1 where a row names a test that is not there
    python docs/scripts/reliability.py --run      # run the long trials too (an hour; windows need a display)
    python docs/scripts/reliability.py --run walks kills

A row of the page names its tests: a file, a folder, or a file and the beginning of a test's name. The last column is
written here.
Each trial is a script that prints a last line with its counts; the line goes into the page as it was printed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

from napari_nh2st.atomic import finished_file

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
TEST = re.compile(r"`(tests/[^`]+)`")
PROMISE = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<tests>[^|]*`tests/[^|]*) \| (?P<count>[^|]*) \|$", re.MULTILINE)
TRIAL = re.compile(r"^\| (?P<what>[^|]+) \| `(?P<command>python [^|`]+)` \| (?P<outcome>[^|]*) \|$", re.MULTILINE)


def collected() -> list[str]:
    """Return the names of all tests, the long ones and those of windows among them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", ""]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return [line for line in outcome.stdout.splitlines() if line.startswith("tests/")]


def present(name: str) -> bool:
    """Tell whether a test is there, without importing anything."""
    file, _, test = name.partition("::")
    path = ROOT / file
    return path.exists() and (not test or f"def {test}" in path.read_text("utf-8"))


def counted(page: str, tests: list[str]) -> str:
    """Write the count of each promise's tests into the page."""

    def row(found: re.Match[str]) -> str:
        names = TEST.findall(found["tests"])
        count = sum(any(test.startswith(name) for name in names) for test in tests)
        print(f"{count:5}  {found['promise']}")
        return f"| {found['promise']} | {found['tests']} | {count} |"

    return PROMISE.sub(row, page)


def tried(page: str, only: list[str]) -> str:
    """Run the trials and write what each of them printed last."""

    def row(found: re.Match[str]) -> str:
        if only and not any(word in found["command"] for word in only):
            return found[0]
        print(f"== {found['command']}", flush=True)
        command = [sys.executable, *found["command"].split()[1:]]
        outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        lines = [line for line in outcome.stdout.splitlines() if line.strip()]
        if outcome.returncode or not lines:
            raise SystemExit(f"error: {found['command']} ended with {outcome.returncode}: {outcome.stderr[-2000:]}")
        print(outcome.stdout)
        today = datetime.date.today().isoformat()
        return f"| {found['what']} | `{found['command']}` | {lines[-1].strip().replace('|', '/')} ({today}) |"

    return TRIAL.sub(row, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 for a test that is not there")
    parser.add_argument("--run", nargs="*", metavar="WORD", help="run the trials, or those whose command has a word")
    chosen = parser.parse_args()
    page = PAGE.read_text("utf-8")
    absent = [name for name in TEST.findall(page) if not present(name)]
    if absent:
        print(f"error: {PAGE.name} names tests that are not there: {', '.join(absent)}", file=sys.stderr)
    if chosen.check or absent:
        return int(bool(absent))
    page = counted(page, collected())
    if chosen.run is not None:
        page = tried(page, chosen.run)
    with finished_file(PAGE) as draft:
        draft.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

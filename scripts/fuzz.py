"""Try mutated files on every parser and print what became of them.

    .venv/bin/python scripts/fuzz.py --examples 2000            # the same inputs every time
    .venv/bin/python scripts/fuzz.py --examples 500 --seed 7 --only "sample sheet" --keep faults

A fault is anything but a result, or one line that says what to do, within a few seconds. The exit status is 1 if there
is one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> int:
    """Run the table of tests/support/parsers.py."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=1000, help="inputs per parser")
    options.add_argument("--seed", type=int, help="other inputs than always the same")
    options.add_argument("--only", action="append", help="name of a parser; may be given again")
    options.add_argument("--keep", type=Path, help="folder for one input of each fault")
    chosen = options.parse_args()
    from support.parsers import PARSERS, fuzz

    total = [0, 0, 0, 0]
    print(f"{'parser':26} {'inputs':>7} {'read':>7} {'refused':>8} {'faults':>7} {'slowest':>8} {'all':>7}")
    for name in chosen.only or PARSERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NH2ST_CACHE"] = f"{folder}/cache"
            (Path(folder) / "files").mkdir()
            counts = fuzz(PARSERS[name], Path(folder) / "files", chosen.examples, chosen.seed)
        faults = sum(counts.faults.values())
        numbers = [counts.inputs, counts.read, counts.refused, faults]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        line = f"{name:26} {numbers[0]:7} {numbers[1]:7} {numbers[2]:8} {faults:7}"
        print(f"{line} {counts.slowest:6.1f} s {time.monotonic() - began:5.0f} s", flush=True)
        for said, times in counts.faults.most_common():
            print(f"    {times} x {said}", flush=True)
            if chosen.keep is not None:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                file = chosen.keep / re.sub(r"\W+", "-", f"{name} {said}")[:100]
                file.write_bytes(counts.examples[said])
    inputs, read, refused, faults = total
    parsers = len(chosen.only or PARSERS)
    print(f"{parsers} parsers, {inputs:,} inputs: {read:,} read, {refused:,} refused in one line, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())

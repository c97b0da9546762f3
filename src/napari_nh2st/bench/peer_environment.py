"""An environment with LazySlide in it, apart from ours: nothing of it is a dependency."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from napari_nh2st.errors import Nh2stError
from napari_nh2st.slides.cache import cache_folder

REPOSITORY = Path(__file__).parents[3]
"""The copy of the source; LazySlide runs a script of it."""

PACKAGES = ("lazyslide==0.13.*", "openslide-bin")
Run = Callable[[Sequence[object]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Peer:
    """LazySlide's Python, and words that its script needs there."""

    python: Path
    words: tuple[str, ...] = ()


def run(call: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(list(map(str, call)), capture_output=True, text=True)


def set_up(folder: Path | None, say: Callable[[str], object], run: Run = run) -> Peer:
    """Make an environment with LazySlide in a folder, or in the user's cache; quick where it is there.

    Torch is that of this environment, or what the variable ``TORCH`` asks pip for.

    Raises
    ------
    Nh2stError
        If it cannot be installed.
    """
    folder = cache_folder() / "peers" / "lazyslide" if folder is None else folder
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"LazySlide's environment is made in {folder}")
        _install([sys.executable, "-m", "venv", folder], run)
    if run([python, "-m", "pip", "show", "--quiet", "lazyslide"]).returncode:
        say("LazySlide is installed; this takes minutes")
        torch = shlex.split(os.environ.get("TORCH", "")) or [f"torch=={metadata.version('torch').partition('+')[0]}"]
        pip = [python, "-m", "pip", "install", "--quiet"]
        _install([*pip, *torch, "torchvision"], run)
        _install([*pip, *PACKAGES], run)
    # torchvision for CUDA beside torch for processors: its operators do not load, and LazySlide's transforms need none
    loads = run([python, "-c", "import torchvision"]).returncode == 0
    return Peer(python, () if loads else ("--without-operators",))


def _install(call: Sequence[object], run: Run) -> None:
    try:
        ran = run(call)
    except OSError as error:
        raise Nh2stError(f"LazySlide cannot be installed here: {error}") from error
    if ran.returncode:
        said = [line for line in ran.stderr.strip().splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise Nh2stError(f"LazySlide cannot be installed here: {said[-1].removeprefix('ERROR: ')}")

"""The guard that keeps tests out of a person's folders."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from support.guard import WriteGuard

IN_TEMPORARY = Path.cwd().is_relative_to(Path(tempfile.gettempdir()).resolve())


@pytest.mark.parametrize(
    "folder", [Path.home(), pytest.param(Path(), marks=pytest.mark.skipif(IN_TEMPORARY, reason="a temporary checkout"))]
)
def test_nothing_is_written_into_a_person_s_folders(folder: Path, write_guard: WriteGuard, tmp_path: Path) -> None:
    (tmp_path / "made").write_text("")
    name = folder / "nh2st-guard.txt"
    for write in (name.touch, name.mkdir, lambda: (tmp_path / "made").rename(name), lambda: os.open(name, os.O_CREAT)):
        with pytest.raises(PermissionError, match="outside its own folder"):
            write()
    assert not name.exists()
    assert len(write_guard.refused) == 4
    write_guard.refused.clear()

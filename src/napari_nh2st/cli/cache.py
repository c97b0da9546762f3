"""`nh2st cache`: list the user's cache folder, or clear it."""

from __future__ import annotations

import re
import shutil
import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.atomic import STALE_SECONDS
from napari_nh2st.cli.options import JsonOption
from napari_nh2st.cli.output import print_json
from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.engine.eviction import Entry

# As `slides.cache` names them: decoded slides, and what builds and removals that were killed have left.
SLIDE = re.compile(r"[0-9a-f]{32}-v\d+")
SLIDE_LEFT = re.compile(r"\.[0-9a-f]{32}-v\d+\..+")


class Action(StrEnum):
    """An action on the cache."""

    show = "list"
    clear = "clear"


def cache(
    action: Annotated[Action, typer.Argument(help="Look, or remove.")] = Action.show,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Only embeddings.")] = False,
    slides: Annotated[bool, typer.Option("--slides", help="Only decoded slides and overview levels.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what was not used for so long.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is kept between runs, or clear it: embeddings and decoded slides.

    `list` shows what `clear` with the same options removes. Nothing is lost but the time to compute it again;
    results (the .nh2st folders) lie elsewhere.
    """
    from napari_nh2st.engine.eviction import embeddings_folder, entries
    from napari_nh2st.slides.cache import cache_folder

    root = cache_folder()
    both = embeddings == slides
    before = time.time() - (older_than or 0) * 24 * 3600
    listing = {
        "embeddings": entries(embeddings_folder(root)) if both or embeddings else [],
        "slides": slide_entries(root / "slides") if both or slides else [],
    }
    if older_than is not None:
        listing = {kind: [e for e in folders if e.used < before] for kind, folders in listing.items()}
    if action is Action.show:
        _show(root, listing, as_json)
    else:
        _clear(root, listing, yes, as_json)


def slide_entries(parent: Path) -> list[Entry]:
    """Return the decoded slides of a folder, least recently used first; also what killed processes have left there."""
    from napari_nh2st.engine.eviction import Entry, folder_bytes
    from napari_nh2st.slides.cache import MARK

    listing = []
    try:
        paths = list(parent.iterdir())
    except OSError:
        return []
    for path in paths:
        try:
            if SLIDE.fullmatch(path.name):
                mark = path / MARK
                status = (mark if mark.exists() else path).stat()
                # It is read whenever the slide is opened. Most systems note that, if only once a day.
                used, label = max(status.st_mtime, status.st_atime), f"slide {path.name[:8]}"
            elif SLIDE_LEFT.fullmatch(path.name) and time.time() - path.stat().st_mtime > STALE_SECONDS:
                used, label = path.stat().st_mtime, "left by a process that was killed"
            else:
                continue
        except OSError:
            continue
        listing.append(Entry(path, label, None, folder_bytes(path), used, False))
    return sorted(listing, key=lambda e: e.used)


def _bytes(listing: dict[str, list[Entry]]) -> int:
    return sum(e.bytes for folders in listing.values() for e in folders)


def _row(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "folder": str(entry.folder), "used": _date(entry.used)}


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _show(root: Path, listing: dict[str, list[Entry]], as_json: bool) -> None:
    from napari_nh2st.engine.eviction import LIMIT_VARIABLE, limit_of, size_text

    limit, rows = limit_of(root), {kind: [_row(e) for e in folders] for kind, folders in listing.items()}
    if as_json:
        print_json({"folder": str(root), "limit": limit, "bytes": _bytes(listing), **rows})
        return
    print(f"folder  {root}\nlimit   {size_text(limit)} for embeddings ({LIMIT_VARIABLE})")
    if not any(listing.values()):
        print("nothing is kept there")
        return
    print(f"total   {size_text(_bytes(listing))}\n")
    print(f"{'kind':10} {'size':>10} {'blocks':>7}  {'last use':16}  what")
    for kind, folders in listing.items():
        for entry in reversed(folders):
            blocks = "" if entry.blocks is None else str(entry.blocks)
            what = (entry.label or entry.folder.name) + " (in use)" * entry.in_use
            print(f"{kind:10} {size_text(entry.bytes):>10} {blocks:>7}  {_date(entry.used)}  {one_line(what)}")


def _clear(root: Path, listing: dict[str, list[Entry]], yes: bool, as_json: bool) -> None:
    from napari_nh2st.engine.eviction import embeddings_folder, size_text, sweep

    if listing["embeddings"]:
        sweep(embeddings_folder(root))
    count = sum(len(folders) for folders in listing.values())
    if count and not yes:
        _ask(f"remove {count} folder{'s' * (count != 1)}, {size_text(_bytes(listing))}, from {root}?")
    removed: dict[str, list[Entry]] = {kind: [] for kind in listing}
    spared: list[Entry] = []
    failed: list[str] = []
    for kind, folders in listing.items():
        for entry in folders:
            try:
                (removed[kind] if _remove(kind, entry.folder) else spared).append(entry)
            except OSError as error:
                failed.append(f"{entry.folder} cannot be removed ({error.strerror or error})")
    freed = _bytes(removed)
    if as_json:
        print_json(
            {
                "folder": str(root),
                "freed": freed,
                "removed": [_row(e) for folders in removed.values() for e in folders],
                "spared": [_row(e) for e in spared],
            }
        )
    elif not count:
        print(f"nothing to remove in {root}")
    else:
        print(
            f"freed {size_text(freed)}: " + ", ".join(f"{len(folders)} of {kind}" for kind, folders in removed.items())
        )
    for entry in spared:
        say(f"spared, in use by a running process: {entry.label or entry.folder.name}")
    if failed:
        raise Nh2stError("; ".join(failed))


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Nh2stError(f"{question} Say --yes")
    say("Slides that are open in napari now must be opened again after their decoded levels are removed.")
    if not typer.confirm(question, err=True):
        raise Nh2stError("nothing was removed")


def _remove(kind: str, folder: Path) -> bool:
    """Remove a folder; False where it is in use."""
    from napari_nh2st.engine.block_files import remove

    if kind == "slides" and not SLIDE.fullmatch(folder.name):  # out of everybody's way already
        shutil.rmtree(folder)
        return True
    return remove(folder)

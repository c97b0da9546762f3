"""Names of people, machines and files taken out of a text, so that it can be shown to anybody. Standard library only.

Two nets, one behind the other: names that are known (of the user, the machine, the files that were asked about, the
sections of a run) go wherever they stand; then everything that looks like a path, an address or a file goes, whatever
its name is.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import re
import socket
import sys
import unicodedata
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from napari_nh2st.doctor.subject import Subject
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import read_json

# Words that folders and files are often called, and that are no one's name.
_GENERAL_WORDS = """
bin build cache config conda data dev demo desktop documents downloads env etc export folder home image images lib lib64
local media mnt mount model models napari nh2st opt out output outs prediction predictions private project projects
python results root run runs sample samples scan scans share shared slide slides src test tests tmp train training usr
user users var venv volumes work workspace www checkpoints card job log metrics svs tif tiff ndpi jpg jpeg png ome h5ad
csv json yaml txt safetensors ckpt her2st the and for not with of in on is it to no a
"""
_GENERAL = frozenset(_GENERAL_WORDS.split())
_SHORTEST, _ANYWHERE = 2, 5  # letters of a name that is taken out, and that is taken out of the middle of words
_VARIABLES = ("USER", "LOGNAME", "USERNAME", "SUDO_USER", "HOSTNAME", "COMPUTERNAME", "USERDOMAIN", "HOST", "NAME")
_HOMES = ("HOME", "USERPROFILE", "HOMEPATH", "OneDrive")
_ENDINGS = (
    r"svs|ndpi|tiff?|btf|ome|jpe?g|png|mrxs|vsi|scn|bif|dcm|czi|vms|qptiff|zarr|nh2st|h5ad|h5|csv|tsv|gz|txt|xlsx?|"
    r"ya?ml|json|jsonl|safetensors|ckpt|pt|pdf|zip"
)
_PATH = re.compile(
    r"""(?x)
    (?<![\w<>/])                                   # the beginning of a word
    (?: (?:[a-z][a-z0-9+.-]*:)?// [^\s'"<>|,;]+       # addresses
      | (?:[A-Za-z]:)? \\{1,2} [^\s'"<>|,;]+           # C:\..., \\server\share
      | [A-Za-z]:/ [^\s'"<>|,;]*
      | ~? / [^\s'"<>|,;]+ )
    """
)
_QUOTED_PATH = re.compile(r"""(['"“])((?:[A-Za-z]:)?[~.\w]*[\\/][^'"”\n]*)(['"”])""")
_RELATIVE = re.compile(r"(?<![\w<>/.\\-])(?:[\w.@%+=~-]+[\\/])+[\w.@%+=~-]+")
_FILE = re.compile(rf"(?i)[^\s'\"<>|,;:=()/\\]+\.({_ENDINGS})\b(?![\w.]*\w\()")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBERS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_OWN_FILE_WORDS = """
card.json model.safetensors reference.safetensors zarr.json start.json config.yaml environment.json metrics.jsonl
held_out.safetensors summary.json job.json log.txt best.ckpt last.ckpt refit.ckpt encoder.safetensors
embedded.safetensors embedded-apart.safetensors settings.yaml SAMPLES.csv E.safetensors
"""
_OWN_FILES = frozenset(_OWN_FILE_WORDS.split())
_OWN_PATHS = frozenset(
    ("RUN/model", "and/or", "MB/s", "n/a", "Install/Uninstall", "pytorch.org/get-started", "JPEG/RGB")
)


@dataclass(frozen=True)
class Private:
    """Names to be taken out, each with what stands in its place."""

    names: Mapping[str, str]

    @classmethod
    def here(cls, subject: Subject | None = None) -> Private:
        """Collect the names of this user, this machine, and of what is asked about."""
        names: dict[str, str] = {}
        for folder in _home_folders():
            names[folder] = "<home>"
            _add(names, PurePath(folder).parts[-1:], "<user>")
        _add(names, _user_names(), "<user>")
        _add(names, _host_names(), "<host>")
        with contextlib.suppress(OSError):
            _add(names, Path.cwd().parts[1:], "<folder>")
        for variable in ("NH2ST_CACHE", "NAPARI_CONFIG", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "CONDA_PREFIX"):
            _add(names, PurePath(os.environ.get(variable, "")).parts[1:], "<folder>")
        if subject is not None:
            _add_subject(names, subject)
        return cls(names)

    def clean(self, text: str) -> str:
        """Return a text without the names, and without anything that looks like a path or a file."""
        text = unicodedata.normalize("NFC", text)
        for prefix in _python_folders():
            text = text.replace(prefix, "<python>")
        text = self._without_names(text)
        for pattern in (_QUOTED_PATH,):
            text = pattern.sub(lambda m: f"{m[1]}{_path_word(m[2])}{m[3]}", text)
        text = _MAIL.sub("<mail>", text)
        text = _PATH.sub(lambda m: _path_word(m[0]), text)
        text = _RELATIVE.sub(lambda m: m[0] if _is_ours(m[0]) else "<path>", text)
        text = _FILE.sub(lambda m: m[0] if m[0] in _OWN_FILES else f"<file>.{m[1].lower()}", text)
        return _NUMBERS.sub(lambda m: m[0] if m[0].startswith("127.") else "<address>", text)

    def _without_names(self, text: str) -> str:
        spellings = {s: word for name, word in self.names.items() for s in _spellings(name)}
        for spelling in sorted(spellings, key=len, reverse=True):
            exact = re.escape(spelling)
            if len(spelling) < _ANYWHERE:
                exact = rf"(?<![^\W_]){exact}(?![^\W_])"
            text = re.sub(exact, spellings[spelling].replace("\\", r"\\"), text, flags=re.IGNORECASE)
        return text


def _path_word(path: str) -> str:
    """Return what stands in the place of a path: nothing of it, but a file's ending."""
    ending = re.search(rf"(?i)\.({_ENDINGS})\W*$", path)
    tail = re.search(r"[.:)\]]*$", path)
    return "<path>" + (f".{ending[1].lower()}" if ending else "") + (tail[0] if tail and not ending else "")


def _is_ours(text: str) -> bool:
    """Tell whether a relative path is one of the program's own words, or a number with a unit."""
    return text in _OWN_PATHS or text.startswith("<") or bool(re.fullmatch(r"[\d.]+/[\d.]+", text))


def _add(names: dict[str, str], parts: Iterable[str], word: str) -> None:
    for part in parts:
        part = part.strip("\\/ .")
        for name in (part, part.split(".")[0]):
            if len(name) >= _SHORTEST and name.lower() not in _GENERAL and not name.isdigit():
                names.setdefault(unicodedata.normalize("NFC", name), word)


def _add_subject(names: dict[str, str], subject: Subject) -> None:
    for paths, word in ((subject.slides, "<slide>"), (subject.runs, "<run>"), (subject.predictions, "<prediction>")):
        for path in paths:
            _add(names, (path.name, path.stem), word)
            _add(names, path.absolute().parent.parts[1:], "<folder>")
    for model in subject.models:
        if os.sep in model or Path(model).exists():
            _add(names, Path(model).absolute().parts[1:], "<model>")
    for run in subject.runs:
        _add(names, _section_names(run), "<section>")


def _section_names(run: Path) -> list[str]:
    """Return the sections that a run was started on, and the base and the files that its command names."""
    names: list[str] = []
    with contextlib.suppress(Nh2stError, OSError, ValueError, TypeError, AttributeError):
        started = read_json(run / "start.json")
        names += [str(name) for name in started.get("samples", ())]
        names += [str(started.get("base") or "")]
    with contextlib.suppress(Nh2stError, OSError, ValueError, TypeError, AttributeError):
        argv = read_json(run / "job.json").get("argv", ())
        names += [part for word in argv if os.sep in str(word) for part in PurePath(str(word)).parts[1:]]
    return names


def _home_folders() -> list[str]:
    folders = [os.environ.get(name, "") for name in _HOMES]
    with contextlib.suppress(RuntimeError, OSError):
        folders.append(str(Path.home()))
    folders += [os.path.realpath(folder) for folder in folders if folder]
    return [folder for folder in dict.fromkeys(folders) if len(folder) > 1]


def _user_names() -> list[str]:
    names = [os.environ.get(name, "") for name in _VARIABLES[:4]]
    with contextlib.suppress(Exception):  # no such user: getpass raises whatever its system raises
        names.append(getpass.getuser())
    if sys.platform != "win32":
        with contextlib.suppress(Exception):
            import pwd

            entry = pwd.getpwuid(os.getuid())
            full = entry.pw_gecos.split(",")[0]
            names += [entry.pw_name, full, *full.split()]
    return names


def _host_names() -> list[str]:
    names = [os.environ.get(name, "") for name in _VARIABLES[4:]]
    for ask in (socket.gethostname, platform.node):
        with contextlib.suppress(OSError):
            names.append(ask())
    return names


def _python_folders() -> list[str]:
    """Return the folders of Python and its packages, the longest first: what lies in them is nobody's."""
    import napari_nh2st

    folders = {sys.prefix, sys.base_prefix, str(Path(napari_nh2st.__file__).parents[1])}
    folders |= {os.path.realpath(folder) for folder in folders}
    return sorted((f for f in folders if len(f) > 4), key=len, reverse=True)


def _spellings(name: str) -> set[str]:
    """Return a name as texts spell it: as it is, decomposed, in addresses, in JSON, and as Python repeats it."""
    spellings = {name, unicodedata.normalize("NFD", name), urllib.parse.quote(name), name.replace("\\", "\\\\")}
    spellings |= {json.dumps(name)[1:-1], ascii(name)[1:-1], name.replace(" ", "\\ "), name.replace(" ", "_")}
    return {s for s in spellings if s}

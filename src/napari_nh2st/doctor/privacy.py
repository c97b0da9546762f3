"""Names of people, machines and files taken out of a text, so that it can be shown to anybody. Standard library only.

Three nets, one behind the other: paths that are known go first; then everything that looks like a path, an address or
a file, whatever its name is; then the names that are known (of the user, the machine, the files that were asked about,
the sections of a run), wherever they stand.
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
from pathlib import Path, PurePath
from typing import Any

from napari_nh2st.doctor.subject import Subject, is_bundled
from napari_nh2st.slide_path import shown

# Words that folders and files are often called, and that are no one's name.
_GENERAL_WORDS = """
bin build cache config conda data dev demo desktop documents downloads env etc export folder home image images lib lib64
local media mnt mount model models napari nh2st opt out output outs prediction predictions private project projects
python results root run runs sample samples scan scans share shared slide slides src test tests tmp train training usr
user users var venv volumes work workspace www checkpoints card job log metrics svs tif tiff ndpi jpg jpeg png ome h5ad
csv json yaml txt safetensors ckpt her2st localhost doctor report viewer installation display system environment
packages torch numpy window screen memory check checks bug bugs case cases code main
the and for not with of in on is it to no a
"""
_GENERAL = frozenset(_GENERAL_WORDS.split())
_OWN_FILE_WORDS = """
card.json model.safetensors reference.safetensors zarr.json start.json config.yaml environment.json metrics.jsonl
held_out.safetensors summary.json job.json log.txt best.ckpt last.ckpt refit.ckpt encoder.safetensors
embedded.safetensors embedded-apart.safetensors settings.yaml SAMPLES.csv E.safetensors
"""
_OWN_FILES = frozenset(_OWN_FILE_WORDS.split())
_OWN_PATHS = frozenset(("RUN/model", "and/or", "MB/s", "n/a", "Install/Uninstall", "pytorch.org/get-started"))
_SHORTEST, _WORD, _ANYWHERE = 2, 4, 5
"""Letters of a name that is taken out, of a word of a name, and of one that is taken out of the middle of words."""

_USER_VARIABLES = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
_HOST_VARIABLES = ("HOSTNAME", "COMPUTERNAME", "USERDOMAIN", "HOST", "NAME", "SESSION_MANAGER")
_HOME_VARIABLES = ("HOME", "USERPROFILE", "HOMEPATH", "OneDrive")
_FOLDER_VARIABLES = ("NH2ST_CACHE", "NAPARI_CONFIG", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "CONDA_PREFIX")

_ENDINGS = (
    r"(?:svs|ndpi|tiff?|btf|ome|jpe?g|png|mrxs|vsi|scn|bif|dcm|czi|vms|qptiff|zarr|nh2st|h5ad|h5|csv|tsv|gz|txt|xlsx?|"
    r"ya?ml|json|jsonl|safetensors|ckpt|pt|pdf|zip)\b"
)
_INSIDE = r"[^'\"“”<>|:;()\n]"  # a path with spaces and commas, in running text
_PATH = re.compile(
    rf"""(?xi)
    (?<![\w<>/\\])
    (?: [a-z][a-z0-9+.-]+:// | //? (?=\S) | ~[\w.-]*[\\/] | [a-z]:[\\/]+ | \\+ (?=\w) )  # how a path begins
    (?: {_INSIDE}* [\\/] )?                                                             # up to its last folder
    [^\s'"“”<>|,;:()]*                                                                   # the name
    (?: {_INSIDE}*? \.{_ENDINGS} )?                                                     # which may go on after a space
    """
)
_QUOTED_FILE = re.compile(rf"""(?i)(['"“])[^'"“”\n]*\.({_ENDINGS})(?:\#\d+)?['"”]""")
_QUOTED_PATH = re.compile(r"""(['"“])(?!<python>)(?:[A-Za-z]:|~)?[^'"“”\n\s]*[\\/][^'"“”\n]*['"”]""")
_RELATIVE = re.compile(r"(?<![\w<>/.\\-])(?:[\w.@%+=~-]+[\\/])+[\w.@%+=~-]+")
_FILE = re.compile(rf"(?i)[^\s'\"“”<>|,;:=()/\\]+\.({_ENDINGS})(?:\#\d+)?")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBERS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")


class Private:
    """Names and paths to be taken out, each with what stands in its place.

    Parameters
    ----------
    subject : Subject, optional
        What was asked about.
    """

    def __init__(self, subject: Subject | None = None) -> None:
        self._paths: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._words: dict[str, str] = {}
        if subject is not None:
            self._add_subject(subject)
        for file in _predictor_files():
            self._add_path(file, "<model>")
        for folder in _home_folders():
            self._paths[folder] = "<home>"
            self._add(PurePath(folder).parts[-1:], "<user>")
        self._add(_user_names(), "<user>")
        self._add(_host_names(), "<host>")
        folders = [os.environ.get(name, "") for name in _FOLDER_VARIABLES]
        with contextlib.suppress(OSError):
            folders.append(str(Path.cwd()))
        for folder in folders:
            self._add(_parts(folder), "<folder>")

    def clean(self, text: str) -> str:
        """Return a text without the names, and without anything that looks like a path or a file."""
        text = unicodedata.normalize("NFC", text)
        for folder in _python_folders():
            text = text.replace(folder, "<python>")
        for path, word in sorted(self._paths.items(), key=lambda item: -len(item[0])):
            text = re.sub(rf"(?<!\w){re.escape(path)}(?![\w\\/.-])", word, text)
        text = _QUOTED_FILE.sub(
            lambda m: m[0] if _is_own(m[0][1:-1]) else f"{m[1]}<file>.{m[2].lower()}{m[0][-1]}", text
        )
        text = _QUOTED_PATH.sub(lambda m: f"{m[1]}<path>{m[0][-1]}", text)
        text = _MAIL.sub("<mail>", text)
        text = _PATH.sub("<path>", text)
        text = _RELATIVE.sub(lambda m: m[0] if _is_own(m[0]) else "<path>", text)
        text = _without(text, self._names, re.IGNORECASE)
        text = _FILE.sub(lambda m: m[0] if _is_own(m[0]) else f"<file>.{m[1].lower()}", text)
        text = _NUMBERS.sub(lambda m: m[0] if m[0].startswith("127.") else "<address>", text)
        return _without(text, self._words)

    def _add(self, names: Iterable[str], word: str) -> None:
        for full in names:
            full = unicodedata.normalize("NFC", full).strip("\\/ .")
            for name in (full, full.split(".")[0]):
                if _is_private(name, _SHORTEST):
                    self._names.setdefault(name, word)
            for part in re.split(r"[\s._,#-]+", full):
                if _is_private(part, _WORD):
                    self._words.setdefault(part, word)

    def _add_path(self, path: Path, word: str) -> None:
        for spelling in (shown(path), str(path), str(path.absolute()), os.path.realpath(path)):
            if len(spelling) > 1:
                self._paths.setdefault(unicodedata.normalize("NFC", spelling), word)
        self._add((path.name, path.stem), word)
        self._add(_parts(str(path.absolute().parent)), "<folder>")

    def _add_subject(self, subject: Subject) -> None:
        for paths, word in (
            (subject.slides, "<slide>"),
            (subject.runs, "<run>"),
            (subject.predictions, "<prediction>"),
        ):
            for path in paths:
                self._add_path(path, word)
        for model in subject.models:
            if Path(model).exists() or os.sep in model:
                self._add_path(Path(model), "<model>")
                self._add(_names_on_card(model), "<section>")
            elif not is_bundled(model):
                self._add((model,), "<model>")
        for run in subject.runs:
            self._add(_names_in_run(run), "<section>")
        for prediction in subject.predictions:
            self._add(_names_in_prediction(prediction), "<slide>")


def _without(text: str, names: Mapping[str, str], flags: int = 0) -> str:
    """Put words in the place of names; a short one only where it stands by itself."""
    spellings = {spelling: word for name, word in names.items() for spelling in _spellings(name)}
    for spelling in sorted(spellings, key=len, reverse=True):
        exact = re.escape(spelling)
        if len(spelling) < _ANYWHERE or spelling.isdigit():
            exact = rf"(?<![^\W_]){exact}(?![^\W_])"
        text = re.sub(rf"(?<!<){exact}(?!>)", spellings[spelling], text, flags=flags)
    return text


def _is_private(name: str, shortest: int) -> bool:
    return len(name) >= (_WORD if name.isdigit() else shortest) and name.lower() not in _GENERAL


def _is_own(text: str) -> bool:
    """Tell whether a file or a relative path is one of the program's own, or a number with a unit."""
    return text in _OWN_FILES or text in _OWN_PATHS or bool(re.fullmatch(r"[\d.]+/[\d.]+", text))


def _parts(path: str) -> tuple[str, ...]:
    return PurePath(path).parts[1:] if path else ()


def _names_in_command(words: Iterable[Any]) -> list[str]:
    """Return the files and folders that a command names."""
    names = []
    for word in map(str, words):
        path = PurePath(word)
        if len(path.parts) > 1:
            names += [part for part in path.parts if part != path.anchor]
        elif path.suffix:
            names.append(word)
    return names


def _names_in_run(run: Path) -> list[str]:
    """Return the sections and patients of a run, and the files that its command names."""
    from napari_nh2st.training.run.run_folder import RunFolder
    from napari_nh2st.training.run.run_process import RunProcess

    names: list[str] = []
    with contextlib.suppress(Exception):  # whatever is damaged there is said by the checks
        from napari_nh2st.reading import read_json

        started = read_json(RunFolder(run).start)
        names += [str(name) for name in started["samples"]]
        names += _names_in_command([started.get("base") or "", *str(started.get("command", "")).split()])
    argv: list[str] = []
    with contextlib.suppress(Exception):
        argv = [str(word) for word in RunProcess(run).record().get("argv", ())]
        names += _names_in_command(argv)
    with contextlib.suppress(Exception):
        from napari_nh2st.expression import read_sheet

        for sample in read_sheet(Path(argv[argv.index("finetune") + 1])):
            names += [sample.sample, sample.patient, sample.slide.name, sample.slide.stem]
    return names


def _names_on_card(model: str) -> list[str]:
    """Return the model's name, and the sections and patients that its card names."""
    with contextlib.suppress(Exception):
        from napari_nh2st.model.folder import load_card

        card = load_card(model)
        scored = card.evaluation.samples if card.evaluation else []
        return [card.name, *scored, *(name for t in card.training for name in (t.sample, t.patient))]
    return []


def _predictor_files() -> list[Path]:
    """Return the Python files of other people's models that the user named."""
    with contextlib.suppress(Exception):  # a list that cannot be read is said by its check
        from napari_nh2st.model.predictors import named_files

        return named_files()
    return []


def _names_in_prediction(prediction: Path) -> list[str]:
    """Return the names of a prediction's slide, and of the files that its command names."""
    with contextlib.suppress(Exception):
        import shlex

        from napari_nh2st.reading import read_json

        meta = read_json(prediction / "zarr.json", infinite=True)["attributes"]["nh2st"]
        slide = PurePath(str(meta["slide"].get("path") or ""))
        return [
            slide.stem,
            *slide.parts[1:],
            *_names_in_command(shlex.split(str(meta["provenance"].get("command", "")))),
        ]
    return []


def _home_folders() -> list[str]:
    folders = [os.environ.get(name, "") for name in _HOME_VARIABLES]
    with contextlib.suppress(RuntimeError, OSError):
        folders.append(str(Path.home()))
    folders += [os.path.realpath(folder) for folder in folders if folder]
    return [folder for folder in dict.fromkeys(folders) if len(folder) > 1]


def _user_names() -> list[str]:
    names = [os.environ.get(name, "") for name in _USER_VARIABLES]
    with contextlib.suppress(Exception):  # no such user: getpass raises whatever its system raises
        names.append(getpass.getuser())
    if sys.platform != "win32":
        with contextlib.suppress(Exception):
            import pwd

            entry = pwd.getpwuid(os.getuid())
            names += [entry.pw_name, entry.pw_gecos.split(",")[0]]
    return names


def _host_names() -> list[str]:
    names = [os.environ.get(name, "") for name in _HOST_VARIABLES]
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
    """Return a name as texts spell it: as it is, in addresses, in JSON, as Python repeats it, without its spaces."""
    spellings = {name, urllib.parse.quote(name), name.replace("\\", "\\\\"), json.dumps(name)[1:-1], ascii(name)[1:-1]}
    return spellings | {name.replace(" ", with_) for with_ in ("\\ ", "_", "-", "", ".")}

"""Checks of the Python and of the packages that are installed. Standard library, and packaging where it is there."""

from __future__ import annotations

import importlib
import platform
import struct
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from napari_nh2st import __version__
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.provenance import DISTRIBUTION

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_REINSTALL = f"install it again: python -m pip install --force-reinstall --no-deps {DISTRIBUTION}"
_BINDINGS = ("pyside6", "pyqt6", "pyqt5", "pyside2")
_QT_DISTRIBUTIONS = {
    "pyside6": ("PySide6", "PySide6-Essentials"), "pyqt6": ("PyQt6",), "pyqt5": ("PyQt5",), "pyside2": ("PySide2",)
}  # fmt: skip
# What each part of the package needs and may be broken although it is there; torch and napari have their own probes.
IMPORTED = (
    "numpy", "scipy.sparse", "pandas", "PIL.Image", "imagecodecs", "tifffile", "zarr", "h5py", "skimage.filters",
    "safetensors", "pydantic", "yaml", "igraph", "matplotlib.figure", "numba", "sklearn.linear_model", "anndata",
    "scanpy",
)  # fmt: skip


def python_version(_: Probes) -> Finding:
    """Hold Python's version and build against what the package needs."""
    here = f"Python {platform.python_version()}, {platform.machine() or 'unknown machine'}"
    needed = _metadata("Requires-Python")
    if sys.version_info < (3, 11) or (needed and not _fits(platform.python_version(), needed)):
        return fault(
            f"{here} does not fit: {needed or '>=3.11'} is needed", "make an environment with a fitting Python"
        )
    if struct.calcsize("P") != 8:
        return fault(f"{here} is a 32-bit build, for which torch does not exist", "install a 64-bit Python")
    if sys.platform == "darwin" and platform.machine() == "x86_64" and "ARM" in platform.version():
        return warning(
            f"{here} is an Intel build on an Apple processor: slow, and without the graphics card",
            "make an environment with a Python for arm64",
        )
    return ok(here)


def installed_once(_: Probes) -> Finding:
    """Look for the package's own metadata: there, once, and of the code that runs."""
    versions = [d.version for d in metadata.distributions(name=DISTRIBUTION)]
    if not versions:
        return fault(
            f"{DISTRIBUTION} is not installed, only its code is found: napari cannot see it",
            f"install it: python -m pip install {DISTRIBUTION}, or -e . in a clone",
        )
    distinct = sorted(set(versions))
    if len(distinct) > 1:
        return fault(f"{DISTRIBUTION} is installed in several versions: {', '.join(distinct)}", _REINSTALL)
    if distinct != [__version__]:
        return warning(f"{DISTRIBUTION} {__version__} runs, but {distinct[0]} is installed", _REINSTALL)
    return ok(f"{DISTRIBUTION} {__version__}")


def package_versions(_: Probes) -> Finding:
    """Hold the installed packages against the versions that the package asks for."""
    missing, wrong, lines = [], [], []
    for requirement in requirements():
        version = _version(requirement.name)
        lines.append(f"{requirement.name} {version or 'missing'}")
        if version is None:
            missing.append(requirement)
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(requirement)
    if not missing and not wrong:
        return ok(f"{len(lines)} packages are there in versions that fit")
    parts = [f"{r.name} {_version(r.name)} does not fit {r.specifier}" for r in wrong]
    parts += [f"{r.name} is missing" for r in missing]
    words = " ".join(f'"{r.name}{r.specifier}"' for r in (*missing, *wrong))
    return fault("; ".join(parts), f"python -m pip install {words}", *lines)


def packages_import(probes: Probes) -> Finding:
    """Import the packages that have compiled parts, or are often installed in versions that do not go together."""
    answer = probes.answer("packages", *IMPORTED)
    broken = {module: str(reason) for module, reason in answer.facts.items() if reason}
    begun = [module for module, reason in broken.items() if reason == "begun"]
    if begun:
        broken[begun[-1]] = f"its import {answer.why or 'did not end'}"
    elif not answer.whole:
        return fault(
            f"packages cannot be tried: {answer.why}", "look whether this Python starts at all: python -c 'print(1)'"
        )
    if not broken:
        return ok(f"{len(answer.facts)} packages can be imported")
    tops = " ".join(sorted({module.split(".")[0] for module in broken}))
    return fault(
        "; ".join(f"{module} cannot be imported ({reason})" for module, reason in broken.items()),
        f"install them again: python -m pip install --force-reinstall {_distributions(tops)}",
    )


def qt_binding(_: Probes) -> Finding:
    """Look for one Qt binding that fits."""
    import os

    there = {name: version for name in _BINDINGS if (version := _qt_version(name)) is not None}
    said = ", ".join(f"{name} {version}" for name, version in there.items())
    install = f'python -m pip install "{DISTRIBUTION}[pyside6]"'
    usable = [name for name in there if name in ("pyside6", "pyqt6")]
    if not there:
        return warning("no Qt binding is installed: there can be no window; the command line works", install)
    if not usable:
        return fault(f"{said}: this is too old for the window", install)
    bad = [
        f"{r.name} {version} does not fit {r.specifier}"
        for r in requirements(extra=True)
        if (version := _version(r.name)) is not None and r.name.lower().startswith(("pyside6", "pyqt6"))
        and not r.specifier.contains(version, prereleases=True)
    ]  # fmt: skip
    if bad:
        return fault("; ".join(bad), install)
    chosen = os.environ.get("QT_API", "").lower()
    if chosen and chosen not in there:
        return fault(f"QT_API asks for {chosen}, which is not installed; there is {said}", "unset QT_API")
    if len(there) > 1:
        return warning(
            f"several Qt bindings are installed ({said}): their libraries can get in each other's way",
            f"keep one: python -m pip uninstall {' '.join(n for n in there if n != usable[0])}",
        )
    return ok(f"one Qt binding: {said}")


def requirements(extra: bool = False) -> Iterator[Requirement]:
    """Yield what the package asks for here; with `extra`, what its optional parts ask for."""
    from packaging.requirements import Requirement

    for line in metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(line)
        optional = requirement.marker is not None and "extra" in str(requirement.marker)
        if optional == extra and (extra or requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            yield requirement


def _metadata(field: str) -> str:
    try:
        return str(metadata.metadata(DISTRIBUTION)[field] or "")
    except metadata.PackageNotFoundError:
        return ""


def _fits(version: str, specifier: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # `package_versions` says so
        return True

    return SpecifierSet(specifier).contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _qt_version(name: str) -> str | None:
    return next((v for d in _QT_DISTRIBUTIONS[name] if (v := _version(d)) is not None), None)


def _distributions(modules: str) -> str:
    """Return the names under which pip knows modules."""
    importlib.invalidate_caches()
    by_module = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    return " ".join(by_module.get(module, module) for module in modules.split())

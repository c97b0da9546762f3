"""Checks of torch, the graphics card, the processor and the threads."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.engine.cores import usable_cores

_BUILD = "install a build of torch that fits this machine: see pytorch.org/get-started"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_FREE = 2 * 10**9  # bytes of a graphics card, below which another program takes most of it


def _torch(probes: Probes) -> Answer:
    return probes.answer("compute")


def torch_works(probes: Probes) -> Finding:
    """Import torch and compute with it."""
    answer = _torch(probes)
    version = answer.facts.get("torch")
    if version is None:
        return fault(f"torch cannot be imported: {answer.why or 'it says nothing'}", _BUILD)
    if not answer.whole:
        return fault(f"torch {version} does not compute: {answer.why}", "try --device cpu; " + _BUILD)
    if not answer.facts.get("adds_up"):
        return fault(f"torch {version} computes wrongly on {answer.facts['device']}", "try --device cpu; " + _BUILD)
    precision = "bf16 where that is faster" if answer.facts.get("bf16") else "fp32"
    return ok(f"torch {version} computes on {answer.facts['device']}, in {precision}")


def graphics_card(probes: Probes) -> Finding | None:
    """Hold NVIDIA's card and driver against torch's build; None where there is neither a card nor a CUDA build."""
    facts = _torch(probes).facts
    card, build = has_nvidia(), facts.get("cuda_build")
    if "torch" not in facts or (not card and not build):
        return None
    if not build:
        return warning(
            f"there is an NVIDIA graphics card, but torch {facts['torch']} is built for the processor only",
            "for more speed, install a CUDA build of torch: see pytorch.org/get-started",
        )
    if not facts.get("cuda"):
        return _unusable_card(card, str(build), facts)
    return _usable_cards(facts)


def _unusable_card(card: bool, build: str, facts: Any) -> Finding:
    if not card:
        return ok(f"no NVIDIA graphics card; torch's CUDA {build} build computes on the processor")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return warning("CUDA_VISIBLE_DEVICES hides the graphics card", "unset CUDA_VISIBLE_DEVICES to use it")
    driver = int(facts.get("driver") or 0)
    if driver and driver // 1000 < int(build.split(".")[0]):
        return warning(
            f"the NVIDIA driver serves CUDA up to {driver // 1000}.{driver % 1000 // 10}, torch is built for {build}",
            "update the driver, or install a build of torch for the older CUDA",
        )
    return warning(
        f"there is an NVIDIA graphics card, but torch's CUDA {build} build cannot use it",
        "run nvidia-smi: if it fails too, install the driver again",
    )


def _usable_cards(facts: Any) -> Finding:
    cards = facts.get("cards", [])
    said = ", ".join(f"{c['name']} ({c['total'] / 1e9:.0f} GB)" for c in cards)
    lines = [f"{c['name']}: capability {c['capability']}, {c['free'] / 1e9:.1f} GB free" for c in cards]
    if cards and not _is_served(str(cards[0]["capability"]), facts.get("architectures", [])):
        return fault(
            f"this build of torch has no code for {cards[0]['name']} (capability {cards[0]['capability']})",
            _BUILD,
            *lines,
        )
    full = [c["name"] for c in cards if c["free"] < _FREE]
    if full:
        return warning(
            f"the memory of {', '.join(full)} is nearly full", "close what else uses it (nvidia-smi lists it)", *lines
        )
    return ok(f"torch sees {said}", *lines)


def _is_served(capability: str, architectures: list[str]) -> bool:
    """Tell whether one of torch's architectures, such as sm_80 or compute_90, runs on a card."""
    major, minor = (int(v) for v in capability.split("."))
    for name in architectures:
        kind, _, number = name.rstrip("af").partition("_")
        if not number.isdigit():
            continue
        theirs = divmod(int(number), 10)
        if (kind == "sm" and theirs[0] == major and theirs[1] <= minor) or (
            kind == "compute" and theirs <= (major, minor)
        ):
            return True
    return not architectures


def has_nvidia() -> bool:
    """Tell whether there is an NVIDIA graphics card, whatever its driver says."""
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists():
        return True
    return sys.platform == "win32" and shutil.which("nvidia-smi") is not None


def apple_graphics(probes: Probes) -> Finding | None:
    """Look for Apple's graphics card; None on other machines."""
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return None
    mps = _torch(probes).facts.get("mps", {})
    if mps.get("available"):
        return ok("torch computes on Apple's graphics card (mps)")
    if mps.get("built"):
        return warning(
            "torch needs a newer macOS to use Apple's graphics card",
            "update macOS; until then torch uses the processor",
        )
    return warning("this build of torch cannot use Apple's graphics card", _BUILD)


def processor(probes: Probes) -> Finding | None:
    """Name the instructions that torch uses."""
    facts = _torch(probes).facts
    if "capability" not in facts:
        return None
    capability, cores = facts["capability"], usable_cores()
    said = f"{cores} core{'s' * (cores != 1)}, instructions {capability}"
    if capability in ("DEFAULT", "NO AVX") and platform.machine().lower() in ("x86_64", "amd64"):
        return warning(
            f"{said}: torch uses no AVX, and is several times slower",
            "if the processor has AVX, let the virtual machine pass it on, and unset ATEN_CPU_CAPABILITY",
        )
    return ok(said)


def threads(probes: Probes) -> Finding | None:
    """Hold the numbers of threads against the cores that this process may use."""
    cores = usable_cores()
    told = {name: os.environ[name] for name in _THREADS if os.environ.get(name)}
    odd = [
        f"{name}={value}" for name, value in told.items() if not value.split(",")[0].strip().isdigit() or value == "0"
    ]
    lines = [f"{name}={value}" for name, value in told.items()]
    if odd:
        return fault(f"{', '.join(odd)} is not a number of threads", "unset it, or give a whole number", *lines)
    numba = told.get("NUMBA_NUM_THREADS")
    if numba is not None and int(numba) > (os.cpu_count() or 1):
        return fault(
            f"NUMBA_NUM_THREADS={numba}, but there are {cores} cores: numba refuses to start", "unset it", *lines
        )
    count = _torch(probes).facts.get("threads")
    if count is None:
        return None
    if count > cores:
        return warning(
            f"torch takes {count} threads, but this process may use {cores} cores: they wait for each other",
            f"set OMP_NUM_THREADS={cores}", *lines,
        )  # fmt: skip
    if count == 1 and cores > 1:
        return warning(f"torch takes 1 thread of {cores} cores", "for more speed, unset OMP_NUM_THREADS", *lines)
    return ok(f"torch takes {count} thread{'s' * (count != 1)}", *lines)

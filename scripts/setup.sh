#!/usr/bin/env bash
# Sets everything up: system libraries (Debian, Ubuntu), .venv, torch, the package. Quick when nothing is left to do.
#
#   PYTHON=python3.12      another Python, 3.11 or newer
#   TORCH="torch==2.13.0"  another torch, such as TORCH="torch --index-url https://download.pytorch.org/whl/cu130"
#   NH2ST_NO_APT=1         leave the system alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras="pyside6,test,docs,dev"
constraints="scripts/constraints.txt"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Each line: how the library or program is recognised, and the Debian package that has it. The smallest set with which
# a napari window was seen to draw under Xvfb.
system_parts="
libfontconfig.so.1 libfontconfig1
libGL.so.1 libgl1
libEGL.so.1 libegl1
libdbus-1.so.3 libdbus-1-3
libglib-2.0.so.0 libglib2.0-0
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-shape.so.0 libxcb-shape0
xvfb-run xvfb
xauth xauth
"

ldconfig_cache() { PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true; }

missing_packages() {
    local probe package cache
    cache="$(ldconfig_cache)"
    while read -r probe package; do
        [ -n "$probe" ] || continue
        case "$probe" in
            *.so.*) [[ "$cache" == *"$probe "* ]] || echo "$package" ;;
            *) command -v "$probe" >/dev/null || echo "$package" ;;
        esac
    done <<<"$system_parts"
    if [ ! -x .venv/bin/python ] && python="$(find_python)" && ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
        # Debian names the package after the version as well; the plain name is the system's own Python.
        if [ "$(basename "$python")" = python3 ]; then echo python3-venv; else echo "$(basename "$python")-venv"; fi
    elif [ -z "${python:-}" ] && [ ! -x .venv/bin/python ]; then
        echo "python3 python3-venv"
    fi
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

install_system() {
    local packages line
    [ "$(uname -s)" = Linux ] || return 0
    packages="$(missing_packages | tr '\n' ' ')"
    packages="${packages% }"
    [ -n "$packages" ] || return 0
    line="apt-get install -y --no-install-recommends $packages"
    if [ -n "${NH2ST_NO_APT:-}" ] || ! command -v apt-get >/dev/null; then
        say "missing from this system (Debian's names): $packages"
        return 0
    fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            say "some system libraries are missing; windows may not open until this was run once:"
            say "    sudo $line"
            return 0
        fi
        as_root=(sudo -n)
    fi
    say "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
    # shellcheck disable=SC2086
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends $packages >/dev/null ||
        say "apt could not install them; run by hand: sudo $line"
}

stamp_text() { cat pyproject.toml "$constraints" scripts/setup.sh 2>/dev/null | cksum; echo "$PWD"; }

# PyQt6 for the tests that run with it, too. In a folder of its own: beside PySide6, napari would take it for every window.
install_pyqt6() {
    rm -rf .venv/pyqt6
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/pyqt6 \
        --constraint "$constraints" PyQt6 PyQt6-Qt6 PyQt6-sip || say "no PyQt6: the tests that need it are left out"
}

# The programs that open what is exported, for the tests marked readers. In a folder of its own: napari would list their
# plugin in every window. The list is complete, so nothing is resolved.
install_readers() {
    rm -rf .venv/readers
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-compile --target .venv/readers \
        --requirement <(sed '1,/^# \.venv\/readers/d' "$constraints") || {
        say "not all programs that read exports: the tests that need them are left out"
        rm -rf .venv/readers
    }
}

# Whether torch is the one that was asked for; any will do where none was.
torch_is_right() {
    if [ -n "${TORCH:-}" ]; then
        [ "$(cat .venv/.nh2st-torch 2>/dev/null)" = "$TORCH" ]
    else
        .venv/bin/python -c "import importlib.metadata as m; m.version('torch')" 2>/dev/null
    fi
}

make_venv() {
    local python
    if [ -x .venv/bin/python ] && .venv/bin/python -c "import pip, sys; sys.exit(sys.prefix != '$PWD/.venv')" 2>/dev/null
    then
        return 0
    fi
    python="$(find_python)" || fail "Python 3.11 or newer is needed and was not found. Install it, or name it: make setup PYTHON=/path/to/python3.12"
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || fail "$python cannot make a virtual environment. On Debian or Ubuntu: sudo apt-get install python3-venv"
}

install_packages() {
    local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
    # torch first and alone: asked for by another package it may come as several GB of CUDA builds.
    if ! torch_is_right; then
        say "installing torch"
        # shellcheck disable=SC2086
        "${pip[@]}" ${TORCH:-torch==2.13.0} ||
            "${pip[@]}" "torch>=2.6" --extra-index-url https://download.pytorch.org/whl/cpu ||
            fail "torch could not be installed; see the lines above (is there a network?)"
        echo "${TORCH:-torch==2.13.0}" >.venv/.nh2st-torch
    fi
    say "installing napari-nh2st with what it needs (about a minute)"
    "${pip[@]}" --constraint "$constraints" --editable ".[$extras]" || {
        say "not with the versions it was tested with; trying with the newest"
        "${pip[@]}" --editable ".[$extras]" || fail "the installation failed; see the lines above"
    }
}

if [ -n "${PYTHON:-}" ] && [ ! -x .venv/bin/python ] && ! find_python >/dev/null; then
    fail "PYTHON=$PYTHON does not run here, or is older than 3.11: name another, as in make setup PYTHON=/path/to/python3.12"
fi
install_system
stamp=".venv/.nh2st-setup"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(stamp_text)" ] && [ -x .venv/bin/nh2st ] &&
    { [ -z "${TORCH:-}" ] || torch_is_right; }; then
    exit 0
fi
make_venv
install_readers & # it asks the network, while the packages are unpacked
install_packages
install_pyqt6
wait
stamp_text >"$stamp"
say "done"

#!/usr/bin/env bash
# Checks a graphics card in at most six minutes, from a copy of this folder, and prints one JSON document: agreement with
# the processor, rates, torch.compile, memory, training, the viewer's session. Without a GPU the processor takes its place.
#
#   scripts/gpu_check.sh --out docs/reports/gpu-2026-11-30.json    then: make docs-tables
#   PYTHON=/path/to/python  another Python with torch than .venv's or the system's; PYTHONPATH is kept
#   TORCH="torch --index-url https://download.pytorch.org/whl/cu130" scripts/setup.sh  makes a .venv first
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for python in ${PYTHON:-.venv/bin/python python3 python}; do
    if "$python" -c "import importlib.util as u, sys; sys.exit(sys.version_info < (3, 11) or u.find_spec('torch') is None)" \
        2>/dev/null; then
        export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
        # the limit of the script itself, should the check hang
        exec timeout --kill-after=5 360 "$python" -m napari_nh2st.bench.gpu_check "$@"
    fi
done
echo "gpu_check: missing here: a Python of 3.11 or newer with torch: TORCH=... scripts/setup.sh makes .venv" >&2
exit 2

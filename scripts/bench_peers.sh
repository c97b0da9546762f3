#!/usr/bin/env bash
# Measures beside LazySlide, from file to 250 predicted genes, and writes a report. LazySlide is installed into an
# environment of its own, in the cache folder or where --venv says; nothing of it becomes a part of this project.
#
#   scripts/bench_peers.sh --samples samples.csv --out docs/reports/peers-2026-11-30.json    then: make docs-tables
#   PYTHON=/path/to/python  another Python with this project's dependencies than .venv's
#   TORCH="torch --index-url https://download.pytorch.org/whl/cpu"  another torch for LazySlide than this version
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

python="${PYTHON:-$root/.venv/bin/python}"
if ! "$python" -c "import torch" 2>/dev/null; then
    echo "bench_peers: missing here: a Python with torch: scripts/setup.sh makes .venv" >&2
    exit 2
fi
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m napari_nh2st.bench.beside_lazyslide "$@"

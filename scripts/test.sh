#!/usr/bin/env bash
# All tests but the long ones, both parts to the end: those that need no window, then the windows. The last line counts
# the tests of both. WORKERS and THREADS say how many processes, and how many threads in each, the first part takes.
# Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE # each process would compile our modules, and the tests, anew

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0
OMP_NUM_THREADS=${THREADS:-1} .venv/bin/python -m pytest -q -n "${WORKERS:-2}" --dist loadfile \
    -m "not viewer and not long and not readers" "$@" 2>&1 | tee "$logs/core" || [ "${PIPESTATUS[0]}" -eq 5 ] || failed=1
scripts/test_windows.sh "$@" 2>&1 | tee "$logs/windows" || failed=1
scripts/count_tests.sh "$logs"/*
exit $failed

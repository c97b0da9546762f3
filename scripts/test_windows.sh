#!/usr/bin/env bash
# The tests that need a window, as many files at once as there are cores (at most 4), each file in a process and on a
# screen of its own. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
lanes=$((cores > 4 ? 4 : cores))

run_file() {
    local file=$1 log status=0 screen=()
    shift
    log=$(mktemp)
    # a number of its own to begin with: two that look for a free screen at the same moment find the same one
    if command -v xvfb-run >/dev/null; then
        screen=(xvfb-run -a -n $((100 + BASHPID % 20000)) -s "-screen 0 1600x1000x24")
    fi
    env -u QT_QPA_PLATFORM OMP_NUM_THREADS=1 "${screen[@]}" \
        .venv/bin/python -m pytest -q -m "viewer and not long" "$file" "$@" >"$log" 2>&1 || status=$?
    echo "$file"
    cat "$log"
    rm -f "$log"
    [ "$status" -eq 0 ] || [ "$status" -eq 5 ] # 5: none of its tests was asked for
}
export -f run_file

# the largest first: they take longest
grep -rlE "mark\.viewer" tests --include='test_*.py' | xargs ls -S |
    xargs -P "$lanes" -I{} bash -c 'run_file "$@"' _ {} "$@"

#!/usr/bin/env bash
# The tests that need a window, as many files at once as there are cores (at most 4). Each file has a process and a
# screen of its own, a long one several: dozens of windows opened and closed in one process have ended in a crash of the
# software renderer. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
lanes=$((cores > 4 ? 4 : cores))

# no more tests than this open their windows in one process
most=12

run_part() {
    local file=$1 part=$2 log status screen=()
    shift 2
    log=$(mktemp)
    # a number of its own to begin with: two that look for a free screen at the same moment find the same one
    if command -v xvfb-run >/dev/null; then
        screen=(xvfb-run -a -n $((100 + BASHPID % 20000)) -s "-screen 0 1600x1000x24")
    fi
    for _ in 1 2; do
        status=0
        env -u QT_QPA_PLATFORM OMP_NUM_THREADS=1 "${screen[@]}" \
            .venv/bin/python -m pytest -q -m "viewer and not long" --part "$part" "$file" "$@" >"$log" 2>&1 || status=$?
        echo "$file, part $part"
        cat "$log"
        # that renderer's crash alone is worth a second try: any other end, and a second crash, counts
        [ "$status" -eq 139 ] && grep -q "in glDrawArrays" "$log" || break
        echo "$file: the software renderer crashed while it drew"
    done
    rm -f "$log"
    [ "$status" -eq 0 ] || [ "$status" -eq 5 ] # 5: none of its tests was asked for
}
export -f run_part

# the largest first: they take longest
grep -rlE "mark\.viewer" tests --include='test_*.py' | xargs ls -S | while read -r file; do
    parts=$((1 + ($(grep -c "^def test_" "$file") - 1) / most)) # one where tests are in classes alone, too
    for k in $(seq "$parts"); do echo "$file $k/$parts"; done
done | xargs -P "$lanes" -L1 bash -c 'run_part "${@: -2}" "${@:1:$#-2}"' _ "$@"

#!/usr/bin/env bash
# The tests that need a window: their files are dealt out to a few processes, each on a screen of its own, as many at once
# as there are cores (at most 4); those marked pyqt6 once more with PyQt6. Beside them the tests marked readers, of which some
# open a window, with the programs that read what is exported. A group that has not ended after LIMIT seconds is ended, and
# prints where its threads stand. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE # each process would compile our modules, and the tests, anew

cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
lanes=$((cores > 4 ? 4 : cores))
groups=$((lanes * 2)) # few enough that napari is seldom loaded anew, enough that the lanes end together

run_group() {
    local log status=0 screen=() limit=() marks="viewer and not long and not readers" files=$1 binding=()
    if [[ $files == pyqt6* ]]; then
        files=${files#pyqt6} marks="viewer and pyqt6"
        binding=(QT_API=pyqt6 PYTEST_QT_API=pyqt6 PYTHONPATH="$PWD/.venv/pyqt6")
    elif [[ $files == readers* ]]; then # napari-spatialdata needs PyQt6
        files=${files#readers} marks="readers and not long"
        binding=(QT_API=pyqt6 PYTEST_QT_API=pyqt6 PYTHONPATH="$PWD/.venv/readers:$PWD/.venv/pyqt6")
    fi
    log=$(mktemp)
    # a number of its own to begin with: two that look for a free screen at the same moment find the same one
    if command -v xvfb-run >/dev/null; then
        screen=(xvfb-run -a -n $((100 + BASHPID % 20000)) -s "-screen 0 1600x1000x24")
    fi
    # the signal reaches pytest, too, which then says where it was; not every Unix has the program
    if command -v timeout >/dev/null; then
        limit=(timeout --signal=ABRT --kill-after=30 "${LIMIT:-2400}")
    fi
    # shellcheck disable=SC2086 # a list of files
    "${limit[@]}" env -u QT_QPA_PLATFORM OMP_NUM_THREADS=1 "${binding[@]}" "${screen[@]}" \
        .venv/bin/python -m pytest -q -m "$marks" $files "${@:2}" >"$log" 2>&1 || status=$?
    cat "$log"
    rm -f "$log"
    [ "$status" -eq 0 ] || [ "$status" -eq 5 ] # 5: none of its tests was asked for
}
export -f run_group

# in turn to each group: first the files that ask for more time than others, then the largest
files=$(grep -rlE "mark\.viewer" tests --include='test_*.py')
slow=$(grep -lE "mark\.timeout" $files)
# where setup has found PyQt6, and the readers
both=$([ -d .venv/pyqt6 ] && grep -lE "mark\.pyqt6" $files)
readers=$([ -d .venv/readers ] && [ -d .venv/pyqt6 ] && grep -rlE "mark\.readers" tests --include='test_*.py')
{ ls -S $slow; ls -S $files | grep -vxF "$slow"; } |
    awk -v groups="$groups" '{ files[NR % groups] = files[NR % groups] " " $0 }
        END { for (g = 1; g <= groups; g++) if (g % groups in files) print files[g % groups] }' |
    { [ -z "$readers" ] || echo readers $readers; cat; [ -z "$both" ] || echo pyqt6 $both; } |
    tr '\n' '\0' | xargs -0 -P "$lanes" -I{} bash -c 'run_group "$@"' _ {} "$@"

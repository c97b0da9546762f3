#!/usr/bin/env bash
# The tests that compute, run as other processors would run them: with fewer instructions, with one thread and four, and
# with bfloat16 whether the processor has it or not. Arguments go to pytest; RUNS names some of the runs, TESTS what to
# run in each of them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE # each process would compile our modules, and the tests, anew

all="tests/engine tests/model tests/training tests/evaluation tests/analysis tests/formats tests/demo"
quick="tests/engine tests/model tests/analysis tests/formats"

# name, instructions, threads, what "auto" means, tests
runs="
old-1-fp32     old     1  fp32  all
avx2-4-fp32    avx2    4  fp32  all
native-1-bf16  native  1  bf16  all
native-4-auto  native  4  auto  all
old-4-bf16     old     4  bf16  quick
"

# Torch's own kernels, those of oneDNN and MKL below it, and NumPy's OpenBLAS each choose their instructions.
instructions() {
    case $1 in
        old) echo ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem ;;
        avx2) echo ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell ;;
    esac
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0
while read -r name isa threads precision which; do
    [[ -n $name && ( -z ${RUNS:-} || " ${RUNS//,/ } " == *" $name "* ) ]] || continue
    if [ "$isa" != native ] && ! grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
        echo "== $name: left out, this processor has other instructions"
        continue
    fi
    echo "== $name"
    status=0
    # shellcheck disable=SC2046,SC2086 # lists of words
    # four threads on two cores would spin while they wait for one another
    env $(instructions "$isa") OMP_NUM_THREADS="$threads" OMP_WAIT_POLICY=PASSIVE NH2ST_PRECISION="$precision" \
        .venv/bin/python -m pytest -q -n $((threads == 1 ? 2 : 1)) --dist loadfile -m "not viewer and not long and not readers" \
        ${TESTS:-${!which}} "$@" </dev/null 2>&1 | tee "$logs/$name" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 5 ] || failed=1
done <<<"$runs"
scripts/count_tests.sh "$logs"/*
exit $failed

#!/usr/bin/env bash
# Sum up the last lines of pytest runs, whose output is in the files that are given: N passed, N failed, N skipped.
set -euo pipefail

cat "$@" | grep -E "^(=+ )?[0-9]+ [a-z]+(, [0-9]+ [a-z]+)* in [0-9.]+s" | awk '
    { for (i = 1; i < NF; i++) if ($i ~ /^[0-9]+$/) { name = $(i + 1); gsub(/[^a-z]/, "", name); count[name] += $i } }
    END {
        failed = count["failed"] + count["error"] + count["errors"]
        printf "%d passed, %d failed, %d skipped\n", count["passed"], failed, count["skipped"]
    }'

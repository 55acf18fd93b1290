#!/usr/bin/env bash
# Runs the cells of cooperative matrices, which no driver of this system has, on the tree's lavapipe:
#
#   PEERS=FOLDER tests/peers/coopmat_check.sh [OPTION of vkmoe conformance…]
#
# All of them with the validation layer, then those of one type with synchronization validation. Where there is no
# peers' tree it says so and exits 0. Also read: VKMOE (the program, default build/release/vkmoe) and what in_tree.sh reads.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -z ${PEERS:-} || ! -x $PEERS/in.sh ]]; then
    echo "skipped: cooperative matrices were not checked, PEERS is not the folder of a peers' tree (tests/peers/README.md)"
    exit 0
fi
program=${VKMOE:-$root/build/release/vkmoe}
paths=coopmat,coopmat_int8,coopmat2

output=$(mktemp)
trap 'rm -f "$output"' EXIT

# A build without the cells (an old glslang), a driver without the extensions, or a message of the layer must not pass for a
# run where all went well.
check() { # validation, options…
    local validation=$1
    shift
    VKMOE_VALIDATION=$validation "$root/tests/peers/in_tree.sh" "$program" conformance "$@" 2>&1 | tee "$output"
    if grep -q '^validation:' "$output" || ! grep -Eq '^[1-9][0-9]* ok, 0 unsupported, 0 failed' "$output"; then
        echo "coopmat_check.sh: not all cells ran and were right without a message of the validation layer" >&2
        exit 1
    fi
}

check 1 --op pack_float16 "$@"
check 1 --path "$paths" "$@"
check sync --path "$paths" --type Q4_K "$@"

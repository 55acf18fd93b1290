#!/usr/bin/env bash
# Runs the cells of cooperative matrices, which no driver of this system has, on the tree's lavapipe:
#
#   PEERS=FOLDER tests/peers/coopmat_check.sh [OPTION of vkmoe conformance…]
#
# conformance_check.sh, held to more: with the validation layer, then for one type with synchronization validation, and no
# cell may be left out. Where there is no peers' tree it says so and exits 0. Also read: VKMOE (the program, default
# build/release/vkmoe) and what in_tree.sh reads.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${VKMOE:-$here/../../build/release/vkmoe}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# A build without the cells (an old glslang), a driver without the extensions, or a message of the layer must not pass for a
# run where all went well.
check() { # command…
    local status=0
    "$@" 2>&1 | tee "$output" || status=$?
    ((status != 77)) || exit 0
    if ((status != 0)) || grep -q '^validation:' "$output" || ! grep -Eq '^[1-9][0-9]* ok, 0 unsupported, 0 failed' "$output"; then
        echo "coopmat_check.sh: not all cells ran and were right without a message of the validation layer" >&2
        exit 1
    fi
}

check env VKMOE_VALIDATION=1 "$here/conformance_check.sh" "$program" "$@"
check env VKMOE_VALIDATION=sync "$here/conformance_check.sh" "$program" --type Q4_K "$@"
check env VKMOE_VALIDATION=1 "$here/in_tree.sh" "$program" conformance --op pack_float16 "$@"

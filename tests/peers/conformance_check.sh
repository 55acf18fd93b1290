#!/usr/bin/env bash
# Runs `vkmoe conformance` on the cells with cooperative matrices, on the newer lavapipe of the peers' tree (README.md):
#
#   PEERS=FOLDER tests/peers/conformance_check.sh [PROGRAM [OPTION of conformance]...]
#
# Exits with what conformance does, and with 77 and a message where there is no such tree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${1:-$here/../../build/release/vkmoe}
shift || true
if [[ -z ${PEERS:-} || ! -x $PEERS/in.sh ]]; then
    echo "skipped: no driver with cooperative matrices here; set PEERS to the folder of a peers' tree (tests/peers/README.md)"
    exit 77
fi
exec "$here/in_tree.sh" "$program" conformance --path coopmat,coopmat_int8,coopmat2 "$@"

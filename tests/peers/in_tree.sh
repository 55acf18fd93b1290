#!/usr/bin/env bash
# Runs a program built on this system inside the peers' tree, on that tree's newer lavapipe (cooperative matrices):
#
#   PEERS=FOLDER tests/peers/in_tree.sh build/release/vkmoe devices
#
# Libraries of this system that the tree has not come from tree_libraries.sh.
# Also read: WORK (default build/peer-models), PEER_DRIVER (ICD file inside the tree, default its lavapipe).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${PEERS:?set PEERS to the folder of in.sh; see tests/peers/README.md}"
program=$(realpath "${1:?usage: in_tree.sh PROGRAM [ARGUMENT…]}")
shift
libraries=$("$here/tree_libraries.sh" "$program")
driver=${PEER_DRIVER:-/usr/share/vulkan/icd.d/lvp_icd.json}

exec "$PEERS/in.sh" env LD_LIBRARY_PATH="$libraries" VK_DRIVER_FILES="$driver" "$program" "$@"

#!/usr/bin/env bash
# Runs a program built on this system inside the peers' tree, on that tree's newer lavapipe (cooperative matrices):
#
#   PEERS=FOLDER tests/peers/in_tree.sh build/release/vkmoe devices
#
# Libraries of this system that the tree has not (another version of fmt, say) are put beside it, in WORK/lib.
# Also read: WORK (default build/peer-models), PEER_DRIVER (ICD file inside the tree, default its lavapipe).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PEERS:?set PEERS to the folder of in.sh; see tests/peers/README.md}"
program=$(realpath "${1:?usage: in_tree.sh PROGRAM [ARGUMENT…]}")
shift
mkdir -p "${WORK:-$root/build/peer-models}/lib"
libraries=$(cd "${WORK:-$root/build/peer-models}/lib" && pwd)
driver=${PEER_DRIVER:-/usr/share/vulkan/icd.d/lvp_icd.json}

# A library may want another, so until none is missing or none more is found here.
while missing=$("$PEERS/in.sh" env LD_LIBRARY_PATH="$libraries" ldd "$program" | awk '/not found/ { print $1 }' | sort -u) &&
    [[ -n $missing ]]; do
    for name in $missing; do
        here=$(ldd "$program" | awk -v name="$name" '$1 == name { print $3; exit }')
        if [[ ! -f $here || -f $libraries/$name ]]; then
            echo "in_tree.sh: $program wants $name, which neither the tree nor this system gives" >&2
            exit 1
        fi
        cp -L "$here" "$libraries/$name"
    done
done
exec "$PEERS/in.sh" env LD_LIBRARY_PATH="$libraries" VK_DRIVER_FILES="$driver" "$program" "$@"

#!/usr/bin/env bash
# Puts the libraries of this system that a program wants and the peers' tree lacks (another version of fmt, say) beside the
# tree, in WORK/lib, and prints that folder:
#
#   PEERS=FOLDER tests/peers/tree_libraries.sh build/release/vkmoe
#
# Also read: WORK (default build/peer-models).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PEERS:?set PEERS to the folder of in.sh; see tests/peers/README.md}"
program=$(realpath "${1:?usage: tree_libraries.sh PROGRAM}")
mkdir -p "${WORK:-$root/build/peer-models}/lib"
libraries=$(cd "${WORK:-$root/build/peer-models}/lib" && pwd)

# A library may want another, so until none is missing or none more is found here.
while missing=$("$PEERS/in.sh" env LD_LIBRARY_PATH="$libraries" ldd "$program" | awk '/not found/ { print $1 }' | sort -u) &&
    [[ -n $missing ]]; do
    for name in $missing; do
        here=$(ldd "$program" | awk -v name="$name" '$1 == name { print $3; exit }')
        if [[ ! -f $here || -f $libraries/$name ]]; then
            echo "tree_libraries.sh: $program wants $name, which neither the tree nor this system gives" >&2
            exit 1
        fi
        cp -L "$here" "$libraries/$name"
    done
done
printf '%s\n' "$libraries"

#!/usr/bin/env bash
# Installs what vkmoe needs, builds it and lets the bundled model write: see --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: samples/quickstart.sh [OPTION of `vkmoe run`]...

Installs what vkmoe needs (packages through apt-get; a newer shader compiler into build/ where the system's is old),
builds it into build/release, and lets the bundled model write some text. What is done already is not done again.
Works as root and as a user with sudo, on Debian 12 and Ubuntu 24.04 and later.

Arguments are given to `build/release/vkmoe run` in place of the default ones, for example:
    samples/quickstart.sh -m model.gguf -p 'def read(' -n 64
END
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    usage
    exit 0
fi

. "$(dirname "${BASH_SOURCE[0]}")/../cmake/packages.sh"

"$VKMOE_ROOT/cmake/install_dependencies.sh" build
"$VKMOE_ROOT/cmake/fetch_toolchain.sh"
build_preset release

[ $# -gt 0 ] || set -- -m "$VKMOE_ROOT/samples/models/babel-moe-14m-f16.gguf" -p "The package" -n 96
exec "$VKMOE_ROOT/build/release/vkmoe" run "$@"

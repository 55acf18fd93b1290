#!/usr/bin/env bash
# Installs the dependencies of vkmoe, builds it and generates text with the bundled model: see --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: samples/quickstart.sh [OPTION of `vkmoe run`]...

Installs the dependencies of vkmoe, builds it in build/release and generates some text with the bundled model.
Packages come from apt-get. If the system's shader compiler is too old, a newer one is built in build/.
Steps that are already done are skipped.
Works as root and as a user with sudo, on Debian 12 and Ubuntu 24.04 and later.

Arguments are passed to `build/release/vkmoe run` and replace the default ones, for example:
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

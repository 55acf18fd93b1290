#!/usr/bin/env bash
# Installs the dependencies of the tests, builds the tests and runs them: see --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: tests/run.sh [--long | --sanitize address|thread] [--no-install] [--without-swiftshader] [OPTION of ctest]...

Installs the dependencies of the tests, builds preset `test` in build/test (optimized, assertions on, warnings are
errors) and runs the tests. Unit tests run once. GPU tests run on two software drivers, lavapipe and SwiftShader, with
the validation layer enabled; a validation error fails the test. The slowest GPU tests run on SwiftShader only with
--long. Steps that are already done are skipped.
Works as root and as a user with sudo, on Debian 12 and Ubuntu 24.04 and later. The output ends with ctest's summary.

  --long                 run only what takes minutes: the long forms of the tests, and the slowest GPU tests on
                         SwiftShader
  --sanitize KIND        build the unit, engine and C API tests with sanitizers and run them on lavapipe; KIND is address
                         (with undefined behaviour, in build/debug) or thread (in build/thread)
  --no-install           install and download nothing; report missing packages instead
  --without-swiftshader  skip the second driver, for systems that cannot download Debian's chromium-common
  VKMOE_TEST_DEVICE=...  (environment) also run the GPU tests on this device, given by name or index

All other arguments are passed to ctest, for example:
    tests/run.sh -R gguf
    tests/run.sh -L lavapipe
END
}

. "$(dirname "${BASH_SOURCE[0]}")/../cmake/packages.sh"

swiftshader=yes
long_forms=no
preset=test
targets=()
ctest_arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
    --help | -h)
        usage
        exit 0
        ;;
    --long) long_forms=yes ;;
    --sanitize)
        case "${2:-}" in
        address) preset=debug ;;
        thread) preset=thread ;;
        *) die "unknown argument '${2:-}' of --sanitize; use address or thread" ;;
        esac
        shift
        swiftshader=no
        targets=(sanitized_tests)
        ctest_arguments+=(-L '^sanitized$')
        ;;
    --no-install) export VKMOE_NO_INSTALL=yes ;;
    --without-swiftshader) swiftshader=no ;;
    *) ctest_arguments+=("$1") ;;
    esac
    shift
done
[ $long_forms = no ] || [ $preset = test ] || die "--long and --sanitize cannot be combined; run one after the other"

# step TITLE COMMAND...: runs it and prints how long it took.
step() {
    local title=$1 start=$SECONDS
    shift
    note "$title"
    "$@"
    note "$title: $((SECONDS - start)) s"
}

need_driver() {
    compgen -G "$2" >/dev/null || die "driver $1 not found at $2; the GPU tests need it"
}

step "Packages" "$VKMOE_ROOT/cmake/install_dependencies.sh" test
step "Shader compiler and Vulkan headers" "$VKMOE_ROOT/cmake/fetch_toolchain.sh"
need_driver lavapipe '/usr/share/vulkan/icd.d/lvp_icd*.json'
if [ $swiftshader = yes ]; then
    step "SwiftShader" "$VKMOE_ROOT/cmake/fetch_swiftshader.sh"
    need_driver SwiftShader "$VKMOE_TOOLCHAIN/swiftshader/vk_swiftshader_icd.json"
fi
step "Build" build_preset $preset ${targets[@]+"${targets[@]}"}
cd "$VKMOE_ROOT/build/$preset"

if [ $long_forms = yes ]; then
    note "Long forms, two at a time (each prints its output when it ends, or immediately with -V):"
    awk '{ printf "   %-50s %3d minutes\n", $1, $2 / 60; sum += $2; if ($2 > longest) longest = $2 }
        END { printf "   about %d minutes in total\n", (sum / 2 > longest ? sum / 2 : longest) / 60 }' long_forms.txt
    ctest_arguments+=(-C long -L '^long$')
fi
note "Tests"
exec ctest -j2 --output-on-failure --timeout 600 --no-tests=error ${ctest_arguments[@]+"${ctest_arguments[@]}"}

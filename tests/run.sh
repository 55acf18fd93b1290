#!/usr/bin/env bash
# Installs what the tests need, builds them and runs them: see --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: tests/run.sh [--long | --sanitize address|thread] [--no-install] [--without-swiftshader] [OPTION of ctest]...

Installs what the tests need, builds preset `test` into build/test (optimised, assertions on, warnings are errors) and
runs them: unit tests once; tests that use a GPU on lavapipe and again on SwiftShader, two CPU drivers of Vulkan, with
the validation layer on and its errors failing the run. What is done already is not done again.
Works as root and as a user with sudo, on Debian 12 and Ubuntu 24.04 and later. Ends with ctest's summary.

  --long                 run the long forms of the tests of random cases, minutes each, and nothing else
  --sanitize KIND        build the unit, engine and C API tests with the sanitizers of KIND, into a folder of their own,
                         and run them on lavapipe: address (with undefined behaviour, build/debug) or thread (build/thread)
  --no-install           install and fetch nothing; say what is missing
  --without-swiftshader  do without the second driver where Debian's chromium-common cannot be had
  VKMOE_TEST_DEVICE=...  (environment) run the GPU tests on that device too, by name or index

Everything else goes to ctest, for example:
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
        *) die "--sanitize ${2:-} is unknown: give address or thread" ;;
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
[ $long_forms = no ] || [ $preset = test ] || die "--long and --sanitize do not go together: run one after the other"

# step TITLE COMMAND...: runs it and prints how long it took.
step() {
    local title=$1 start=$SECONDS
    shift
    note "$title"
    "$@"
    note "$title: $((SECONDS - start)) s"
}

need_driver() {
    compgen -G "$2" >/dev/null || die "no driver $1 at $2: the GPU tests would not run on it"
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
    note "Long forms, two at a time (the output of each comes at its end, or at once with -V):"
    awk '{ printf "   %-50s %3d minutes\n", $1, $2 / 60; sum += $2; if ($2 > longest) longest = $2 }
        END { printf "   together about %d minutes\n", (sum / 2 > longest ? sum / 2 : longest) / 60 }' long_forms.txt
    ctest_arguments+=(-C long -L '^long$')
fi
note "Tests"
exec ctest -j2 --output-on-failure --timeout 600 --no-tests=error ${ctest_arguments[@]+"${ctest_arguments[@]}"}

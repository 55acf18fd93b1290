#!/usr/bin/env bash
# Installs what the tests need, builds them and runs them: see --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: tests/run.sh [--no-install] [--without-swiftshader] [OPTION of ctest]...

Installs what the tests need, builds preset `test` into build/test (optimised, assertions on, warnings are errors) and
runs them: unit tests once; tests that use a GPU on lavapipe and again on SwiftShader, two CPU drivers of Vulkan, with
the validation layer on and its errors failing the run. What is done already is not done again.
Works as root and as a user with sudo, on Debian 12 and Ubuntu 24.04 and later. Ends with ctest's summary.

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
ctest_arguments=()
for argument; do
    case "$argument" in
    --help | -h)
        usage
        exit 0
        ;;
    --no-install) export VKMOE_NO_INSTALL=yes ;;
    --without-swiftshader) swiftshader=no ;;
    *) ctest_arguments+=("$argument") ;;
    esac
done

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
step "Build" build_preset test

note "Tests"
cd "$VKMOE_ROOT/build/test"
exec ctest -j2 --output-on-failure --timeout 600 --no-tests=error ${ctest_arguments[@]+"${ctest_arguments[@]}"}

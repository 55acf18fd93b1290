#!/usr/bin/env bash
# Sees to a glslang, Vulkan headers and volk that know cooperative matrices: the system's packages where they are new
# enough, else Debian 13's, put under build/toolchain (the headers unpacked, glslang built from its source package in
# about two minutes). When those cannot be had, the system's older ones serve, and the shaders that they cannot
# compile are left out of the build. Does nothing when that was done before.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

GLSLANG_MINIMUM=15
HEADERS_MINIMUM=1.3.300
SUITE=trixie
SYSTEM_PACKAGES=(glslang-tools libvulkan-dev libvulkan-volk-dev)
FELL_BACK="$VKMOE_TOOLCHAIN/system-packages-serve"

# new_enough installed|candidate: whether the system's packages are, as they stand or after an installation.
new_enough() {
    at_least "$("$1_version" glslang-tools)" $GLSLANG_MINIMUM &&
        at_least "$("$1_version" libvulkan-dev)" $HEADERS_MINIMUM &&
        [ -n "$("$1_version" libvulkan-volk-dev)" ]
}

fetched() {
    [ -x "$VKMOE_TOOLCHAIN/bin/glslang" ] && [ -e "$VKMOE_TOOLCHAIN/include/volk.h" ] &&
        [ -e "$VKMOE_TOOLCHAIN/include/vulkan/vulkan.h" ]
}

# Everything lands under build/toolchain only when it is whole; glslang, the slowest, comes last.
fetch() {
    local work="$VKMOE_TOOLCHAIN/work"
    rm -rf "$work"
    mkdir -p "$work/packages" "$work/glslang" "$VKMOE_TOOLCHAIN/bin"
    note "Downloading Vulkan headers, volk and the source of glslang from Debian $SUITE (the system's are too old)"
    debian_apt "$SUITE" || return 1
    cd "$work"
    logged debian_apt_get download libvulkan-dev libvulkan-volk-dev || return 1
    logged debian_apt_get source --download-only glslang || return 1
    local package
    for package in ./*.deb; do dpkg -x "$package" packages || return 1; done
    rm -rf "$VKMOE_TOOLCHAIN/include"
    cp -r packages/usr/include "$VKMOE_TOOLCHAIN/include" || return 1

    note "Building glslang, about two minutes on two cores"
    tar -xf glslang_*.orig.tar.* -C glslang --strip-components=1 || return 1
    logged cmake -G Ninja -S glslang -B glslang/build -DCMAKE_BUILD_TYPE=Release -DENABLE_OPT=OFF \
        -DENABLE_HLSL=OFF -DGLSLANG_TESTS=OFF -DBUILD_SHARED_LIBS=OFF || return 1
    ninja -C glslang/build glslang-standalone || return 1
    install -m 755 -s glslang/build/StandAlone/glslang "$VKMOE_TOOLCHAIN/bin/glslang" || return 1
    cd "$VKMOE_ROOT"
    rm -rf "$work" "$VKMOE_TOOLCHAIN/apt"
}

if fetched || new_enough installed; then exit 0; fi
if [ -e "$FELL_BACK" ]; then
    require_packages "${SYSTEM_PACKAGES[@]}"
    note "$(cat "$FELL_BACK")"
    exit 0
fi
if [ "${VKMOE_NO_INSTALL:-no}" = no ]; then
    update_lists
    if new_enough candidate; then
        require_packages "${SYSTEM_PACKAGES[@]}"
        exit 0
    fi
    # glslang's build writes its version with a Python script.
    require_packages python3
    if fetch; then exit 0; fi
fi
require_packages "${SYSTEM_PACKAGES[@]}"
mkdir -p "$VKMOE_TOOLCHAIN"
echo "Using the system's glslang $(installed_version glslang-tools) and Vulkan headers; cooperative-matrix shaders" \
    "that they do not support are not built. To try a download again, remove $FELL_BACK." >"$FELL_BACK"
note "$(cat "$FELL_BACK")"

#!/usr/bin/env bash
# Puts SwiftShader, the second Vulkan driver of the tests, into build/toolchain/swiftshader: two files of Debian's
# chromium-common, which is unpacked and not installed. Does nothing when they are there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

TARGET="$VKMOE_TOOLCHAIN/swiftshader"
# The oldest release that has a SwiftShader for Vulkan 1.3: what is built for its C library runs on later ones too.
SUITE=bookworm

fetch() {
    local work="$VKMOE_TOOLCHAIN/swiftshader-work"
    rm -rf "$work"
    mkdir -p "$work"
    note "Extracting SwiftShader from Debian's chromium-common"
    debian_apt "$SUITE" || return 1
    cd "$work"
    logged debian_apt_get download chromium-common || return 1
    dpkg -x ./chromium-common_*.deb . || return 1
    mkdir files
    cp usr/lib/chromium/libvk_swiftshader.so usr/lib/chromium/vk_swiftshader_icd.json files/ || return 1
    rm -rf "$TARGET"
    mv files "$TARGET"
    cd "$VKMOE_ROOT"
    rm -rf "$work" "$VKMOE_TOOLCHAIN/apt"
}

if [ -e "$TARGET/libvk_swiftshader.so" ] && [ -e "$TARGET/vk_swiftshader_icd.json" ]; then exit 0; fi
[ "${VKMOE_NO_INSTALL:-no}" = no ] || die "SwiftShader is not in $TARGET, and --no-install forbids downloading it"
fetch || die "cannot download SwiftShader from Debian's chromium-common; see $VKMOE_LOG"

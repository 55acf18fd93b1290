#!/usr/bin/env bash
# Installs the packages that building vkmoe (`build`) or testing it (`test`) needs, and a Vulkan driver to run on.
# Does nothing, and needs no network, when they are all there. Works as root and as a user with sudo.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

BUILD_PACKAGES=(g++ cmake ninja-build pkg-config ccache libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev
    libpcre2-dev libutf8proc-dev libxxhash-dev liburing-dev libvulkan1)
TEST_PACKAGES=(libgtest-dev vulkan-validationlayers spirv-tools python3)

# The first Mesa whose lavapipe has all that the tests use; Debian 12's own is 22.3.
MESA_MINIMUM=24

# A sources entry for the backports of this Debian release, on the mirror that the system uses already.
add_backports() {
    local suite=$1 mirror
    local file="/etc/apt/sources.list.d/vkmoe-backports.sources"
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "no Debian mirror in the package sources; add $suite by hand for mesa-vulkan-drivers"
    note "Adding $file ($suite, for a newer lavapipe)"
    as_root tee "$file" >/dev/null <<END
# Added by vkmoe for a newer lavapipe (mesa-vulkan-drivers) than this release has. apt installs nothing else from here
# unless told to. This file may be removed; an installed driver stays.
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: $DEBIAN_KEYRING
END
    export VKMOE_LISTS_UPDATED=no
    update_lists
}

install_lavapipe() {
    ! at_least "$(installed_version mesa-vulkan-drivers)" $MESA_MINIMUM || return 0
    [ "${VKMOE_NO_INSTALL:-no}" = no ] ||
        die "lavapipe (mesa-vulkan-drivers) is missing or older than $MESA_MINIMUM; --no-install forbids installing it"
    local suite=""
    update_lists
    if ! at_least "$(candidate_version mesa-vulkan-drivers)" $MESA_MINIMUM; then
        suite=$(. /etc/os-release && printf '%s-backports' "$VERSION_CODENAME")
        apt-cache policy | grep -q "a=.*-backports,n=$suite," || add_backports "$suite"
    fi
    install_packages ${suite:+-t "$suite"} mesa-vulkan-drivers
}

# With a GPU, its own driver is what runs: NVIDIA's comes with a manifest, Mesa has those for AMD and Intel.
install_driver() {
    if compgen -G '/dev/dri/renderD*' >/dev/null || [ -e /dev/nvidiactl ]; then
        compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null ||
            install_packages mesa-vulkan-drivers
    else
        install_lavapipe
    fi
}

command -v apt-get >/dev/null ||
    die "apt-get not found; install this system's equivalents of these packages: ${BUILD_PACKAGES[*]}"

case "${1:-}" in
build)
    require_packages "${BUILD_PACKAGES[@]}"
    install_driver
    ;;
test)
    require_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    install_lavapipe
    ;;
*) die "usage: $0 build|test" ;;
esac

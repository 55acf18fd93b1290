# shellcheck shell=bash disable=SC1091,SC2015,SC2016,SC2317
# Sourced by the scripts beside it, samples/quickstart.sh and tests/run.sh: Debian and Ubuntu packages, installed only
# when one is missing, and Debian packages taken apart without installing them. The caller sets -euo pipefail.

VKMOE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VKMOE_TOOLCHAIN="$VKMOE_ROOT/build/toolchain"
VKMOE_LOG="$VKMOE_ROOT/build/install.log"
VKMOE_LISTS_UPDATED=${VKMOE_LISTS_UPDATED:-no}
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

note() { printf '%s\n' "-- $*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# as_root COMMAND...: as it is for root, through sudo for others. sudo may ask for a password on the terminal.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -- "$@"
    fi
}

# Empty when the package is not installed.
installed_version() {
    dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p' | head -n 1
}

# Empty when the system's sources have no such package.
candidate_version() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}

# at_least VERSION MINIMUM: false for an empty VERSION.
at_least() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$2"; }

# Runs a command with its output in the log. When it fails, says so with the last error that the log holds.
logged() {
    mkdir -p "$(dirname "$VKMOE_LOG")"
    printf '\n$ %s\n' "$*" >>"$VKMOE_LOG"
    local size
    size=$(stat -c %s "$VKMOE_LOG")
    "$@" >>"$VKMOE_LOG" 2>&1 && return 0
    local reason
    reason=$(tail -c "+$((size + 1))" "$VKMOE_LOG" | grep -E '^(E:|sudo:|.*[Ee]rror)' | tail -n 1 || true)
    printf '%s failed: %s (full output: %s)\n' "$1" "${reason:-unknown reason}" "$VKMOE_LOG" >&2
    return 1
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Once a run; a mirror that cannot be reached is no reason to stop while the lists at hand will do.
update_lists() {
    [ "$VKMOE_LISTS_UPDATED" = no ] || return 0
    logged apt_get update || note "Could not update the package lists; continuing with the present ones."
    export VKMOE_LISTS_UPDATED=yes
}

# require_packages PACKAGE...: installs those of them that are missing, or says how to and stops.
require_packages() {
    local missing=() package
    for package; do
        [ -n "$(installed_version "$package")" ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    install_packages "${missing[@]}"
}

# install_packages [-t SUITE] PACKAGE...
install_packages() {
    if [ "${VKMOE_NO_INSTALL:-no}" = yes ]; then
        die "packages are missing, and --no-install forbids installing them; run: apt-get install $*"
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        die "packages are missing, and installing them needs root or sudo; as root, run: apt-get install $*"
    fi
    note "Installing: $*"
    update_lists
    logged apt_get install --no-install-recommends "$@" || die "installation failed; install by hand: apt-get install $*"
}

# Where Debian's own packages come from: on Debian the system's mirror, elsewhere the one that the distribution's
# templates of other sources name, or VKMOE_DEBIAN_MIRROR. Empty when there is none.
debian_mirror() {
    if [ -n "${VKMOE_DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "$VKMOE_DEBIAN_MIRROR"
    elif [ "$(. /etc/os-release && printf %s "$ID")" = debian ]; then
        # A release's own suite: those of updates, backports and security have a hyphen. os-release does not name it,
        # since sid calls itself by the release to come.
        apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
            awk '$1 !~ /-/ && $2 == "main" && $3 == "Debian" { print $4; exit }'
    else
        sed -n 's/^BaseURI: *//p' /usr/share/python-apt/templates/Debian.info 2>/dev/null | head -n 1
    fi
}

# debian_apt SUITE...: makes the function `debian_apt_get`, which is apt-get over Debian's SUITEs alone. Its lists and
# its cache lie under build/toolchain, so that the system's sources are left as they are. Packages are verified by
# Debian's keyring as always. Fails when there is no mirror or no keyring.
debian_apt() {
    local mirror suite folder="$VKMOE_TOOLCHAIN/apt"
    [ -r "$DEBIAN_KEYRING" ] || (install_packages debian-archive-keyring) || return 1
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then
        # Without its lists apt tells no mirror; outside Debian the templates may be missing.
        if [ "$(. /etc/os-release && printf %s "$ID")" = debian ]; then
            update_lists
        else
            (require_packages python-apt-common ca-certificates) || return 1
        fi
        mirror=$(debian_mirror)
    fi
    if [ -z "$mirror" ]; then
        printf 'no Debian mirror found; set VKMOE_DEBIAN_MIRROR to one\n' >&2
        return 1
    fi
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    for suite; do
        printf 'deb [signed-by=%s target=Packages] %s %s main\n' "$DEBIAN_KEYRING" "$mirror" "$suite"
        printf 'deb-src [signed-by=%s target=Sources] %s %s main\n' "$DEBIAN_KEYRING" "$mirror" "$suite"
    done >"$folder/sources.list"
    # The sandbox user of apt often cannot read a folder inside a home directory.
    debian_apt_get() {
        apt-get -q -o Dir::Etc::sourcelist="$VKMOE_TOOLCHAIN/apt/sources.list" -o Dir::Etc::sourceparts=- \
            -o Dir::State::lists="$VKMOE_TOOLCHAIN/apt/lists" -o Dir::Cache="$VKMOE_TOOLCHAIN/apt/cache" \
            -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
    }
    logged debian_apt_get -o APT::Update::Error-Mode=any update
}

# build_preset PRESET [TARGET]...: configures again each time (a second or so), so that what was installed meanwhile is taken.
build_preset() {
    mkdir -p "$(dirname "$VKMOE_LOG")"
    local preset=$1 targets=()
    shift
    [ $# = 0 ] || targets=(--target "$@")
    cmake -S "$VKMOE_ROOT" --preset "$preset" >>"$VKMOE_LOG" ||
        die "cmake --preset $preset failed; see its errors above"
    cmake --build "$VKMOE_ROOT/build/$preset" --parallel "$(nproc)" ${targets[@]+"${targets[@]}"} ||
        die "the build in build/$preset failed; see the compiler's errors above"
}

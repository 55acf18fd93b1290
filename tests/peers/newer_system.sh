#!/usr/bin/env bash
# Runs README's two commands, samples/quickstart.sh and tests/run.sh (which builds with warnings as errors), on the peers'
# tree, a system with newer compilers and libraries than this one:
#
#   PEERS_ROOT=FOLDER tests/peers/newer_system.sh [OPTION of tests/run.sh…]
#
# The tree stays as it is: an overlay takes what is installed and built, and goes at the end. Builds a clone of HEAD. Needs
# root. Where there is no such tree it says so and exits 77. Also read: WORK (default build/newer-system), which keeps
# ccache's files, so that a second run builds in minutes.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tree=${PEERS_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/vkmoe-peers/sid}
if [[ ! -x $tree/usr/bin/apt-get ]]; then
    echo "newer_system.sh: no system in $tree: run the peers' setup.sh, or set PEERS_ROOT" >&2
    exit 77
fi
work=${WORK:-$root/build/newer-system}
mkdir -p "$work"
work=$(cd "$work" && pwd)

# The rest runs in a mount namespace of its own, so that every mount goes with it.
if [[ ${IN_NAMESPACE:-no} = no ]]; then
    rm -rf "$work/upper" "$work/scratch"
    trap 'rm -rf "$work/upper" "$work/scratch"' EXIT
    IN_NAMESPACE=yes unshare --mount --propagation private "$0" "$@"
    exit
fi

merged=$work/merged
mkdir -p "$work/upper" "$work/scratch" "$work/ccache" "$merged"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/scratch" "$merged"
for folder in proc dev sys; do mount --rbind "/$folder" "$merged/$folder"; done
cp -f /etc/resolv.conf "$merged/etc/"
mkdir -p "$merged/tmp" "$merged/root/.cache/ccache"
mount --bind "$work/ccache" "$merged/root/.cache/ccache"
git clone -q "$root" "$merged/root/vkmoe"

inside() {
    chroot "$merged" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        bash -c 'cd /root/vkmoe && exec "$@"' inside "$@"
}

inside bash -c '. /etc/os-release; echo "$PRETTY_NAME"; g++ --version | head -n 1; cmake --version | head -n 1'
inside samples/quickstart.sh
inside tests/run.sh "$@"

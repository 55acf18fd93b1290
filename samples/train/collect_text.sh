#!/usr/bin/env bash
# Gathers training text of five kinds from Debian packages, without installing them (no root needed):
#
#   samples/train/collect_text.sh OUT [PERCENT HELD OUT, default 5]
#
# Makes OUT/train/KIND/*.txt (one file a document), OUT/held-out/KIND.txt and OUT/licences/PACKAGE.txt for
# english, french and german (the Debian Administrator's Handbook), python (the standard library) and c (Linux's
# user-space API headers). Run again, it makes the same split: a document is held out by the hash of its name,
# so that a chapter is held out in all three languages or in none.
set -euo pipefail

out=${1:?usage: collect_text.sh OUT [PERCENT]}
percent=${2:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in apt-get dpkg python3; do
    command -v "$tool" >/dev/null || { echo "collect_text.sh: $tool is missing; this needs a Debian or Ubuntu system with python3" >&2; exit 1; }
done
mkdir -p "$out/packages"
out=$(cd "$out" && pwd)

stdlib=$(apt-cache depends libpython3-stdlib | grep -om1 'libpython3\.[0-9]*-stdlib' || true)
[[ -n $stdlib ]] || { echo "collect_text.sh: apt knows no libpython3-stdlib; run 'apt-get update' first" >&2; exit 1; }
packages=(debian-handbook "$stdlib" "${stdlib%-stdlib}-minimal" linux-libc-dev)

for package in "${packages[@]}"; do
    root=$out/packages/$package
    [[ -f $root.done ]] && continue
    rm -rf "$root" "$out/packages/${package}"_*.deb
    (cd "$out/packages" && apt-get download -qq "$package")
    dpkg -x "$out/packages/${package}"_*.deb "$root"
    rm "$out/packages/${package}"_*.deb
    touch "$root.done"
done

rm -rf "$out/train" "$out/held-out" "$out/licences"
mkdir -p "$out/licences"
for package in "${packages[@]}"; do
    copyright=$out/packages/$package/usr/share/doc/$package/copyright
    # The standard library's is a link into the -minimal package, whose own is taken.
    [[ ! -f $copyright ]] || cp -L "$copyright" "$out/licences/$package.txt"
done

handbook=$out/packages/debian-handbook/usr/share/doc/debian-handbook/html
split() { python3 "$here/plain_text.py" --out "$out" --percent "$percent" "$@"; }
split --kind english --suffix .html "$handbook/en-US"
split --kind french --suffix .html "$handbook/fr-FR"
split --kind german --suffix .html "$handbook/de-DE"
split --kind python --suffix .py "$out/packages/$stdlib/usr/lib" "$out/packages/${stdlib%-stdlib}-minimal/usr/lib"
split --kind c --suffix .h "$out/packages/linux-libc-dev/usr/include"

#!/usr/bin/env bash
# Decode speed of vkmoe beside llama.cpp's Vulkan back end, on the same synthetic model, taken in turns:
#
#   PEERS=FOLDER tests/peers/decode_speed.sh [ROUNDS, default 3]
#
# The model has Qwen3-30B-A3B's layer shape, 3 layers, Q4_K (`vkmoe synth`, kept in WORK). Each round runs
# llama-bench in the peers' tree, vkmoe in that tree (the same driver) and vkmoe outside it (this system's driver).
# Prints every figure, the medians and the ratios vkmoe / llama.cpp; exit 1 if the ratio in the same tree is below 1.
#
# PEERS is the folder with in.sh. Also read: VKMOE (default build/release/vkmoe), WORK (default build/peer-models),
# TOKENS (64), PEER_DRIVER (ICD file inside the tree, default its lavapipe), VK_DRIVER_FILES (for the run outside; default
# this system's lavapipe).
# Nothing else should run on the machine meanwhile.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${PEERS:?set PEERS to the folder of in.sh; see tests/peers/README.md}"
vkmoe=$(realpath "${VKMOE:-$root/build/release/vkmoe}")
work=${WORK:-$root/build/peer-models}
rounds=${1:-3}
tokens=${TOKENS:-64}
peer_driver=${PEER_DRIVER:-/usr/share/vulkan/icd.d/lvp_icd.json}
export WORK=$work PEER_DRIVER=$peer_driver
mkdir -p "$work"
model=$(cd "$work" && pwd)/Qwen3-30B-A3B-3layers-Q4_K.gguf
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The file's name differs between Mesa's versions (lvp_icd.json, lvp_icd.x86_64.json).
outside_driver=${VK_DRIVER_FILES:-$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1 || true)}
[[ -n $outside_driver ]] || { echo "decode_speed.sh: no lavapipe here; set VK_DRIVER_FILES" >&2; exit 1; }
"$PEERS/in.sh" test -e "$peer_driver" ||
    { echo "decode_speed.sh: no $peer_driver in the peers' tree; set PEER_DRIVER" >&2; exit 1; }

if [[ ! -f $model ]]; then
    "$vkmoe" synth --shape Qwen3-30B-A3B --type Q4_K --layers 3 -o "$model"
fi

fail() {
    echo "decode_speed.sh: $1 failed: $(tail -n 1 "$log")" >&2
    exit 1
}

llama() {
    VK_DRIVER_FILES=$peer_driver GGML_VK_VISIBLE_DEVICES=0 \
        "$PEERS/in.sh" llama-bench -m "$model" -ngl 99 -p 0 -n "$tokens" -r 1 -o json >"$log" 2>"$log.err" ||
        { mv "$log.err" "$log"; fail llama-bench; }
    rm -f "$log.err"
    python3 -c 'import json, sys; print("%.3f" % json.load(open(sys.argv[1]))[0]["avg_ts"])' "$log"
}

# The speed that `vkmoe run` reports: the figure named decode, or the last one in tok/s.
ours() {
    local driver=$1
    shift
    VK_DRIVER_FILES=$driver "$@" "$vkmoe" run -m "$model" -p a -n "$tokens" --ignore-end --temp 0 >"$log" 2>&1 ||
        fail "vkmoe run"
    local speeds decode
    speeds=$(tr '\r' '\n' <"$log" | grep -aoE '[0-9]+(\.[0-9]+)? *tok(ens)?/s' | grep -oE '^[0-9.]+' || true)
    decode=$(tr '\r' '\n' <"$log" | grep -aoiE 'decode[^/]*tok(ens)?/s' | grep -oE '[0-9]+(\.[0-9]+)? *tok' |
        grep -oE '^[0-9.]+' | tail -n 1 || true)
    [[ -n $speeds ]] || fail "vkmoe run (no tok/s in its output)"
    echo "${decode:-$(tail -n 1 <<<"$speeds")}"
}

# One number a line -> the median.
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

declare -a a b c
printf '%-7s%22s%22s%22s\n' round 'llama.cpp, tree' 'vkmoe, tree' 'vkmoe, outside'
for ((i = 1; i <= rounds; i++)); do
    a+=("$(llama)")
    b+=("$(ours "$peer_driver" "$here/in_tree.sh")")
    c+=("$(ours "$outside_driver" env)")
    printf '%-7s%16s tok/s%16s tok/s%16s tok/s\n' "$i" "${a[-1]}" "${b[-1]}" "${c[-1]}"
done
theirs=$(printf '%s\n' "${a[@]}" | median)
inside=$(printf '%s\n' "${b[@]}" | median)
outside=$(printf '%s\n' "${c[@]}" | median)
awk -v a="$theirs" -v b="$inside" -v c="$outside" -v n="$tokens" 'BEGIN {
    printf "medians over %d decoded tokens: llama.cpp %.2f, vkmoe %.2f in the tree (ratio %.2f), %.2f outside (%.2f)\n",
           n, a, b, b / a, c, c / a
    exit b < a
}'

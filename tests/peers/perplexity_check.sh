#!/usr/bin/env bash
# Holds `vkmoe perplexity` against llama-perplexity on the bundled model and every held-out text: within 0.5%.
#
#   PEERS=FOLDER tests/peers/perplexity_check.sh [TYPE…]        # types: f16 (default), q8_0, q4_k_m, …
#
# PEERS is the folder with in.sh. Also read: VKMOE (the program, default build/release/vkmoe), WORK (where quantized
# models and llama.cpp's results are kept, default build/peer-models), TEXTS (names to take, default all),
# PREPARE_ONLY=1 (llama.cpp's results only), and the program's own VK_DRIVER_FILES and VKMOE_PATH.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PEERS:?set PEERS to the folder of in.sh; see tests/peers/README.md}"
vkmoe=${VKMOE:-$root/build/release/vkmoe}
work=${WORK:-$root/build/peer-models}/perplexity
source=$root/samples/models/babel-moe-14m-f16.gguf
texts=${TEXTS:-$(find "$root/samples/models/held-out" -name '*.txt' -printf '%f\n' | sed 's/\.txt$//' | sort)}
types=("$@")
((${#types[@]})) || types=(f16)
limit=0.5
mkdir -p "$work"
work=$(cd "$work" && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# llama.cpp on its CPU back end: no Vulkan device, which it would give large batches.
peer() { GGML_VK_VISIBLE_DEVICES='' "$PEERS/in.sh" "$@"; }

model_of() {
    local type=$1 file=$work/model-$1.gguf
    if [[ $type == f16 ]]; then
        echo "$source"
        return
    fi
    if [[ ! -f $file ]]; then
        peer llama-quantize "$source" "$file.part" "${type^^}" 1 >"$log" 2>&1 || { tail -n 3 "$log" >&2; exit 1; }
        mv "$file.part" "$file"
    fi
    echo "$file"
}

# The last "NUMBER +/- NUMBER" of a log, llama-perplexity's final estimate and ours.
estimate() { tr '\r' '\n' <"$1" | grep -oE '[0-9]+(\.[0-9]+)? *(\+/-|±) *[0-9.]+' | tail -n 1 | grep -oE '^[0-9.]+'; }

# llama-perplexity logs from a thread of its own and now and then ends before the last lines are out: tried again.
reference_of() {
    local type=$1 text=$2 model=$3 file=$work/llama-$1-$2.txt try
    for try in 1 2 3 4 5; do
        [[ ! -s $file ]] || break
        peer llama-perplexity -m "$model" -f "$root/samples/models/held-out/$text.txt" -c 512 -ngl 0 >"$log" 2>&1 ||
            { echo "llama-perplexity failed: $(tail -n 1 "$log")" >&2; exit 1; }
        if estimate "$log" >"$file.part"; then mv "$file.part" "$file"; fi
    done
    [[ -s $file ]] || { echo "llama-perplexity gave no estimate in $try tries, see $model" >&2; exit 1; }
    cat "$file"
}

missed=0
printf '%-8s%-10s%12s%12s%10s\n' type text llama.cpp vkmoe apart
for type in "${types[@]}"; do
    model=$(model_of "$type")
    for text in $texts; do
        theirs=$(reference_of "$type" "$text" "$model")
        if [[ -n ${PREPARE_ONLY:-} ]]; then
            printf '%-8s%-10s%12s\n' "$type" "$text" "$theirs"
            continue
        fi
        if ! "$vkmoe" perplexity -m "$model" -f "$root/samples/models/held-out/$text.txt" -c 512 >"$log" 2>&1 ||
            ! ours=$(estimate "$log"); then
            printf '%-8s%-10s%12s  FAILED: %s\n' "$type" "$text" "$theirs" "$(tail -n 1 "$log")"
            missed=$((missed + 1))
            continue
        fi
        verdict=$(awk -v a="$theirs" -v b="$ours" -v limit=$limit 'BEGIN {
            apart = 100 * (b - a) / a
            printf "%+9.3f%%%s", apart, (apart > limit || apart < -limit) ? "  MISS" : ""
        }')
        [[ $verdict != *MISS ]] || missed=$((missed + 1))
        printf '%-8s%-10s%12s%12s%s\n' "$type" "$text" "$theirs" "$ours" "$verdict"
    done
done
((missed == 0)) || { echo "$missed missed the limit of $limit%"; exit 1; }

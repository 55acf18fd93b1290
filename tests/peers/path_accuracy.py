#!/usr/bin/env python3
"""Holds the accuracy of every kernel path against the scalar path, on the bundled model and a held-out text.

    PEERS=FOLDER tests/peers/path_accuracy.py [--types F16,Q8_0,Q4_K_M] [--paths subgroup,dot4,coopmat,coopmat_int8]
                                              [--tokens 512] [--text english]

Prints for each type and path the perplexity of the text, the mean KL divergence from the scalar path's distribution, the
NMSE of the logits and the share of positions with the same most likely token. VKMOE_PATH selects the path, and --vkmoe the
driver: 'tests/peers/in_tree.sh build/release/vkmoe' has the tree's lavapipe with cooperative matrices.

Limit: a perplexity within 0.5 % of the scalar path's and NMSE <= 1e-2. Exit 1 if anything misses.
"""

import array
import json
import math
import os
import shlex
import sys

from every_type_check import LIMIT, TEXTS, TRAINED
from logits_check import argument_parser, compare, environment, open_peers, parse_arguments, read_npy, run

PERPLEXITY_LIMIT = 0.005


def log_softmax(row):
    top = max(row)
    total = top + math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - total for x in row]


def log_probabilities(matrix):
    rows, columns, values = matrix
    return [array.array("d", log_softmax(values[r * columns:(r + 1) * columns])) for r in range(rows)]


def perplexity(logs, ids):
    return math.exp(-math.fsum(logs[t][ids[t + 1]] for t in range(len(ids) - 1)) / (len(ids) - 1))


def divergence(reference, other):
    total = math.fsum(math.exp(a) * (a - b) for p, q in zip(reference, other) for a, b in zip(p, q))
    return total / len(reference)


def main():
    parser = argument_parser(__doc__.splitlines()[0])
    parser.set_defaults(paths="subgroup,dot4,coopmat,coopmat_int8")
    parser.add_argument("--types", default="F16,Q8_0,Q4_K_M")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--text", default="english", help="name of a held-out text")
    args = parse_arguments(parser)
    peers = open_peers(args)
    program = shlex.split(args.vkmoe)
    folder = peers.work / "babel-moe"
    folder.mkdir(exist_ok=True)
    ids = json.loads(run([*program, "tokenize", "-m", TRAINED, "-f", TEXTS / f"{args.text}.txt", "--json"]))[:args.tokens]
    tokens = folder / "path-tokens.json"
    tokens.write_text(json.dumps(ids))
    logits = folder / f"path-logits-{os.getpid()}.npy"

    def logits_on(model, path):
        run([*program, "logits", "-m", model, "--tokens", tokens, "-o", logits],
            environment(path, args.drivers), f"vkmoe on path {path}")
        return read_npy(logits)

    missed = 0
    if not args.prepare_only:
        print(f"{'type':<8}{'path':<14}{'perplexity':>11}{'apart':>9}{'KL':>11}{'NMSE':>10}{'top 1':>8}")
    for kind in args.types.split(","):
        model = TRAINED
        if kind != "F16":
            model = folder / f"path-{kind.lower()}.gguf"
            peers.quantize(TRAINED, model, kind)
        if args.prepare_only:
            print(f"{kind}: ready", flush=True)
            continue
        reference = logits_on(model, "scalar")
        reference_logs = log_probabilities(reference)
        exact = perplexity(reference_logs, ids)
        print(f"{kind:<8}{'scalar':<14}{exact:>11.4f}", flush=True)
        for path in args.paths.split(","):
            other = logits_on(model, path)
            logs = log_probabilities(other)
            here = perplexity(logs, ids)
            nmse, same = compare(reference, other)
            held = abs(here / exact - 1) <= PERPLEXITY_LIMIT and nmse <= LIMIT
            missed += not held
            print(f"{kind:<8}{path:<14}{here:>11.4f}{100 * (here / exact - 1):>+8.3f}%{divergence(reference_logs, logs):>11.2e}"
                  f"{nmse:>10.1e}{100 * same:>7.1f}%{'' if held else '  MISS'}", flush=True)
    logits.unlink(missing_ok=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

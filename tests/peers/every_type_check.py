#!/usr/bin/env python3
"""Holds the logits of `vkmoe logits` against llama.cpp's for every type that llama-quantize can make.

    PEERS=FOLDER tests/peers/every_type_check.py [--work DIR] [--vkmoe PROGRAM] [--models random,trained]
                                                 [--types Q4_K_M,IQ2_XS] [--paths auto,scalar]

Two models, whose matrices all have rows of multiples of 256, are quantized to each type, with an importance matrix:

  random   qwen3_moe of make_model.py with 8 experts that are all used. Routers of random weights sit on near-ties,
           where llama.cpp's rounding of activations to 8 bits flips experts (README.md); here it cannot.
  trained  the bundled model, which uses 2 of its 16 experts, on a text

Limit: NMSE <= 1e-2 against llama.cpp's CPU run of the same file, and the type must occur in that file. Of the 48
tokens 40 go in at once and the others one by one. Two more figures decide nothing, as in logits_check.py: `exact`, the
NMSE against the same weights dequantized and run in float by llama.cpp, and `llama`, llama.cpp's own against that.
Models and references are kept in the work folder and made only once. Exit 1 if anything misses.
"""

import json
import os
import shlex
import sys
import time

from logits_check import ROOT, Model, argument_parser, compare, open_peers, parse_arguments, read_npy, run, settings_of

LIMIT = 1e-2
TOKENS = 48
AT_ONCE = 40
RANDOM = Model("qwen3_moe", "all-experts", 1, ("num_experts=8", "num_experts_per_tok=8"))
TRAINED = ROOT / "samples/models/babel-moe-14m-f16.gguf"
TEXTS = ROOT / "samples/models/held-out"

# What llama-quantize is asked for, and the type that the file must then have: most of its choices are mixtures.
KINDS = {
    **{name: name for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K")}, "Q2_K_S": "Q2_K",
    "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K", "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K", "Q6_K": "Q6_K", "IQ1_S": "IQ1_S", "IQ1_M": "IQ1_M", "IQ2_XXS": "IQ2_XXS", "IQ2_XS": "IQ2_XS",
    "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XXS": "IQ3_XXS", "IQ3_XS": "IQ3_S", "IQ3_S": "IQ3_S", "IQ3_M": "IQ3_S",
    "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "TQ1_0": "TQ1_0", "TQ2_0": "TQ2_0", "MXFP4_MOE": "MXFP4", "NVFP4": "NVFP4",
    "Q1_0": "Q1_0", "Q2_0": "Q2_0",
}


class Subject:
    """A model to quantize, and the tokens it is run on."""

    def __init__(self, name, peers, program):
        self.name, self.peers = name, peers
        if name == "random":
            self.folder = peers.make_model(RANDOM)
            self.source = self.folder / "model-f32.gguf"
            ids = json.loads((self.folder / "tokens.json").read_text())
        else:
            self.folder = peers.work / "babel-moe"
            self.folder.mkdir(exist_ok=True)
            self.source = TRAINED
            ids = json.loads(run([*program, "tokenize", "-m", TRAINED, "-f", TEXTS / "english.txt", "--json"]))
        self.tokens = self.folder / "every-type-tokens.json"
        self.tokens.write_text(json.dumps(ids[:TOKENS]))

    def importance_matrix(self):
        matrix = self.folder / "imatrix.gguf"
        if not matrix.exists():
            text, part = self.folder / "imatrix.txt", self.folder / "imatrix-part.gguf"
            text.write_bytes(b"".join(path.read_bytes() for path in sorted(TEXTS.glob("*.txt"))))
            self.peers.inside("llama-imatrix", "-m", self.source, "-f", text, "-o", part, "--chunks", 20, "-ngl", 0,
                              GGML_VK_VISIBLE_DEVICES="")
            part.rename(matrix)
        return matrix

    def prepare(self, kind):
        """(the model's file, llama.cpp's logits, the exact ones)"""
        gguf = self.folder / f"every-{kind.lower()}.gguf"
        options, base = ("--imatrix", self.importance_matrix()), kind
        if kind == "NVFP4":  # a type of tensors, but not of files
            options += ("--token-embedding-type", kind, "--output-tensor-type", kind, "--tensor-type", f"weight={kind}")
            base = "Q8_0"
        self.peers.quantize(self.source, gguf, base, *options)
        reference = gguf.with_name(f"every-llama-{kind.lower()}.npy")
        exact = gguf.with_name(f"every-exact-{kind.lower()}.npy")
        self.peers.llama_logits(gguf, self.tokens, reference)
        self.peers.exact_logits(gguf, self.tokens, exact)
        return gguf, reference, exact


def types_in(program, gguf):
    """Numbers of matrices by their type."""
    counts = {}
    for tensor in json.loads(run([*program, "inspect", gguf, "--json"]))["tensors"]:
        if len(tensor["shape"]) > 1:
            counts[tensor["type"]] = counts.get(tensor["type"], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def check(program, subject, kind, env, scratch):
    """(whether it held, the line that says how)"""
    gguf, llama_file, exact_file = subject.prepare(kind)
    types = types_in(program, gguf)
    scratch.unlink(missing_ok=True)
    start = time.monotonic()
    run([*program, "logits", "-m", gguf, "--tokens", subject.tokens, "--split", str(AT_ONCE), "-o", scratch], env,
        "vkmoe logits")
    seconds = time.monotonic() - start
    llama, exact = read_npy(llama_file), read_npy(exact_file)
    ours = read_npy(scratch)
    nmse, top1 = compare(llama, ours)
    of_exact, of_llama = compare(exact, ours)[0], compare(exact, llama)[0]
    held = nmse <= LIMIT
    line = f"{nmse:>10.2e}{top1:>7.3f}{of_exact:>10.2e}{of_llama:>10.2e}{seconds:>7.1f}  "
    line += " ".join(f"{name}:{count}" for name, count in types.items())
    if not held:
        line += "  MISS (llama.cpp strays further)" if of_llama > LIMIT and of_exact <= of_llama else "  MISS"
    if KINDS[kind] not in types:
        held, line = False, line + f"  MISS (no matrix is of type {KINDS[kind]})"
    return held, line


def main():
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--models", default="random,trained")
    parser.add_argument("--types", default=",".join(KINDS))
    args = parse_arguments(parser)
    kinds = args.types.split(",")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        parser.error(f"--types: {', '.join(unknown)} not known; known are {', '.join(KINDS)}")
    peers = open_peers(args)
    program = shlex.split(args.vkmoe)
    scratch = peers.work / f"logits-{os.getpid()}.npy"
    settings = settings_of(args)
    done = missed = 0
    if not args.prepare_only:
        print(f"{'model':<9}{'type':<11}{'driver':<12}{'path':<10}{'nmse':>10}{'top1':>7}{'exact':>10}{'llama':>10}"
              f"{'s':>7}  matrices by type")
    for name in args.models.split(","):
        subject = Subject(name, peers, program)
        for kind in kinds:
            if args.prepare_only:
                subject.prepare(kind)
                print(f"{name:<9}{kind:<11}ready", flush=True)
                continue
            for driver, path, env in settings:
                try:
                    held, line = check(program, subject, kind, env, scratch)
                except (RuntimeError, OSError) as error:
                    held, line = False, f"  FAILED: {error}"
                done += 1
                missed += not held
                print(f"{name:<9}{kind:<11}{os.path.basename(driver)[:11]:<12}{path:<10}{line}", flush=True)
    if args.prepare_only:
        return 0
    scratch.unlink(missing_ok=True)
    print(f"{done - missed} of {done} held (NMSE at most {LIMIT:.0e} against llama.cpp)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Holds the logits of `vkmoe logits` against transformers and llama.cpp on small random models.

    PEERS=FOLDER tests/peers/logits_check.py [--quick] [--work DIR] [--vkmoe PROGRAM]
                                             [--paths auto,scalar] [--drivers lavapipe,swiftshader]

PEERS is the folder with in.sh, make_model.py and llama_logits.cpp (see README.md). Needs nothing but Python's
standard library: everything that wants torch or llama.cpp runs through in.sh.

For each model (mixtral, qwen3_moe, olmoe; several seeds and sizes) and each type:
  F32, F16      against transformers in float32:      NMSE <= 1e-3 and the same top token at >= 95% of positions
  Q8_0, Q4_K_M  against llama.cpp's CPU run of the same file: NMSE <= 1e-2
Attention is causal, so a reference of 300 tokens serves every shorter prompt by its first rows.

For the quantized types two more figures are printed, which decide nothing: `exact`, the NMSE against the same
file's weights dequantized and run in float (by llama.cpp), and `llama`, the NMSE of llama.cpp's own run against
that. llama.cpp rounds activations to 8 bits, and a rounding that flips an expert shows as 1e-3 and more: where
`llama` is above the limit, a program nearer to the exact result can miss it: still a miss, and the row says so.
Models and references are kept in the work folder and made only once. Exit 1 if anything misses.
"""

import argparse
import array
import ast
import glob
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENS = 300
LENGTHS = [1, 2, 13, 64, 129, TOKENS]
TYPES = ["F32", "F16", "Q8_0", "Q4_K_M"]
NMSE_LIMIT = {"F32": 1e-3, "F16": 1e-3, "Q8_0": 1e-2, "Q4_K_M": 1e-2}
TOP1_LIMIT = {"F32": 0.95, "F16": 0.95}


@dataclass(frozen=True)
class Model:
    """One model to make: `sets` are make_model.py's --set KEY=VALUE."""

    arch: str
    size: str
    seed: int
    sets: tuple = field(default=())

    @property
    def name(self):
        return f"{self.arch}-{self.size}-s{self.seed}"


# Rows of every matrix stay multiples of 256 (Q4_K blocks) and experts multiples of 8 (llama.cpp's CPU back end is
# wrong for F32 routers of other sizes).
SIZES = {
    "mixtral": {
        "base": (),
        "wide": ("hidden_size=512", "num_attention_heads=8", "num_key_value_heads=8", "intermediate_size=768",
                 "num_hidden_layers=2"),
        "deep": ("num_local_experts=16", "num_experts_per_tok=4", "num_attention_heads=2", "num_key_value_heads=1",
                 "intermediate_size=256", "num_hidden_layers=6"),
    },
    "qwen3_moe": {
        "base": (),
        "wide": ("hidden_size=512", "head_dim=128", "num_attention_heads=8", "num_key_value_heads=1",
                 "num_experts=64", "num_experts_per_tok=6", "num_hidden_layers=2",
                 'rope_parameters={"rope_type":"default","rope_theta":1000000.0}'),
        "deep": ("num_experts=8", "num_experts_per_tok=1", "moe_intermediate_size=512", "num_hidden_layers=6",
                 "tie_word_embeddings=true", "rms_norm_eps=1e-05"),
    },
    "olmoe": {
        "base": (),
        "wide": ("hidden_size=512", "num_attention_heads=4", "num_key_value_heads=4", "num_experts=64",
                 "num_experts_per_tok=8", "num_hidden_layers=2"),
        "deep": ("num_experts=8", "num_experts_per_tok=3", "intermediate_size=512", "num_hidden_layers=6",
                 "num_attention_heads=8", "num_key_value_heads=8"),
    },
}


def models_to_check(archs, quick):
    if quick:
        return [Model(a, "base", 1) for a in archs]
    seeds = {"base": (1, 2, 3), "wide": (4,), "deep": (5,)}
    return [Model(a, size, seed, SIZES[a][size]) for a in archs for size in SIZES[a] for seed in seeds[size]]


def lengths_of(model, quick):
    """Every length for the first seed; for the others the longest and one that goes round with the seed."""
    if quick:
        return [1, 33, TOKENS]
    if model.seed == 1:
        return LENGTHS
    return [LENGTHS[model.seed % (len(LENGTHS) - 1)], TOKENS]


def run(command, env=None, what=""):
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise RuntimeError(f"{what or command[0]}: exit {done.returncode}: " + " | ".join(tail))
    return done.stdout


class Peers:
    """The reference programs, each run through in.sh."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work
        for name in ("in.sh", "make_model.py", "llama_logits.cpp"):
            if not (folder / name).exists():
                sys.exit(f"PEERS: {folder} has no {name}; see tests/peers/README.md")
        self.logits_program = work / "llama_logits"

    def inside(self, *command, **env):
        return run([self.folder / "in.sh", *map(str, command)], {**os.environ, **env}, f"in.sh {command[0]}")

    def build_logits_program(self):
        if not self.logits_program.exists():
            self.inside("g++", "-O2", self.folder / "llama_logits.cpp", "-o", self.logits_program,
                        "-lllama", "-lggml", "-lggml-base")

    def make_model(self, model):
        out = self.work / model.name
        if not (out / "made").exists():
            sets = [word for s in model.sets for word in ("--set", s)]
            self.inside("python3", self.folder / "make_model.py", model.arch, out, "--seed", model.seed,
                        "--tokens", TOKENS, *sets)
            if not (out / "model-f32.gguf").exists():
                raise RuntimeError(f"{model.name}: make_model.py wrote no GGUF")
            (out / "made").touch()
        return out

    # Each makes a file unless it is there. It counts as made only once it bears its last name.

    def quantize(self, source, gguf, kind, *options):
        if not gguf.exists():
            part = gguf.with_suffix(".part")
            self.inside("llama-quantize", *options, source, part, kind, 1)
            part.rename(gguf)

    def llama_logits(self, gguf, tokens, out):
        if not out.exists():
            part = out.with_suffix(".part")
            # No Vulkan device: llama.cpp gives large batches to one even where no layer was.
            self.inside(self.logits_program, gguf, tokens, part, GGML_VK_VISIBLE_DEVICES="")
            part.rename(out)

    def exact_logits(self, gguf, tokens, out):
        """Of the same weights, dequantized and run in float."""
        if not out.exists():
            floats = out.with_suffix(".gguf")
            self.quantize(gguf, floats, "F32", "--allow-requantize")
            self.llama_logits(floats, tokens, out)
            floats.unlink()

    def prepare(self, model, types):
        """Makes what is missing of a model."""
        out = self.make_model(model)
        for kind in types:
            gguf = out / gguf_name(kind)
            self.quantize(out / "model-f32.gguf", gguf, kind)
            self.llama_logits(gguf, out / "tokens.json", out / reference_name(kind))
            if kind not in TOP1_LIMIT:
                self.exact_logits(gguf, out / "tokens.json", out / exact_name(kind))
        return out


def gguf_name(kind):
    return f"model-{kind.lower()}.gguf"


def reference_name(kind):
    return "logits.npy" if kind in TOP1_LIMIT else f"llama-{kind.lower()}.npy"


def exact_name(kind):
    return f"exact-{kind.lower()}.npy"


def read_npy(path):
    """(rows, columns, values) of a C-ordered little-endian float32 matrix."""
    data = pathlib.Path(path).read_bytes()
    if data[:6] != b"\x93NUMPY":
        raise RuntimeError(f"{path}: not a .npy file")
    wide = data[6] > 1
    start = 12 if wide else 10
    end = start + int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start:end].decode("latin-1"))
    if header["descr"] != "<f4" or header["fortran_order"] or len(header["shape"]) != 2:
        raise RuntimeError(f"{path}: expected a C-ordered <f4 matrix, found {header}")
    rows, columns = header["shape"]
    values = array.array("f", data[end:])
    if len(values) != rows * columns:
        raise RuntimeError(f"{path}: {len(values)} numbers where {rows} x {columns} were announced")
    return rows, columns, values


def first_rows(matrix, rows):
    have, columns, values = matrix
    if have < rows:
        raise RuntimeError(f"the reference has {have} rows, {rows} are wanted")
    return rows, columns, values[: rows * columns]


def compare(reference, other):
    """NMSE and top-1 agreement of two matrices of logits."""
    rows, columns, ref = reference
    if other[:2] != (rows, columns):
        raise RuntimeError(f"logits are {other[0]} x {other[1]}, expected {rows} x {columns}")
    out = other[2]
    if not all(map(math.isfinite, out)):
        raise RuntimeError("logits are not all finite")
    error = math.fsum((o - r) ** 2 for o, r in zip(out, ref))
    scale = math.fsum(r * r for r in ref)
    same = 0
    for row in range(rows):
        a, b = ref[row * columns:(row + 1) * columns], out[row * columns:(row + 1) * columns]
        same += a.index(max(a)) == b.index(max(b))
    return error / scale, same / rows


def driver_file(name):
    """The ICD file of a driver's name; a path stands for itself."""
    places = {
        "lavapipe": ["/usr/share/vulkan/icd.d/lvp_icd*.json"],
        "swiftshader": [str(ROOT / "build/toolchain/swiftshader/vk_swiftshader_icd.json")],
    }.get(name, [name])
    for place in places:
        for found in sorted(glob.glob(place)):
            return found
    sys.exit(f"--drivers: no ICD file for '{name}' ({', '.join(places)}); install the driver or give the file's path")


def environment(path, driver):
    env = dict(os.environ)
    if path != "auto":
        env["VKMOE_PATH"] = path
    if driver != "default":
        env["VK_DRIVER_FILES"] = driver_file(driver)
    return env


@dataclass
class Result:
    nmse: float
    top1: float
    seconds: float
    exact: float = math.nan  # NMSE against the float run of the same quantized weights
    llama: float = math.nan  # llama.cpp's own

    def held(self, kind):
        return self.nmse <= NMSE_LIMIT[kind] and self.top1 >= TOP1_LIMIT.get(kind, 0.0)

    def nearer_than_llama(self, kind):
        """A miss that says more about llama.cpp's rounding than about ours."""
        return not self.held(kind) and self.llama > NMSE_LIMIT[kind] and self.exact <= self.llama


def check(program, folder, kind, length, env, scratch):
    """Runs the program on the first `length` tokens."""
    ids = json.loads((folder / "tokens.json").read_text())[:length]
    tokens, out = scratch / "tokens.json", scratch / "logits.npy"
    tokens.write_text(json.dumps(ids))
    out.unlink(missing_ok=True)
    start = time.monotonic()
    run([*program, "logits", "-m", folder / gguf_name(kind), "--tokens", tokens, "-o", out], env, "vkmoe logits")
    seconds = time.monotonic() - start
    ours = read_npy(out)
    reference = first_rows(read_npy(folder / reference_name(kind)), length)
    result = Result(*compare(reference, ours), seconds)
    if kind not in TOP1_LIMIT:
        exact = first_rows(read_npy(folder / exact_name(kind)), length)
        result.exact, result.llama = compare(exact, ours)[0], compare(exact, reference)[0]
    return result


def row_of(result, kind):
    text = f"{result.nmse:>10.2e}{result.top1:>7.3f}"
    text += f"{result.exact:>10.2e}{result.llama:>10.2e}" if kind not in TOP1_LIMIT else " " * 20
    text += f"{result.seconds:>7.1f}"
    if not result.held(kind):
        text += "  MISS (llama.cpp strays further)" if result.nearer_than_llama(kind) else "  MISS"
    return text


def peer_parser(description):
    """With what every comparison takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--peers", default=os.environ.get("PEERS"), help="folder of in.sh (default: $PEERS)")
    parser.add_argument("--vkmoe", default=os.environ.get("VKMOE", str(ROOT / "build/release/vkmoe")),
                        help="the program, with a prefix if wanted, e.g. 'FOLDER/in.sh build/release/vkmoe'")
    parser.add_argument("--work", default=str(ROOT / "build/peer-models"), help="where models are kept")
    return parser


def argument_parser(description):
    """With what every check takes."""
    parser = peer_parser(description)
    parser.add_argument("--paths", default="auto", help="values of VKMOE_PATH; auto leaves it as it is")
    parser.add_argument("--drivers", default="default",
                        help="lavapipe, swiftshader or ICD files; default leaves the choice to the environment")
    parser.add_argument("--prepare-only", action="store_true", help="make the models and references, check nothing")
    return parser


def parse_arguments(parser):
    arguments = parser.parse_args()
    if not arguments.peers:
        parser.error("set PEERS to the folder of in.sh, or give --peers")
    return arguments


def open_peers(arguments):
    work = pathlib.Path(arguments.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    peers = Peers(pathlib.Path(arguments.peers).resolve(), work)
    peers.build_logits_program()
    return peers


def settings_of(arguments):
    """(driver, path, environment) of each run."""
    return [(d, p, environment(p, d)) for d in arguments.drivers.split(",") for p in arguments.paths.split(",")]


def main():
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--archs", default=",".join(SIZES))
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--quick", action="store_true", help="one model an architecture, three prompt lengths")
    args = parse_arguments(parser)
    peers = open_peers(args)
    scratch = peers.work / f"scratch-{os.getpid()}"
    types = args.types.split(",")
    settings = settings_of(args)
    program = shlex.split(args.vkmoe)
    worst, missed, strayed, done = {}, 0, 0, 0

    if not args.prepare_only:
        scratch.mkdir(exist_ok=True)
        print(f"{'model':<22}{'type':<8}{'tokens':>6}  {'driver':<12}{'path':<10}{'nmse':>10}{'top1':>7}"
              f"{'exact':>10}{'llama':>10}{'s':>7}")
    for model in models_to_check(args.archs.split(","), args.quick):
        folder = peers.prepare(model, types)
        if args.prepare_only:
            print(f"{model.name}: ready", flush=True)
            continue
        for driver, path, env in settings:
            for kind in types:
                for length in lengths_of(model, args.quick):
                    label = (f"{model.name:<22}{kind:<8}{length:>6}  "
                             f"{os.path.basename(driver)[:11]:<12}{path:<10}")
                    done += 1
                    try:
                        result = check(program, folder, kind, length, env, scratch)
                    except (RuntimeError, OSError) as error:
                        missed += 1
                        print(f"{label}  FAILED: {error}", flush=True)
                        continue
                    missed += not result.held(kind)
                    strayed += result.nearer_than_llama(kind)
                    worst[kind] = max(worst.get(kind, 0.0), result.nmse)
                    print(label + row_of(result, kind), flush=True)
    if args.prepare_only:
        return 0
    for leftover in scratch.iterdir():
        leftover.unlink()
    scratch.rmdir()
    for kind, nmse in worst.items():
        print(f"worst {kind}: NMSE {nmse:.2e} (limit {NMSE_LIMIT[kind]:.0e})")
    print(f"{done - missed} of {done} held" +
          (f"; in {strayed} of the misses llama.cpp's run is over the limit from the exact result, and ours nearer"
           if strayed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

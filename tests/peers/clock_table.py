#!/usr/bin/env python3
"""Clocks that the matrix kernels for many tokens take on real GPUs, by their compilers' code, beside ggml-vulkan's.

    PEERS=FOLDER tests/peers/clock_table.py [--devices amd:navi31,...] [--types Q4_K,...] [--vkmoe PROGRAM]

No GPU is needed: FOLDER has gpu-compilers.sh and isa/ (see shader_statistics.py). For each device and type the pipelines that
the plan takes for Mixtral, Qwen3 and gpt-oss at 64 and 512 tokens are made, and the clocks of a SIMD for 65,536
multiply-accumulates of their K loops are counted (isa/loops.py says by which model; NVIDIA's and Intel's rates are below),
divided by the share of the computed rows that are real (routing is drawn at random, as by isa/padding.py). ggml's were read
once. A dense product is judged by the largest of its tiles: smaller ones are for matrices of few rows. Experts' tiles are told
by all models and numbers of tokens together; of those that a cell may have the best counts.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = {"Mixtral-8x7B": (8, 2), "Qwen3-30B-A3B": (128, 8), "gpt-oss-20b": (32, 4)}  # experts, and those of a token
TOKENS = (64, 512)
STEP_COLUMNS = 64  # that a tile stages between two barriers

# Clocks for a matrix instruction's 65,536 multiply-accumulates, by the vendors' documents: a quarter of an SM of a GeForce
# (float16 with float32 sums, int8), a vector engine of Xe2. A vector instruction of a subgroup takes one.
RATES = {"NVIDIA": {"float": 1024, "int": 256}, "Intel": {"float": 512, "int": 256}}

# Of ggml-vulkan 0.27 (build 11669), by Mesa 26.2.6's code and the same model: dense at 64 and at 512 tokens, experts at 64
# and at 512; 0: not read. Its products with float16 sums take half as long on a GeForce as RATES says, which is counted.
GGML = {
    "amd:navi31": {"Q4_K": (942, 856, 965, 965), "Q8_0": (783, 754, 822, 822), "MXFP4": (822, 776, 864, 864)},
    "amd:gfx1201": {"Q4_K": (764, 559, 534, 534), "Q8_0": (391, 338, 415, 415), "MXFP4": (432, 371, 449, 449)},
    "amd:navi21": {"Q4_K": (1071, 1071, 1138, 1138)},
    "amd:polaris10": {"Q4_K": (5128, 5128, 5424, 5424), "Q8_0": (0, 0, 4960, 4960), "MXFP4": (0, 0, 5096, 5096)},
    "nv:0x172": {"Q4_K": (1326, 898, 1426, 994), "Q8_0": (1040, 988, 1210, 992), "MXFP4": (1252, 776, 1266, 890)},
    "intel:bmg": {"Q4_K": (1196, 880, 1568, 1232), "Q8_0": (944, 740, 1334, 1108), "MXFP4": (928, 748, 1300, 1094)},
}
WIDE_TILES = ("nv:0x172", "intel:bmg")  # of 128 tokens for experts at 512; else of 64


def tool(name):
    if "PEERS" not in os.environ:
        sys.exit("clock_table.py: set PEERS to the folder of gpu-compilers.sh; see tests/peers/README.md")
    peers = pathlib.Path(os.environ["PEERS"])
    if not (peers / name).exists():
        sys.exit(f"clock_table.py: no {name} in {peers}, which PEERS names")
    return peers / name


def chunk_runs(kind):
    text = (ROOT / "shaders/quant" / f"{kind.lower()}.glsl").read_text()
    return int(re.search(r"const uint CHUNK_RUNS = (\d)", text)[1])


def share_of_real_rows(experts, used, tokens, tile):
    counts = []
    draw = random.Random(1)
    for _ in range(30):
        of_expert = [0] * experts
        for _ in range(tokens):
            for expert in draw.sample(range(experts), used):
                of_expert[expert] += 1
        counts.append(of_expert)
    return sum(map(sum, counts)) / sum(-(-c // tile) * tile for one in counts for c in one)


class Tile:
    """The sizes of a pipeline's tile, by its specialization constants."""

    def __init__(self, pipeline):
        c = pipeline["constants"]
        self.lanes = c[0]
        if "coopmat" in pipeline["path"]:
            self.rows, self.tokens = c[1] * c[4] * c[6], c[2] * c[5] * c[7]
        else:
            self.rows, self.tokens = c[1] * c[3], c[2] * (c[0] // c[3])


def find_loops(loops, blocks):
    """loops.find_loops and the loops that are entered in their middle, by the block that they jump back to: AMD's compiler
    puts the end of some first."""
    found = loops.find_loops(blocks)
    known = set(found)
    index = {b.name: i for i, b in reversed(list(enumerate(blocks)))}
    for i, block in enumerate(blocks):
        for j in (index[t] for t in block.targets if t in index):
            if j <= i and j not in known:
                inner = (found[h] for h in found if j < h <= i)
                found[j] = found.get(j, set()).union(range(j, i + 1), *inner)
    return found


def clocks(loops, program, tile, runs):
    """Of a subgroup's K loop for 65,536 products, where inner loops turn, and branches run, as often as the tile has it; None
    where no loop with products loads."""
    blocks = program.blocks
    found = find_loops(loops, blocks)

    def macs_of(indices, kind):
        return sum(x.macs for i in indices for x in blocks[i].instructions if x.mac == kind)
    kind = next(k for k in loops.MAC_KINDS if any(macs_of(found[h], k) for h in found))
    loading = [h for h in found if macs_of(found[h], kind)
               and any(x.kind == "load" for i in found[h] for x in blocks[i].instructions)]
    if not loading:
        return None
    # A loop around the K loop multiplies the tile again where its weights need other exponents.
    innermost = [h for h in loading if not any(found[g] < found[h] for g in loading)]
    k_loop = max(innermost, key=lambda h: macs_of(found[h], kind))
    inner = [h for h in found if found[h] < found[k_loop]]
    times = dict.fromkeys(found[k_loop], 1.0)

    def turn(header, n):
        for i in found[header]:
            times[i] *= n

    items = tile.rows * 2 // runs / tile.lanes  # chunks of weights for each invocation
    staging = [h for h in inner if not macs_of(found[h], kind)]
    for h in staging:
        if items > 1 and any(x.kind == "lds_write" for i in found[h] for x in blocks[i].instructions):
            turn(h, items)
    wanted = tile.rows * tile.tokens * STEP_COLUMNS / (tile.lanes // program.lanes)
    nest = sorted((h for h in inner if h not in staging), key=lambda h: -len(found[h]))
    turns = wanted / macs_of(found[k_loop], kind)
    if len(nest) == 1:
        turn(nest[0], turns)
    elif nest:
        turn(nest[0], 2)
        for h in nest[1:]:
            turn(h, turns / 2)
    own = sorted(found[k_loop] - set().union(*(found[h] for h in inner), set()))
    barrier = next((i for i in own if any(x.kind == "barrier" for x in blocks[i].instructions)), None)
    if items < 1 and barrier is not None:  # some subgroups pass by: the branch around most instructions
        index = {b.name: i for i, b in reversed(list(enumerate(blocks)))}
        regions = [range(i + 1, index[t]) for i in own if i < barrier for t in blocks[i].targets
                   if t in index and i + 1 < index[t] <= barrier]
        if regions:
            most = max(regions, key=lambda r: sum(len(blocks[i].instructions) for i in r))
            for i in set(most) & times.keys():
                times[i] *= items
    vector = matrix = macs = 0.0
    width = {"GCN": 4}.get(program.isa, max(program.lanes // 32, 1))
    rdna = {"RDNA4": {"float": 256, "int": 128}}.get(program.isa, {"float": 512, "int": 512})
    for i, n in times.items():
        for x in blocks[i].instructions:
            macs += n * x.macs * (x.mac == kind)
            vector += n * width * (x.kind == "vector")
            if x.kind == "matrix":
                of_ints = re.search(r"_i32_|_iu\d|^imma|:u?b", x.op) is not None
                matrix += n * x.macs / 65536 * RATES.get(program.isa, rdna)["int" if of_ints else "float"]
    return (vector + matrix) * 65536 / macs


def programs_of(loops, device, kind, program, folder):
    """The pipelines of the report, each with its code."""
    out = folder / f"{device.replace(':', '-')}-{kind}"
    (out / "code").mkdir(parents=True)
    environment = {**os.environ, "IR": str(out / "code"), "PIPESTAT_OUT": str(out / "all.jsonl")}
    command = [tool("gpu-compilers.sh"), "in", device, *program, "conformance", "--compile-only", "--shapes", "--op",
               "matmul,expert_matmul", "--type", kind, "--json", str(out / "report.json")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if not (out / "report.json").exists() or not (out / "all.jsonl").exists():
        sys.exit(f"clock_table.py: {device}: {' '.join((run.stderr or run.stdout).strip().splitlines()[-2:])}")
    pipelines = {f"{one['kernel']} {one['constants']}": one for one in json.loads((out / "report.json").read_text())["pipelines"]}
    for title, text, lanes in loops.pipelines(out / "all.jsonl", re.compile("matmul")):
        if title in pipelines:
            yield pipelines[title], loops.parse(text, lanes)


def ours(loops, device, kind, program, folder):
    """{(op, model, tokens): (clocks by share of real rows, tile)}: of a dense product's tiles the largest, of experts' the best."""
    runs = chunk_runs(kind)
    cells = {}
    for pipeline, code in programs_of(loops, device, kind, program, folder):
        tile = Tile(pipeline)
        of_tile = clocks(loops, code, tile, runs)
        if of_tile is None:
            continue
        for model in MODELS.keys() & set(pipeline["shapes"]):
            for tokens in set(TOKENS) & set(pipeline["tokens"]):
                dense = pipeline["op"] == "matmul"
                share = 1.0 if dense else share_of_real_rows(*MODELS[model], tokens, tile.tokens)
                key = (pipeline["op"], "any" if dense else model, tokens)
                rank = tile.rows * tile.tokens if dense else share / of_tile
                if key not in cells or rank > cells[key][2]:
                    cells[key] = (of_tile / share, f"{pipeline['path']} {tile.rows}x{tile.tokens}", rank)
    return cells


def theirs(device, kind, op, model, tokens):
    long = tokens == TOKENS[-1]
    figures = GGML.get(device, {}).get(kind, (0, 0, 0, 0))
    if op == "matmul":
        return figures[long]
    tile = 128 if long and device in WIDE_TILES else 64
    return figures[2 + long] / share_of_real_rows(*MODELS[model], tokens, tile)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="amd:navi31,amd:gfx1201,amd:navi21,amd:polaris10,nv:0x172,intel:bmg")
    parser.add_argument("--types", default="Q4_K,Q8_0,MXFP4")
    parser.add_argument("--vkmoe", default=str(ROOT / "build/release/vkmoe"), help="may be several words: env NAME=VALUE PROGRAM")
    options = parser.parse_args()
    sys.path.insert(0, str(tool("isa/loops.py").parent))
    import loops
    print("| device | type | product | model | tokens | ours | ggml | ratio | tile |\n|-|-|-|-|-|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        for device in options.devices.split(","):
            for kind in options.types.split(","):
                cells = ours(loops, device, kind, options.vkmoe.split(), pathlib.Path(folder))
                for (op, model, tokens), (own, tile, _) in sorted(cells.items()):
                    other = theirs(device, kind, op, model, tokens)
                    told = f"{other:.0f} | {own / other:.2f}" if other else "- | -"
                    print(f"| {device} | {kind} | {op} | {model} | {tokens} | {own:.0f} | {told} | {tile} |", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Holds dequantize_row to the gguf Python package, bit for bit; Q1_0 and Q2_0, which it lacks, to libggml.

    dequantize_check.py --dump BUILD/tests/unit/dequantize_dump [--blocks 20000] [--seed 1] [TYPE...]
    dequantize_check.py --golden            # prints tests/unit/dequantize_golden.txt anew

Blocks are random bytes. Three in four have their scales replaced: by ordinary ones, zeros of both signs, denormals, the
largest, infinities and NaN. NaN counts as equal to NaN whatever its payload. Needs PEERS, the folder of in.sh; the
references are made there, by this script with --reference.
"""

import argparse
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

# name: (GGUF id, numbers and bytes a block, offsets of binary16 scales)
TYPES = {
    "F32": (0, 1, 4, ()), "F16": (1, 1, 2, (0,)), "BF16": (30, 1, 2, ()),
    "Q4_0": (2, 32, 18, (0,)), "Q4_1": (3, 32, 20, (0, 2)), "Q5_0": (6, 32, 22, (0,)), "Q5_1": (7, 32, 24, (0, 2)),
    "Q8_0": (8, 32, 34, (0,)), "Q2_K": (10, 256, 84, (80, 82)), "Q3_K": (11, 256, 110, (108,)),
    "Q4_K": (12, 256, 144, (0, 2)), "Q5_K": (13, 256, 176, (0, 2)), "Q6_K": (14, 256, 210, (208,)),
    "IQ2_XXS": (16, 256, 66, (0,)), "IQ2_XS": (17, 256, 74, (0,)), "IQ3_XXS": (18, 256, 98, (0,)),
    "IQ1_S": (19, 256, 50, (0,)), "IQ4_NL": (20, 32, 18, (0,)), "IQ3_S": (21, 256, 110, (0,)),
    "IQ2_S": (22, 256, 82, (0,)), "IQ4_XS": (23, 256, 136, (0,)), "IQ1_M": (29, 256, 56, ()),
    "TQ1_0": (34, 256, 54, (52,)), "TQ2_0": (35, 256, 66, (64,)), "MXFP4": (39, 32, 17, ()), "NVFP4": (40, 64, 36, ()),
    "Q1_0": (41, 128, 18, (0,)), "Q2_0": (42, 64, 18, (0,)),
}
EXTREME_HALVES = (0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01)
EXTREME_BYTES = (0x00, 0x01, 0x02, 0x07, 0x08, 0x7E, 0x7F, 0x80, 0xFE, 0xFF)
LIBRARY = "libggml-base.so.0"
NAN_BITS = 0x7FC00000


def random_blocks(np, random, name, n_blocks):
    _, _, n_bytes, offsets = TYPES[name]
    blocks = random.integers(0, 256, (n_blocks, n_bytes), dtype=np.uint8)

    def scales():
        ordinary = (random.standard_normal(n_blocks) * 10.0 ** random.integers(-4, 2, n_blocks)).astype(np.float16)
        extreme = random.choice(np.array(EXTREME_HALVES, np.uint16), n_blocks)
        return np.where(random.integers(0, 2, n_blocks) == 0, ordinary.view(np.uint16), extreme)

    chosen = random.integers(0, 4, n_blocks) != 0
    for offset in offsets:
        blocks[chosen, offset:offset + 2] = scales()[chosen].view(np.uint8).reshape(-1, 2)
    if name == "IQ1_M":  # its scale is spread over the top 4 bits of the last four words
        words = blocks[:, 48:].copy().view(np.uint16)
        d = scales()
        for w in range(4):
            spread = (words[:, w] & 0x0FFF) | (((d >> (4 * w)) & 15) << 12)
            words[:, w] = np.where(chosen, spread, words[:, w])
        blocks[:, 48:] = words.view(np.uint8)
    for offset in {"MXFP4": range(1), "NVFP4": range(4)}.get(name, ()):
        extreme = random.choice(np.array(EXTREME_BYTES, np.uint8), n_blocks)
        blocks[:, offset] = np.where(random.integers(0, 4, n_blocks) == 0, extreme, blocks[:, offset])
    return blocks


def reference(np, gguf, name, blocks):
    """float32 numbers, [blocks, numbers], NaN as NAN_BITS."""
    import ctypes
    type_id, n_numbers, _, _ = TYPES[name]
    with np.errstate(all="ignore"):
        if name in ("Q1_0", "Q2_0"):
            numbers = np.empty((len(blocks), n_numbers), np.float32)
            function = getattr(ctypes.CDLL(LIBRARY), "dequantize_row_" + name.lower())
            function(blocks.ctypes.data_as(ctypes.c_void_p), numbers.ctypes.data_as(ctypes.c_void_p),
                     ctypes.c_int64(numbers.size))
        else:
            kind = gguf.GGMLQuantizationType(type_id)
            assert gguf.GGML_QUANT_SIZES[kind] == TYPES[name][1:3], name
            numbers = gguf.quants.dequantize(blocks, kind).astype(np.float32).reshape(len(blocks), n_numbers)
    numbers = numbers.copy()
    numbers.view(np.uint32)[np.isnan(numbers)] = NAN_BITS
    return numbers


def write_references(folder, names, n_blocks, seed):
    import gguf
    import numpy as np
    for name in names:
        random = np.random.default_rng([seed, TYPES[name][0]])
        blocks = random_blocks(np, random, name, n_blocks)
        blocks.tofile(folder / f"{name}.blocks")
        reference(np, gguf, name, blocks).tofile(folder / f"{name}.reference")


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def print_golden(folder):
    print("# Blocks, and what they decode to: a line each of type, block, FNV-1a-64 of the float32 numbers' bytes (NaN as\n"
          "# 7fc00000), and the bits of the numbers 0, n/4 + 1, n/2 + 2, 3n/4 + 3 of the block's n (mod n).\n"
          "# Made by tests/peers/dequantize_check.py --golden from the gguf Python package; Q1_0 and Q2_0 from libggml.")
    for name, (_, n, n_bytes, _) in TYPES.items():
        blocks = (folder / f"{name}.blocks").read_bytes()
        numbers = (folder / f"{name}.reference").read_bytes()
        for b in range(len(blocks) // n_bytes):
            own = numbers[4 * n * b:4 * n * (b + 1)]
            bits = struct.unpack(f"<{n}I", own)
            some = " ".join(f"{bits[(k * n // 4 + k) % n]:08x}" for k in range(4))
            print(name, blocks[n_bytes * b:n_bytes * (b + 1)].hex(), f"{fnv1a(own):016x}", some)


def check(folder, name, dump):
    """The line to print, and whether all bits are equal."""
    ours_path = folder / f"{name}.ours"
    subprocess.run([dump, name, folder / f"{name}.blocks", ours_path], check=True)
    ours, theirs = ours_path.read_bytes(), (folder / f"{name}.reference").read_bytes()
    _, n, n_bytes, _ = TYPES[name]
    n_numbers = len(theirs) // 4
    if ours == theirs:
        return f"{name:8} {n_numbers // n:8} blocks {n_numbers:10} numbers  equal", True
    first = next((i for i in range(n_numbers) if ours[4 * i:4 * i + 4] != theirs[4 * i:4 * i + 4]), n_numbers)
    block = (folder / f"{name}.blocks").read_bytes()[first // n * n_bytes:(first // n + 1) * n_bytes]
    values = [f"{struct.unpack('<f', data[4 * first:4 * first + 4])[0]!r}" for data in (ours, theirs)]
    return (f"{name:8} DIFFERS first at number {first % n} of block {first // n}: {values[0]} against {values[1]}; "
            f"block {block.hex()}"), False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=pathlib.Path)
    parser.add_argument("--blocks", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--reference", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("types", nargs="*", metavar="TYPE", help="default: all")
    options = parser.parse_args()
    names = [name.upper() for name in options.types] or list(TYPES)
    if unknown := [name for name in names if name not in TYPES]:
        parser.error(f"unknown type {unknown[0]}: {', '.join(TYPES)}")
    if options.reference:
        write_references(options.reference, names, options.blocks, options.seed)
        return 0
    if not options.golden and not options.dump:
        parser.error("--dump BUILD/tests/unit/dequantize_dump is needed")
    if "PEERS" not in os.environ:
        parser.error("set PEERS to the folder of in.sh; see tests/peers/README.md")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = pathlib.Path(name)
        n_blocks = 6 if options.golden else options.blocks
        subprocess.run([pathlib.Path(os.environ["PEERS"]) / "in.sh", "python3", pathlib.Path(__file__).resolve(),
                        "--reference", folder, "--blocks", str(n_blocks), "--seed", str(options.seed), *names], check=True)
        if options.golden:
            print_golden(folder)
            return 0
        results = []
        for type_name in names:
            line, equal = check(folder, type_name, options.dump.resolve())
            print(line, flush=True)
            results.append(equal)
    print(f"{sum(results)} of {len(results)} types equal")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

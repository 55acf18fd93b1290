#!/usr/bin/env python3
"""Measures prompts and decode of published shapes beside llama.cpp, on one driver, in alternating runs.

    PEERS=FOLDER tests/peers/model_speed.py [--shapes Qwen3-30B-A3B,Mixtral-8x7B,gpt-oss-20b] [--prompts 64,512]
                                            [--rounds 3] [--tokens 8]

Each round runs llama-bench on its Vulkan back end, in both settings of GGML_VK_DISABLE_F16, llama-bench without that back
end (all on the CPU), and `vkmoe bench`. All run in the peers' tree on the driver PEER_DRIVER (default: the tree's
lavapipe). The models are made by `vkmoe synth` and kept in the work folder. Prints every figure, then a table of medians
with the ratios vkmoe / llama.cpp, whose better setting counts. Nothing else should run on the machine meanwhile.
"""

import json
import os
import pathlib
import statistics
import sys

from logits_check import ROOT, parse_arguments, peer_parser, run

# Of each shape: layers that fit into some GiB, and the type in which the model is published or mostly used.
SHAPES = {"Qwen3-30B-A3B": (3, "Q4_K"), "Mixtral-8x7B": (2, "Q4_K"), "gpt-oss-20b": (3, "MXFP4")}
IN_TREE = ROOT / "tests/peers/in_tree.sh"
DRIVER = os.environ.get("PEER_DRIVER", "/usr/share/vulkan/icd.d/lvp_icd.json")
PEERS_SETTINGS = {
    "Vulkan": {"GGML_VK_VISIBLE_DEVICES": "0"},
    "Vulkan, no F16": {"GGML_VK_VISIBLE_DEVICES": "0", "GGML_VK_DISABLE_F16": "1"},
    "CPU": {"GGML_VK_VISIBLE_DEVICES": ""},
}


def model_of(vkmoe, work, shape):
    layers, kind = SHAPES[shape]
    file = work / f"{shape}-{layers}layers-{kind}.gguf"
    if not file.exists():
        part = file.with_suffix(".part")
        run([vkmoe, "synth", "--shape", shape, "--type", kind, "--layers", str(layers), "-o", part])
        part.rename(file)
    return file


def llama(peers, model, prompt, tokens, settings):
    out = run([peers / "in.sh", "llama-bench", "-m", model, "-ngl", "99", "-p", str(prompt), "-n", str(tokens), "-r", "1",
               "-o", "json"], {**os.environ, "VK_DRIVER_FILES": DRIVER, **settings}, "llama-bench")
    return json.loads(out)[0]["avg_ts"]


def ours(vkmoe, model, prompt, tokens):
    out = json.loads(run([IN_TREE, vkmoe, "bench", "-m", model, "-p", str(prompt), "-n", str(tokens), "-r", "1", "--json"]))
    return out["prompt" if prompt else "decode"]["tokens_per_second"]["median"]


def main():
    parser = peer_parser(__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=",".join(SHAPES), help="of synth's shapes, comma-separated")
    parser.add_argument("--prompts", default="64,512", help="lengths in tokens, comma-separated")
    parser.add_argument("--tokens", type=int, default=8, help="to decode")
    parser.add_argument("--rounds", type=int, default=3)
    args = parse_arguments(parser)
    shapes = args.shapes.split(",")
    for shape in shapes:
        if shape not in SHAPES:
            parser.error(f"--shapes: no shape '{shape}'; there are {', '.join(SHAPES)}")
    peers, work = pathlib.Path(args.peers).resolve(), pathlib.Path(args.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    works = [(f"prompt {length}", int(length), 0) for length in args.prompts.split(",") if length]
    if args.tokens:
        works.append(("decode", 0, args.tokens))

    speeds = {}
    for shape in shapes:
        model = model_of(args.vkmoe, work, shape)
        for title, prompt, tokens in works:
            for _ in range(args.rounds):
                figures = {name: llama(peers, model, prompt, tokens, env) for name, env in PEERS_SETTINGS.items()}
                figures["vkmoe"] = ours(args.vkmoe, model, prompt, tokens)
                for name, speed in figures.items():
                    speeds.setdefault((shape, title), {}).setdefault(name, []).append(speed)
                print(f"{shape:<16}{title:<12}" + "  ".join(f"{n} {s:.2f}" for n, s in figures.items()), flush=True)

    print("\nmedians, tokens per second\n| model | | vkmoe | llama.cpp, Vulkan | ratio | llama.cpp, CPU | ratio |\n"
          "| --- | --- | --- | --- | --- | --- | --- |")
    for (shape, title), by_name in speeds.items():
        median = {name: statistics.median(values) for name, values in by_name.items()}
        vulkan = max(median["Vulkan"], median["Vulkan, no F16"])
        print(f"| {shape}, {SHAPES[shape][0]} layers, {SHAPES[shape][1]} | {title} | {median['vkmoe']:.1f} | {vulkan:.1f} | "
              f"{median['vkmoe'] / vulkan:.2f} | {median['CPU']:.1f} | {median['vkmoe'] / median['CPU']:.2f} |")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(f"model_speed.py: {error}")

#!/usr/bin/env python3
"""Holds router kernels to the routers of transformers' models, on random logits.

    router_check.py --dump BUILD/tests/kernels/router_dump [--seed 1] [MODEL...]

Each model's own code gets the logits (through a router matrix of ones on the diagonal) and says ids and weights. Sets of
ids must be the same for all tokens but those of near-ties, one in a thousand; weights of the same ids within 1e-5. Needs
PEERS, the folder of in.sh; the references are made there, by this script with --reference.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

N_TOKENS = 2000
SOFTMAX, SOFTMAX_OF_CHOSEN, SIGMOID, SQRT_SOFTPLUS, SPARSE_MIXER = range(5)
BEST, TOP_TWO_SUM = range(2)

# name: options of kernels/router.h, and which arrays there are
MODELS = {
    "qwen2_moe": dict(n_experts=60, n_slots=4),
    "qwen3_moe": dict(n_experts=128, n_slots=8, renormalize=1),
    "gpt_oss": dict(n_experts=128, n_slots=4, score=SOFTMAX_OF_CHOSEN),
    "llama4": dict(n_experts=16, n_slots=1, score=SIGMOID),
    "deepseek_v2": dict(n_experts=160, n_slots=6, n_groups=8, n_groups_used=3, group_score=BEST, scale=16),
    "deepseek_v3": dict(n_experts=256, n_slots=8, score=SIGMOID, n_groups=8, n_groups_used=4, renormalize=1,
                        sum_offset=1e-20, scale=2.5, arrays=["bias"]),
    "deepseek_v4": dict(n_experts=256, n_slots=6, score=SQRT_SOFTPLUS, renormalize=1, sum_offset=1e-20, scale=1.5,
                        arrays=["bias"]),
    "deepseek_v4_table": dict(n_experts=256, n_slots=6, score=SQRT_SOFTPLUS, renormalize=1, sum_offset=1e-20, scale=1.5,
                              n_table_rows=1000, arrays=["table", "tokens"]),
    "ernie4_5_moe": dict(n_experts=64, n_slots=6, renormalize=1, floor=1e-12, arrays=["bias"]),
    "minimax_m2": dict(n_experts=256, n_slots=8, score=SIGMOID, renormalize=1, arrays=["bias"]),
    "lfm2_moe": dict(n_experts=32, n_slots=4, score=SIGMOID, renormalize=1, sum_offset=1e-6, arrays=["bias"]),
    "mistral4": dict(n_experts=128, n_slots=4, n_groups=8, n_groups_used=4, renormalize=1, sum_offset=1e-20),
    "phimoe": dict(n_experts=16, n_slots=2, score=SPARSE_MIXER, jitter=0.01),
}


def route(name, options, logits, bias, table, tokens):
    """Ids and weights by the model's own code."""
    import importlib
    from types import SimpleNamespace

    import torch
    from transformers.activations import ACT2FN

    model = name.removesuffix("_table")
    module = importlib.import_module(f"transformers.models.{model}.modeling_{model}")
    n, k = options["n_experts"], options["n_slots"]
    gate = SimpleNamespace(e_score_correction_bias=bias)
    common = dict(top_k=k, num_experts=n, hidden_dim=n, weight=torch.eye(n), e_score_correction_bias=bias,
                  bias=None, gate=gate, n_routed_experts=n, num_group=options.get("n_groups", 1),
                  n_group=options.get("n_groups", 1), topk_group=options.get("n_groups_used", 1),
                  norm_topk_prob=bool(options.get("renormalize")), routed_scaling_factor=options.get("scale", 1.0))
    me = SimpleNamespace(**common)
    if name in ("qwen2_moe", "qwen3_moe"):
        router = module.Qwen2MoeTopKRouter if name == "qwen2_moe" else module.Qwen3MoeTopKRouter
        _, weights, ids = router.forward(me, logits)
    elif name == "gpt_oss":
        _, weights, ids = module.GptOssTopKRouter.forward(me, logits)
    elif name == "llama4":
        config = SimpleNamespace(hidden_size=n, num_local_experts=n, num_experts_per_tok=k)
        router = module.Llama4Router(config)
        router.weight.data = torch.eye(n)
        scores, _ = router(logits)
        weights, ids = scores.topk(k, dim=1)
    elif name == "deepseek_v2":
        me.topk_method = "group_limited_greedy"
        ids, weights = module.DeepseekV2Moe.route_tokens_to_experts(me, logits[None])
    elif name in ("deepseek_v3", "mistral4"):
        moe = module.DeepseekV3MoE if name == "deepseek_v3" else module.Mistral4MoE
        ids, weights = moe.route_tokens_to_experts(me, logits)
    elif name == "deepseek_v4":
        me.score_fn = ACT2FN["sqrtsoftplus"]
        _, weights, ids = module.DeepseekV4TopKRouter.forward(me, logits)
    elif name == "deepseek_v4_table":
        me.score_fn = ACT2FN["sqrtsoftplus"]
        me.tid2eid = table
        _, weights, ids = module.DeepseekV4HashRouter.forward(me, logits, tokens)
    elif name == "ernie4_5_moe":
        me.norm_min = options["floor"]
        me.moe_statics = lambda scores: scores + bias
        _, ids, weights = module.Ernie4_5_MoeTopKRouter.forward(me, logits)
    elif name == "minimax_m2":
        _, weights, ids = module.MiniMaxM2TopKRouter.forward(me, logits, bias)
    elif name == "lfm2_moe":
        me.use_expert_bias, me.expert_bias = True, bias
        ids, weights = module.Lfm2MoeSparseMoeBlock.route_tokens_to_experts(me, logits)
    elif name == "phimoe":
        weights, ids = module.sparsemixer(logits, options["jitter"], training=False, top_k=k)
    return ids, weights


def prepare(folder, names, seed):
    import torch
    torch.manual_seed(seed)
    for name in names:
        options = {**dict(n_tokens=N_TOKENS, score=SOFTMAX, n_groups=1, n_groups_used=1, group_score=TOP_TWO_SUM,
                          renormalize=0, sum_offset=0, floor=0, scale=1, jitter=0, n_table_rows=0), **MODELS[name]}
        arrays = options.pop("arrays", [])
        case = folder / name
        case.mkdir()
        n, k = options["n_experts"], options["n_slots"]
        data = dict(logits=torch.randn(N_TOKENS, n) * 2, bias=torch.randn(n) * 0.2,
                    table=torch.randint(0, n, (max(1, options["n_table_rows"]), k)),
                    tokens=torch.randint(0, max(1, options["n_table_rows"]), (N_TOKENS,)))
        with torch.no_grad():
            ids, weights = route(name, options, data["logits"], data["bias"], data["table"], data["tokens"])
        (case / "options").write_text("".join(f"{key} {value}\n" for key, value in options.items()))
        for array in ["logits", *arrays]:
            kind = torch.float32 if data[array].is_floating_point() else torch.int32
            (case / array).write_bytes(data[array].to(kind).numpy().tobytes())
        (case / "reference_ids").write_bytes(ids.to(torch.int32).numpy().tobytes())
        (case / "reference_weights").write_bytes(weights.float().numpy().tobytes())


def compare(folder, names):
    import numpy as np
    missed = False
    for name in names:
        def read(what, kind):
            return np.frombuffer((folder / name / what).read_bytes(), kind).reshape(N_TOKENS, -1)
        ids, reference_ids = read("ids", np.int32), read("reference_ids", np.int32)
        weights, reference = read("weights", np.float32), read("reference_weights", np.float32)
        order, reference_order = np.argsort(ids, 1, "stable"), np.argsort(reference_ids, 1, "stable")
        same = (np.take_along_axis(ids, order, 1) == np.take_along_axis(reference_ids, reference_order, 1)).all(1)
        ours = np.take_along_axis(weights, order, 1)[same]
        theirs = np.take_along_axis(reference, reference_order, 1)[same]
        error = float(np.max(np.abs(ours - theirs) / np.abs(theirs)))
        differing = int((~same).sum())
        bad = differing > N_TOKENS // 1000 or not error <= 1e-5
        missed |= bad
        print(f"{name:20} {differing:4} of {N_TOKENS} tokens by other experts, weights off by {error:.1e}"
              f"{'  MISSED' if bad else ''}")
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--dump", help="the program router_dump")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference", choices=["prepare", "compare"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.models or list(MODELS)
    for name in names:
        if name not in MODELS:
            parser.error(f"no model '{name}': give some of {', '.join(MODELS)}")
    if options.reference == "prepare":
        return prepare(options.folder, names, options.seed)
    if options.reference == "compare":
        return compare(options.folder, names)
    if "PEERS" not in os.environ or not options.dump:
        parser.error("give --dump, and the folder of in.sh as PEERS")
    with tempfile.TemporaryDirectory() as folder:
        inside = [f"{os.environ['PEERS']}/in.sh", "python3", os.path.abspath(__file__), "--folder", folder, "--seed",
                  str(options.seed), *names]
        subprocess.run([*inside, "--reference", "prepare"], check=True)
        for name in names:
            subprocess.run([options.dump, f"{folder}/{name}"], check=True)
        return subprocess.run([*inside, "--reference", "compare"]).returncode


if __name__ == "__main__":
    sys.exit(main())

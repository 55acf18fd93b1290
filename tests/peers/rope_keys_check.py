#!/usr/bin/env python3
"""Holds what vkmoe makes of metadata keys against llama.cpp, on small random models.

    PEERS=FOLDER tests/peers/rope_keys_check.py [--work DIR] [--vkmoe PROGRAM] [--drivers lavapipe,swiftshader]

For the architectures llama (Mixtral) and qwen3moe:
  spelled   rope.scaling.type (absent, none, linear) x rope.scaling.factor (absent, 0, 4) x rope.scale_linear
            (absent, 0, 4): NMSE of the logits against llama.cpp's <= 1e-4. The spellings fall into two groups by
            llama.cpp's own logits, scaled and unscaled; the figures between the groups are printed
  ignored   keys that src/model/known_keys.cpp lists as ignored or neutral: llama.cpp's logits are those of the
            file without the key, bit for bit, and so are vkmoe's
  refused   keys that it lists as refused: llama.cpp's logits differ, or llama.cpp refuses too; vkmoe exits with 1
            and names the key
Exit 1 if anything misses.
"""

import json
import os
import shlex
import subprocess
import sys

import logits_check as base

sys.path.insert(0, str(base.ROOT / "tests"))
from gguf_edit import GgufFile

N_TOKENS = 48
LIMIT = 1e-4
MODELS = {"llama": base.Model("mixtral", "base", 1), "qwen3moe": base.Model("qwen3_moe", "base", 1)}
IGNORED = [
    {"attention.sliding_window": 4}, {"attention.scale": 5.0}, {"attention.clamp_kqv": 0.1},
    {"attention.layer_norm_epsilon": 0.5}, {"attention.temperature_scale": 2.0}, {"attn_logit_softcapping": 5.0},
    {"final_logit_softcapping": 5.0}, {"router_logit_softcapping": 5.0}, {"logit_scale": 5.0},
    {"residual_scale": 5.0}, {"embedding_scale": 5.0}, {"expert_weights_scale": 3.0}, {"expert_weights_norm": False},
    {"expert_gating_func": 2}, {"expert_shared_count": 1}, {"leading_dense_block_count": 1},
    {"use_parallel_residual": True}, {"rope.freq_base_swa": 5.0}, {"rope.scaling.alpha": 1000.0},
    {"rope.scaling.yarn_beta_fast": 5.0}, {"rope.scaling.original_context_length": 16},
    {"rope.scaling.finetuned": True}, {"vocab_size": 17}, {"pooling_type": 1}, {"embedding_length_out": 1},
    {"expert_group_used_count": 2}, {"swiglu_clamp_exp": [0.5, 0.5, 0.5]},
    {"rope.scaling.type": "yarn"}, {"rope.scaling.type": "yarn", "rope.scaling.factor": 1.0},
    {"rope.scaling.type": "longrope"}, {"attention.causal": True}, {"rope.scaling.attn_factor": 1.0},
    {"expert_group_count": 1}, {"nextn_predict_layers": 0},
]
REFUSED = [
    {"attention.causal": False}, {"expert_group_count": 2, "expert_group_used_count": 1},
    {"rope.scaling.attn_factor": 0.0}, {"rope.scaling.attn_factor": 2.0}, {"nextn_predict_layers": 1},
    {"rope.dimension_count": 0}, {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0},
    {"rope.scaling.type": "longrope", "rope.scaling.factor": 4.0}, {"rope.scaling.type": "dynamic"},
]


def spellings():
    for kind in (None, "none", "linear"):
        for factor in (None, 0.0, 4.0):
            for old_factor in (None, 0.0, 4.0):
                keys = {"rope.scaling.type": kind, "rope.scaling.factor": factor, "rope.scale_linear": old_factor}
                yield {key: value for key, value in keys.items() if value is not None}


class Case:
    """Logits of both programs for one model with some keys set."""

    def __init__(self, peers, program, env, architecture, scratch):
        self.peers, self.program, self.env, self.architecture = peers, program, env, architecture
        folder = peers.make_model(MODELS[architecture])
        self.file = GgufFile(folder / "model-f32.gguf")
        self.path, self.tokens, self.out = (scratch / name for name in ("keys.gguf", "tokens.json", "logits.npy"))
        self.tokens.write_text(json.dumps(json.loads((folder / "tokens.json").read_text())[:N_TOKENS]))

    def write(self, keys):
        self.file.write(self.path, {f"{self.architecture}.{key}": value for key, value in keys.items()})

    def llama(self):
        """None where llama.cpp does not run the file."""
        self.out.unlink(missing_ok=True)
        try:
            self.peers.inside(self.peers.logits_program, self.path, self.tokens, self.out, GGML_VK_VISIBLE_DEVICES="")
        except RuntimeError:
            return None
        return base.read_npy(self.out)

    def ours(self):
        """(logits or None, stderr)"""
        self.out.unlink(missing_ok=True)
        done = subprocess.run([*self.program, "logits", "-m", self.path, "--kv", "f32", "--tokens", self.tokens, "-o",
                               self.out], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"vkmoe logits: exit {done.returncode}: {done.stderr}")
        return (base.read_npy(self.out) if done.returncode == 0 else None), done.stderr


def check_spellings(case):
    """The number of misses."""
    case.write({})
    plain = case.llama()
    missed, worst, groups = 0, 0.0, {}
    for keys in spellings():
        case.write(keys)
        reference, (ours, errors) = case.llama(), case.ours()
        if ours is None:
            missed += 1
            print(f"  spelled {keys}: MISS: {errors.strip()}", flush=True)
            continue
        nmse = base.compare(reference, ours)[0]
        worst = max(worst, nmse)
        missed += nmse > LIMIT
        groups.setdefault("unscaled" if reference == plain else "scaled", reference)
        print(f"  spelled {nmse:9.2e}{'  MISS' if nmse > LIMIT else ''}  "
              f"{'unscaled' if reference == plain else 'scaled':<9}{keys}", flush=True)
    apart = base.compare(groups["unscaled"], groups["scaled"])[0]
    print(f"{case.architecture}: 27 spellings, worst NMSE {worst:.2e} (limit {LIMIT:.0e}); scaled and unscaled are "
          f"{apart:.2f} apart")
    return missed


def check_ignored(case):
    case.write({})
    plain, (ours_plain, _) = case.llama(), case.ours()
    missed = 0
    for keys in IGNORED:
        case.write(keys)
        reference, (ours, errors) = case.llama(), case.ours()
        held = reference == plain and ours == ours_plain
        missed += not held
        lines = sum("ignored" in line for line in errors.splitlines())
        print(f"  ignored {keys}: {'same' if held else 'MISS'}, {lines} warnings", flush=True)
    return missed


def check_refused(case):
    case.write({})
    plain = case.llama()
    missed = 0
    for keys in REFUSED:
        case.write(keys)
        reference, (ours, errors) = case.llama(), case.ours()
        theirs = ("does not run" if reference is None else "same" if reference == plain
                  else f"NMSE {base.compare(plain, reference)[0]:.1e}")
        held = ours is None and any(f"{case.architecture}.{key}" in errors for key in keys) and theirs != "same"
        missed += not held
        print(f"  refused {keys}: {'yes' if held else 'MISS'}; llama.cpp: {theirs}", flush=True)
    return missed


def main():
    args = base.parse_arguments(base.argument_parser(__doc__.splitlines()[0]))
    peers = base.open_peers(args)
    scratch = peers.work / f"scratch-{os.getpid()}"
    scratch.mkdir(exist_ok=True)
    missed = 0
    for driver, _, env in base.settings_of(args):
        for architecture in MODELS:
            print(f"{architecture} on {driver}", flush=True)
            case = Case(peers, shlex.split(args.vkmoe), env, architecture, scratch)
            missed += check_spellings(case) + check_ignored(case) + check_refused(case)
    for leftover in scratch.iterdir():
        leftover.unlink()
    scratch.rmdir()
    print("all held" if missed == 0 else f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

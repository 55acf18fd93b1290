#!/usr/bin/env python3
"""Trains a small Mixture-of-Experts language model on the CPU and writes it as a GGUF file.

    samples/train/collect_text.sh text
    samples/train/train.py --text text/train/* --held-out text/held-out --out trained [--steps 3000]

Each folder given to --text is one kind of text, each .txt in it a document; every kind gets the same share of the
training, whatever its size. Makes in --out: tokenizer.json, checkpoint.pt (go on from it with --resume), log.csv
and model-f16.gguf. Needs torch, tokenizers, gguf and numpy.
"""

import argparse
import math
import pathlib
import sys
import time

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F

from export import END_OF_TEXT, write_gguf
from model import Model, Shape

TOKENIZER_BYTES = 2_000_000  # of each kind, for the tokenizer's training


def read_documents(folder):
    documents = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
    if not documents:
        sys.exit(f"--text: {folder} holds no .txt file; see collect_text.sh")
    return documents


def train_tokenizer(kinds, vocab):
    """Byte-level BPE with GPT-2's pre-tokenizer, on equal shares of each kind."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())

    def samples():
        for documents in kinds.values():
            left = TOKENIZER_BYTES
            for document in documents:
                if left <= 0:
                    break
                yield document[:left]
                left -= len(document)

    tokenizer.train_from_iterator(samples(), trainer)
    if tokenizer.get_vocab_size() != vocab:
        sys.exit(f"--text: too little text for {vocab} tokens (found {tokenizer.get_vocab_size()})")
    return tokenizer


def encode(tokenizer, documents):
    end = tokenizer.token_to_id(END_OF_TEXT)
    ids = []
    for encoding in tokenizer.encode_batch(documents):
        ids += encoding.ids
        ids.append(end)
    return np.array(ids, dtype=np.uint16)


def load_text(args):
    """The tokenizer, the tokens of each kind of text, and those of the held-out files."""
    kinds = {folder.name: read_documents(folder) for folder in args.text}
    tokenizer_file = args.out / "tokenizer.json"
    if args.resume:
        tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    else:
        tokenizer = train_tokenizer(kinds, args.vocab)
        tokenizer.save(str(tokenizer_file))
    streams = {name: encode(tokenizer, documents) for name, documents in kinds.items()}
    held_out = {}
    if args.held_out:
        held_out = {path.stem: np.array(tokenizer.encode(path.read_text(encoding="utf-8")).ids, dtype=np.uint16)
                    for path in sorted(args.held_out.glob("*.txt"))}
    for name, stream in streams.items():
        if len(stream) <= args.context + 1:
            sys.exit(f"--text: {name} has only {len(stream)} tokens, fewer than --context {args.context}")
    print("tokens: " + ", ".join(f"{name} {len(stream):,}" for name, stream in streams.items()), flush=True)
    return tokenizer, streams, held_out


def draw(streams, rows, context, generator):
    """`rows` windows of context + 1 tokens from random places; the kinds take turns, starting with any."""
    first = int(generator.integers(len(streams)))
    windows = []
    for row in range(rows):
        stream = streams[(first + row) % len(streams)]
        start = int(generator.integers(len(stream) - context))
        windows.append(stream[start:start + context + 1])
    return torch.from_numpy(np.stack(windows).astype(np.int64))


@torch.no_grad()
def perplexity(model, ids, context, most_windows=None):
    """As llama-perplexity does it: windows side by side, the second half of each is scored."""
    count = len(ids) // context
    if count == 0:
        return math.nan
    if most_windows:
        count = min(count, most_windows)
    total = scored = 0
    first = context // 2
    for start in range(0, count, 8):
        batch = ids[start * context:min(start + 8, count) * context].astype(np.int64).reshape(-1, context)
        batch = torch.from_numpy(batch)
        logits, _, _ = model(batch)
        targets = batch[:, first + 1:]
        loss = F.cross_entropy(logits[:, first:-1].reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="sum")
        total += loss.item()
        scored += targets.numel()
    return math.exp(total / scored)


def rate(step, steps, peak):
    """Linear warm-up over the first twentieth (at most 200 steps), then a cosine down to a tenth."""
    warm_up = max(1, min(200, steps // 20))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))))


def make_optimizer(model, peak):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95))


def save_checkpoint(path, model, optimizer, step, generator, settings):
    part = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                "generator": generator.bit_generator.state, "settings": settings}, part)
    part.replace(path)


def load_checkpoint(path, model, optimizer, generator, settings):
    """Returns the step to go on from."""
    state = torch.load(path, weights_only=True)
    differing = [key for key, value in settings.items() if state["settings"].get(key) != value]
    if differing:
        was = ", ".join(f"--{key} {state['settings'].get(key)}" for key in differing)
        sys.exit(f"--resume: {path} was trained with {was}; give the same, or another --out")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    generator.bit_generator.state = state["generator"]
    return state["step"]


def open_log(path, begin):
    """Keeps the rows up to step `begin`: those after it are about to be run again."""
    lines = ["step,loss,balance,rate,tokens_per_second"]
    if begin:
        lines += [row for row in path.read_text(encoding="utf-8").splitlines()[1:] if int(row.split(",")[0]) <= begin]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.open("a", encoding="utf-8")


def evaluate(model, held_out, context, most_windows=None):
    model.eval()
    found = {name: perplexity(model, ids, context, most_windows) for name, ids in held_out.items()}
    model.train()
    return found


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, nargs="+", required=True, metavar="DIR", help="one a kind of text")
    parser.add_argument("--held-out", type=pathlib.Path, metavar="DIR", help="of .txt files to measure perplexity on")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=15, help="rows a step; best a multiple of the kinds of text")
    parser.add_argument("--context", type=int, default=256, help="tokens a row")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the load-balance loss")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16 (fast where the CPU has it)")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints and measurements")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--name", default="small-moe", help="the model's name in the GGUF")
    for field, value in vars(Shape()).items():
        parser.add_argument("--" + field.replace("_", "-"), type=type(value), default=value)
    args = parser.parse_args()
    if args.steps < 1 or args.batch < 1 or args.context < 2 or args.every < 1:
        parser.error("--steps, --batch and --every must be at least 1, --context at least 2")
    if args.vocab > 65536:
        parser.error("--vocab is at most 65536")
    return args


def main():
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    generator = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists() and not args.resume:
        sys.exit(f"--out: {checkpoint} exists; go on from it with --resume, or choose another folder")
    if args.resume and not checkpoint.exists():
        sys.exit(f"--resume: no {checkpoint}")

    tokenizer, streams, held_out = load_text(args)

    shape = Shape(**{field: getattr(args, field) for field in vars(Shape())})
    model = Model(shape)
    optimizer = make_optimizer(model, args.rate)
    total, active = model.parameter_counts()
    print(f"{total / 1e6:.2f} M parameters, {active / 1e6:.2f} M of them work on a token", flush=True)
    settings = {**vars(shape), "steps": args.steps, "batch": args.batch, "context": args.context, "rate": args.rate,
                "balance": args.balance, "seed": args.seed}
    begin = load_checkpoint(checkpoint, model, optimizer, generator, settings) if args.resume else 0

    log = open_log(args.out / "log.csv", begin)
    sources = list(streams.values())
    since, seen = time.monotonic(), 0
    for step in range(begin, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps, args.rate)
        windows = draw(sources, args.batch, args.context, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            logits, balance, routes = model(windows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        (loss + args.balance * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += args.batch * args.context
        done = step + 1
        if done % 10 == 0 or done == args.steps:
            speed = seen / (time.monotonic() - since)
            busiest = (routes.float() / routes.sum(dim=1, keepdim=True)).max().item()
            print(f"step {done}/{args.steps}  loss {loss.item():.3f}  balance {balance.item():.3f}  "
                  f"busiest expert {busiest:.0%}  {speed:,.0f} tokens/s", flush=True)
            log.write(f"{done},{loss.item():.4f},{balance.item():.4f},{optimizer.param_groups[0]['lr']:.3e},{speed:.0f}\n")
            log.flush()
            since, seen = time.monotonic(), 0
        if done % args.every == 0 and done < args.steps:
            save_checkpoint(checkpoint, model, optimizer, done, generator, settings)
            found = evaluate(model, held_out, args.context, most_windows=8)
            if found:
                print("held out (first windows): " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)
            since, seen = time.monotonic(), 0
    save_checkpoint(checkpoint, model, optimizer, args.steps, generator, settings)

    path = args.out / "model-f16.gguf"
    write_gguf(path, model, tokenizer, args.context, args.name)
    for name, value in evaluate(model, held_out, args.context).items():
        print(f"held out {name}: perplexity {value:.3f} (context {args.context})")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

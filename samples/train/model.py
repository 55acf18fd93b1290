"""A small Mixture-of-Experts transformer of the qwen3moe architecture, in plain torch.

Shapes: B rows, T tokens, D hidden, H heads of head_dim, K key/value heads, E experts of F, top k of them a token.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocab: int = 4096
    layers: int = 4
    hidden: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 16
    experts_used: int = 2
    expert_hidden: int = 256
    rope_base: float = 10000.0
    norm_eps: float = 1e-6


class Norm(nn.RMSNorm):
    """In float32, whatever the matrix products run in."""

    def forward(self, x):
        return super().forward(x.float())


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q = nn.Linear(s.hidden, s.heads * s.head_dim, bias=False)
        self.k = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.v = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.out = nn.Linear(s.heads * s.head_dim, s.hidden, bias=False)
        self.q_norm = Norm(s.head_dim, eps=s.norm_eps)
        self.k_norm = Norm(s.head_dim, eps=s.norm_eps)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        s = self.s
        q = self.q_norm(self.q(x).view(b, t, s.heads, s.head_dim)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(b, t, s.kv_heads, s.head_dim)).transpose(1, 2)
        v = self.v(x).view(b, t, s.kv_heads, s.head_dim).transpose(1, 2)
        # Written out: torch's fused CPU attention takes four fifths of a step's time where it has no MKL.
        group = s.heads // s.kv_heads
        q, k = rotate(q, cos, sin), rotate(k, cos, sin).repeat_interleave(group, dim=1)
        scores = q @ k.transpose(-1, -2) * s.head_dim**-0.5
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        y = scores.masked_fill(later, float("-inf")).softmax(dim=-1) @ v.repeat_interleave(group, dim=1)
        return self.out(y.transpose(1, 2).reshape(b, t, -1))


def rotate(x, cos, sin):
    """RoPE, half-split: dimension i is turned together with i + head_dim / 2."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


class Experts(nn.Module):
    """Router and experts. Returns the output and the load-balance loss, which is 1 when the load is even."""

    def __init__(self, s):
        super().__init__()
        self.s = s
        self.router = nn.Linear(s.hidden, s.experts, bias=False)
        self.gate = nn.Parameter(torch.empty(s.experts, s.expert_hidden, s.hidden))
        self.up = nn.Parameter(torch.empty(s.experts, s.expert_hidden, s.hidden))
        self.down = nn.Parameter(torch.empty(s.experts, s.hidden, s.expert_hidden))

    def forward(self, x):
        s = self.s
        rows = x.reshape(-1, s.hidden)
        with torch.autocast("cpu", enabled=False):  # a router in bfloat16 would flip near-ties
            probabilities = F.linear(rows.float(), self.router.weight).softmax(dim=-1)
        weights, chosen = probabilities.topk(s.experts_used, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)

        # Rows sorted by expert, so that each expert runs once over its own.
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=s.experts)
        source = order // s.experts_used
        parts = []
        groups = rows[source].split(counts.tolist())
        # Unbound once: indexing in the loop would cost the backward pass a gradient of the whole stack an expert.
        for group, gate, up, down in zip(groups, self.gate.unbind(), self.up.unbind(), self.down.unbind()):
            parts.append(F.linear(F.silu(F.linear(group, gate)) * F.linear(group, up), down))
        weighted = torch.cat(parts).float() * weights.flatten()[order].unsqueeze(1)
        y = torch.zeros(rows.shape, dtype=torch.float32).index_add(0, source, weighted)

        share = counts.float() / counts.sum()
        balance = s.experts * (share * probabilities.mean(dim=0)).sum()
        return y.view(x.shape), balance, counts


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.attention_norm = Norm(s.hidden, eps=s.norm_eps)
        self.attention = Attention(s)
        self.experts_norm = Norm(s.hidden, eps=s.norm_eps)
        self.experts = Experts(s)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        y, balance, counts = self.experts(self.experts_norm(x))
        return x + y, balance, counts


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.embedding = nn.Embedding(s.vocab, s.hidden)  # tied: it is the output matrix too
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = Norm(s.hidden, eps=s.norm_eps)
        into_residual = 0.02 / (2 * s.layers) ** 0.5
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=into_residual if name.endswith(("out.weight", "down")) else 0.02)

    def forward(self, ids):
        """ids [B, T] -> logits [B, T, vocab], mean load-balance loss, routes per layer and expert [layers, E]."""
        s = self.s
        position = torch.arange(ids.shape[1], dtype=torch.float32)
        inverse = s.rope_base ** (-torch.arange(0, s.head_dim, 2, dtype=torch.float32) / s.head_dim)
        angle = torch.outer(position, inverse)
        cos, sin = angle.cos(), angle.sin()
        x = self.embedding(ids)
        balances, routes = [], []
        for block in self.blocks:
            x, balance, counts = block(x, cos, sin)
            balances.append(balance)
            routes.append(counts)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return logits.float(), torch.stack(balances).mean(), torch.stack(routes)

    def parameter_counts(self):
        """(all, those that work on one token)."""
        s = self.s
        total = sum(p.numel() for p in self.parameters())
        idle = s.layers * (s.experts - s.experts_used) * 3 * s.hidden * s.expert_hidden
        return total, total - idle

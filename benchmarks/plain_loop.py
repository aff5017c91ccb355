"""A training loop as one writes it by hand: the peer of `train_speed.py` without a library.

Llama's blocks from torch's own operations, scaled_dot_product_attention, all logits at once, fused
AdamW, GPT-2's initial scales. `autocast` runs the products in bfloat16 and keeps float32 weights.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archsmith.architecture.tree import Architecture


class Block(nn.Module):
    """Norm, attention, norm, gated feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(width, eps=1e-5)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.feed_forward_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary embedding, half-split."""
    first, second = x.chunk(2, dim=-1)
    turned = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat(turned, dim=-1).to(x.dtype)


class Llama(nn.Module):
    """The architecture's network with a tied table."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        layer = architecture.layers[0]
        self.table = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.blocks = nn.ModuleList(
            Block(
                architecture.hidden_size,
                layer.mixer.num_attention_heads,
                layer.feed_forward.intermediate_size,
            )
            for _ in architecture.layers
        )
        self.norm = nn.RMSNorm(architecture.hidden_size, eps=1e-5)
        positions = torch.arange(architecture.max_position_embeddings).float()
        exponents = torch.arange(0, layer.mixer.head_dim, 2).float() / layer.mixer.head_dim
        angles = torch.outer(positions, 10_000.0**-exponents)
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())
        deep = 0.02 * (2 * len(self.blocks)) ** -0.5  # what writes to the residual starts smaller
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=deep if residual else 0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        x = self.table(tokens)
        cosines, sines = self.cosines[: tokens.shape[1]], self.sines[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, cosines, sines)
        logits = F.linear(self.norm(x), self.table.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def plain_engine(
    architecture: Architecture,
    *,
    autocast: bool,
    compiled: bool = False,
    device: torch.device,
    clock: Callable[[], float],
) -> Callable[[np.ndarray], float]:
    """Train on batches and return seconds of the clock given."""
    model = Llama(architecture).to(device)
    assert sum(p.numel() for p in model.parameters()) == architecture.num_params
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), fused=True)
    forward = torch.compile(model) if compiled else model

    def train(batches: np.ndarray) -> float:
        started = clock()
        for batch in torch.from_numpy(batches):
            tokens = batch.to(device)
            context = (
                torch.autocast(device.type, torch.bfloat16)
                if autocast
                else contextlib.nullcontext()
            )
            with context:
                loss = forward(tokens[:, :-1], tokens[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return clock() - started

    return train

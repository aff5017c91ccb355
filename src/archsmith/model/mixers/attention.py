"""Causal self-attention with grouped keys and values (Ainslie et al. 2023, arXiv 2305.13245).

Weight names, rotary convention and scale are those of transformers' Llama, Qwen3 and Phi.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.model.kernels.base import Kernels
from archsmith.model.mixers.base import Memory, MixerModule
from archsmith.model.norm import RmsNorm
from archsmith.model.rope import rotary_tables


class AttentionModule(MixerModule):
    """Multi-head, grouped-query or multi-query attention with a key-value cache."""

    weight_name = "self_attn"

    def __init__(self, spec: Attention, hidden_size: int, norm: Norm) -> None:
        super().__init__(spec, hidden_size, norm)
        self.q_proj = nn.Linear(hidden_size, spec.query_size, bias=spec.qkv_bias)
        self.k_proj = nn.Linear(hidden_size, spec.key_value_size, bias=spec.qkv_bias)
        self.v_proj = nn.Linear(hidden_size, spec.key_value_size, bias=spec.qkv_bias)
        self.o_proj = nn.Linear(spec.query_size, hidden_size, bias=spec.output_bias)
        self.q_norm = RmsNorm(spec.head_dim, norm.eps) if spec.qk_norm else None
        self.k_norm = RmsNorm(spec.head_dim, norm.eps) if spec.qk_norm else None

    def forward(
        self, x: Float[Tensor, "B T D"], *, kernels: Kernels, start: int, memory: Memory | None
    ) -> Float[Tensor, "B T D"]:
        """Attend from positions start, … to themselves and the ones before."""
        q, k, v = (
            part.unflatten(-1, (-1, self.spec.head_dim))
            for part in kernels.project(x, (self.q_proj, self.k_proj, self.v_proj))
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q, kernels), self.k_norm(k, kernels)
        q, k = self._place(q, start, kernels), self._place(k, start, kernels)
        v = v.transpose(1, 2)
        if memory is not None:
            k, v = (torch.cat((memory[n], t), dim=2) if n in memory else t for n, t in _named(k, v))
            memory.update(_named(k, v))
        mixed = kernels.attend(q, k, v, self.spec.sliding_window)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _place(
        self, x: Float[Tensor, "B T H E"], start: int, kernels: Kernels
    ) -> Float[Tensor, "B H T E"]:
        """Heads first, rotated by position."""
        rope = self.spec.rope
        if rope is None:
            return x.transpose(1, 2)
        cosines, sines = rotary_tables(
            theta=rope.theta,
            rotary_dim=rope.rotary_dim(self.spec.head_dim),
            start=start,
            num_tokens=x.shape[1],
            device=x.device,
            dtype=x.dtype,
        )
        return kernels.rotate(x, cosines, sines)


def _named(k: Tensor, v: Tensor) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
    return ("keys", k), ("values", v)


PART = AttentionModule

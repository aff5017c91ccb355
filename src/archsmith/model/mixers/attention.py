"""Causal self-attention with grouped keys and values (Ainslie et al. 2023, arXiv 2305.13245).

Weight names, rotary convention and scale are those of transformers' Llama, Qwen3, OLMoE and Phi.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.model.kernels.base import Kernels
from archsmith.model.mixers.base import Memory, MixerModule
from archsmith.model.norm import RmsNorm
from archsmith.model.rope import rotary_tables, rotations


class AttentionModule(MixerModule):
    """Multi-head, grouped-query or multi-query attention with a key-value cache."""

    weight_name = "self_attn"

    def __init__(
        self, spec: Attention, hidden_size: int, norm: Norm, max_position_embeddings: int
    ) -> None:
        super().__init__(spec, hidden_size, norm, max_position_embeddings)
        self.q_proj = nn.Linear(hidden_size, spec.query_size, bias=spec.qkv_bias)
        self.k_proj = nn.Linear(hidden_size, spec.key_value_size, bias=spec.qkv_bias)
        self.v_proj = nn.Linear(hidden_size, spec.key_value_size, bias=spec.qkv_bias)
        self.o_proj = nn.Linear(spec.query_size, hidden_size, bias=spec.output_bias)
        widths = (spec.head_dim, spec.head_dim)
        if spec.qk_norm_over == "all_heads":
            widths = (spec.query_size, spec.key_value_size)
        self.q_norm, self.k_norm = (
            RmsNorm(width, norm.eps) if spec.qk_norm else None for width in widths
        )
        self._rotations = None
        if spec.rope is not None:
            self._rotations = rotations(spec.rope, spec.head_dim, max_position_embeddings)
            self.switch_length = self._rotations.switch_length

    def forward(
        self, x: Float[Tensor, "B T D"], *, kernels: Kernels, start: int, memory: Memory | None
    ) -> Float[Tensor, "B T D"]:
        """Attend from positions start, … to themselves and the ones before."""
        q, k, v = kernels.project(x, (self.q_proj, self.k_proj, self.v_proj))
        if self.spec.qk_norm_over == "all_heads":
            q, k = self._normalize(q, k, kernels)
        q, k, v = (part.unflatten(-1, (-1, self.spec.head_dim)) for part in (q, k, v))
        if self.spec.qk_norm_over == "head":
            q, k = self._normalize(q, k, kernels)
        q, k = self._place(q, k, start, kernels)
        v = v.transpose(1, 2)
        if memory is not None:
            k, v = (torch.cat((memory[n], t), dim=2) if n in memory else t for n, t in _named(k, v))
            memory.update(_named(k, v))
        mixed = self._attend(q, k, v, kernels)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _normalize(self, q: Tensor, k: Tensor, kernels: Kernels) -> tuple[Tensor, Tensor]:
        if self.q_norm is None or self.k_norm is None:
            return q, k
        return self.q_norm(q, kernels), self.k_norm(k, kernels)

    def _place(
        self, q: Float[Tensor, "B T H E"], k: Float[Tensor, "B T K E"], start: int, kernels: Kernels
    ) -> tuple[Float[Tensor, "B H T E"], Float[Tensor, "B K T E"]]:
        """Heads first, rotated by position."""
        if self._rotations is None:
            return q.transpose(1, 2), k.transpose(1, 2)
        num_tokens = q.shape[1]
        cosines, sines = rotary_tables(
            self._rotations.of(start + num_tokens),
            start=start,
            num_tokens=num_tokens,
            device=q.device,
            dtype=q.dtype,
        )
        return kernels.rotate(q, cosines, sines), kernels.rotate(k, cosines, sines)

    def _attend(
        self,
        q: Float[Tensor, "B H T E"],
        k: Float[Tensor, "B K S E"],
        v: Float[Tensor, "B K S E"],
        kernels: Kernels,
    ) -> Float[Tensor, "B H T E"]:
        return kernels.attend(q, k, v, self.spec.sliding_window, self.spec.softmax_scale)


def _named(k: Tensor, v: Tensor) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
    return ("keys", k), ("values", v)


PART = AttentionModule

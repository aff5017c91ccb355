"""Causal self-attention with grouped keys and values (Ainslie et al. 2023, arXiv 2305.13245)."""

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.rope import Rope


class Attention(Mixer):
    """Multi-head, grouped-query or multi-query attention, by `num_key_value_heads`.

    `qk_norm` normalizes queries and keys by root mean square: each head for itself (`head`, Qwen3)
    or all heads together (`all_heads`, OLMoE). A position attends to itself and the
    `sliding_window - 1` positions before it; without a window, to all before it. Scores are
    multiplied by `attention_multiplier`, by default head_dim^-1/2.
    """

    type: Literal["attention"] = "attention"
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    rope: Rope | None = Rope()
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    qk_norm_over: Literal["head", "all_heads"] = "head"
    sliding_window: PositiveInt | None = None
    attention_multiplier: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_key_value_heads must divide num_attention_heads, "
                f"got {self.num_key_value_heads} and {self.num_attention_heads}"
            )
        if self.rope is not None and self.head_dim % 2:
            raise ValueError(f"head_dim must be even for rotary embedding, got {self.head_dim}")
        reason = None if self.rope is None else self.rope.explain(self.head_dim)
        if reason is not None:
            raise ValueError(reason)
        return self

    @property
    def query_size(self) -> int:
        """Width of all queries together."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of all keys together; values are as wide."""
        return self.num_key_value_heads * self.head_dim

    @property
    def softmax_scale(self) -> float:
        """What scores are multiplied by before the softmax."""
        return self.attention_multiplier or self.head_dim**-0.5

    def num_params(self, hidden_size: int) -> int:
        biases = self.qkv_bias * (self.query_size + 2 * self.key_value_size)
        biases += self.output_bias * hidden_size
        return self.matmul_params(hidden_size) + biases + self._norm_params()

    def _norm_params(self) -> int:
        if not self.qk_norm:
            return 0
        if self.qk_norm_over == "head":
            return 2 * self.head_dim
        return self.query_size + self.key_value_size

    def matmul_params(self, hidden_size: int) -> int:
        return hidden_size * (2 * self.query_size + 2 * self.key_value_size)

    def mixing_flops(self, context_length: int) -> int:
        window = min(self.sliding_window or context_length, context_length)
        # positions attended to by position p: min(p + 1, window); summed, then averaged
        seen = window * (window + 1) // 2 + (context_length - window) * window
        return 4 * self.query_size * seen // context_length

    def cache_elements(self, context_length: int) -> int:
        # llama.cpp and transformers keep the whole context for a plain cache; a window is a mask
        return 2 * self.key_value_size * context_length


PART = Attention

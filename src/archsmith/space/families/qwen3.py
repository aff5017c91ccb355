"""Qwen3-like networks (Yang et al. 2025, arXiv 2505.09388): Llama with normalized heads."""

from collections.abc import Mapping
from typing import Any

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.space.families import base
from archsmith.space.families.llama import Llama


class Qwen3(Llama):
    """As `Llama`, and the query and key of each head are normalized by root mean square."""

    name = "qwen3"
    final_norm = Norm(eps=1e-6)

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values, qk_norm=True)


PART = Qwen3()

"""Qwen3-like networks (Yang et al. 2025, arXiv 2505.09388): Llama with normalized heads."""

from collections.abc import Mapping
from typing import Any

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.norm import Norm
from archsmith.architecture.tree import Layer
from archsmith.space.families import base
from archsmith.space.families.llama import Llama


class Qwen3(Llama):
    """As `Llama`, and the query and key of each head are normalized by root mean square."""

    name = "qwen3"
    final_norm = Norm(eps=1e-6)

    def layer(self, values: Mapping[str, Any]) -> Layer:
        width = base.intermediate_size(values["hidden_size"], values["intermediate_ratio"])
        return Layer(
            mixer=base.attention(values, qk_norm=True),
            feed_forward=GatedMlp(intermediate_size=width),
            norm=self.final_norm,
        )


PART = Qwen3()

"""Qwen3-MoE-like networks (Yang et al. 2025, arXiv 2505.09388): Qwen3 with experts."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.norm import Norm
from archsmith.space.families._experts import ExpertFamily


class Qwen3Moe(ExpertFamily):
    """As `Mixtral`, and the query and key of each head are normalized by root mean square."""

    name = "qwen3_moe"
    final_norm = Norm(eps=1e-6)
    attention: ClassVar[Mapping[str, Any]] = {"qk_norm": True}


PART = Qwen3Moe()

"""Phi-3-like networks (Abdin et al. 2024, arXiv 2404.14219): as Llama, rotary full or partial."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.space.dimensions import Dimension
from archsmith.space.families import base
from archsmith.space.families.llama import Llama


class Phi3(Llama):
    """As `Llama`, with rotary on a part of each head, or LongRoPE. With full plain rotary it is a
    Llama: the loaders fuse weights, which changes nothing that is computed."""

    name = "phi3"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        *Llama.dimensions,
        Dimension("partial_rotary_factor", (0.5, 0.75, 1.0)),
        base.LONG_ROPE,
    )
    special_cases: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "llama": {"partial_rotary_factor": 1.0, "long_rope": None}
    }


PART = Phi3()

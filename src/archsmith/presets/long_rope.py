"""The published LongRoPE factors of the long-context Phi models (Ding et al. 2024, 2402.13753).

`long_rope.json` holds the numbers of the `config.json` files of microsoft/Phi-3-mini-128k-instruct
(the update of June 2024), Phi-3.5-mini-instruct, Phi-3.5-MoE-instruct and Phi-4-mini-instruct, as
quoted in public copies of those files. They were searched for by their authors and have no formula.
"""

import json
from functools import cache
from importlib.resources import files

from archsmith.architecture.rope import LongRope
from archsmith.config import validate


@cache
def published_long_ropes() -> dict[str, LongRope]:
    """Factors by the name of the preset that has them."""
    text = (files("archsmith.presets") / "long_rope.json").read_text(encoding="utf-8")
    return {
        name: validate(LongRope, data, source=f"long_rope.json: {name}")
        for name, data in json.loads(text).items()
    }

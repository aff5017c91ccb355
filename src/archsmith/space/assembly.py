"""A space from families and choices: in order, each architecture once."""

from collections.abc import Mapping, Sequence
from typing import Any

from archsmith import registry
from archsmith.presets.long_rope import published_long_ropes
from archsmith.space.branch import Branch
from archsmith.space.dimensions import Dimension, Vocabulary
from archsmith.space.families import base
from archsmith.space.families.base import Family
from archsmith.space.space import ArchitectureSpace

# Widths, head sizes, vocabularies and LongRoPE factors of the published Phi models beside the small
# ones (arXiv 2306.11644, 2309.05463, 2404.14219, 2412.08905, 2503.01743).
_PHI_CHOICES: dict[str, tuple[Any, ...]] = {
    "hidden_size": (*base.HIDDEN_SIZE.choices, 4096, 5120),
    "head_dim": (32, 64, 80, 96, 128),
    "heads_per_kv_head": (1, 2, 3, 4, 8),
    "intermediate_ratio": (1.5, 2.0, 8 / 3, 3.0, 3.125, 3.5, 4.0),
    "vocabulary": (
        *base.VOCABULARY.choices,
        Vocabulary(32064, 4096),
        Vocabulary(32064, 131072),
        Vocabulary(51200, 2048),
        Vocabulary(100352, 8192),
        Vocabulary(100352, 16384),
        Vocabulary(200064, 131072),
    ),
    "rope_theta": (10_000.0, 250_000.0, 1_000_000.0),
    "partial_rotary_factor": (0.4, 0.5, 0.75, 1.0),
}


def phi_choices(given: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Choices by dimension with which the Phi families contain every published Phi, or those given.

    LongRoPE is offered where some context is longer than the one it stretches.
    """
    choices = {**_PHI_CHOICES, **given}
    longest = max(vocabulary.context_tokens for vocabulary in choices["vocabulary"])
    long_ropes = (
        long_rope
        for long_rope in published_long_ropes().values()
        if long_rope.original_max_position_embeddings < longest
    )
    return {"long_rope": (None, *long_ropes), **choices}


def make_space(
    names: Sequence[str], choices: Mapping[str, tuple[Any, ...]], **limits: Any
) -> ArchitectureSpace:
    """A space of these families, with these choices by dimension instead of their own.

    Choices that make a point one of another family present are left out. `limits` are keyword
    arguments of `Branch`. Raises ConfigError where nothing is left.
    """
    families: list[Family] = [registry.find("families", name) for name in dict.fromkeys(names)]
    branches = []
    for family in families:
        dimensions = [
            Dimension(d.name, _in_order(d.name, choices.get(d.name, d.choices)))
            for d in family.dimensions
        ]
        kept, refused = _left_out(family, dimensions, {other.name for other in families})
        if kept is not None:
            branches.append(Branch(family, kept, refused=refused, **limits))
    return ArchitectureSpace(branches)


def _in_order(name: str, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if name == "quantization":
        order = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16", "F32")
        return tuple(sorted(choices, key=order.index))
    if name in ("tie_word_embeddings", "full_attention_rope", "long_rope"):
        return choices
    return tuple(sorted(choices))


def _left_out(
    family: Family, dimensions: list[Dimension], present: set[str]
) -> tuple[list[Dimension] | None, list[Mapping[str, Any]]]:
    """What makes a point one of another family present: choices, or combinations of choices.

    Returns the dimensions without such choices (None if nothing is left) and the combinations.
    """
    combinations: list[Mapping[str, Any]] = []
    for other, special in family.special_cases.items():
        if other not in present:
            continue
        offered = {d.name: d.choices for d in dimensions if d.name in special}
        if any(special[name] not in choices for name, choices in offered.items()):
            continue
        open_names = [name for name, choices in offered.items() if len(choices) > 1]
        if not open_names:
            return None, []
        if len(open_names) > 1:
            combinations.append({name: special[name] for name in offered})
            continue
        dimensions = [
            Dimension(d.name, tuple(c for c in d.choices if c != special[d.name]))
            if d.name in open_names
            else d
            for d in dimensions
        ]
    return dimensions, combinations

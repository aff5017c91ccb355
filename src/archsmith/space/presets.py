"""Spaces by name, and the `[space]` section of a search file that describes one."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import PositiveInt, field_validator

from archsmith import registry
from archsmith.architecture.tree import Quantization
from archsmith.config import Spec
from archsmith.space.branch import Branch
from archsmith.space.dimensions import Dimension, Vocabulary
from archsmith.space.families import base
from archsmith.space.families.base import Family
from archsmith.space.space import ArchitectureSpace
from archsmith.units import parse_count

# Widths, head sizes and vocabularies of the published Phi models beside the small ones
# (arXiv 2306.11644, 2309.05463, 2404.14219, 2412.08905).
_PHI_CHOICES: dict[str, tuple[Any, ...]] = {
    "hidden_size": (*base.HIDDEN_SIZE.choices, 4096, 5120),
    "head_dim": (32, 64, 80, 96, 128),
    "vocabulary": (
        *base.VOCABULARY.choices,
        Vocabulary(32064, 4096),
        Vocabulary(51200, 2048),
        Vocabulary(100352, 16384),
    ),
    "rope_theta": (10_000.0, 250_000.0),
    "partial_rotary_factor": (0.4, 0.5, 0.75, 1.0),
}

_FAMILIES: dict[str, tuple[str, ...]] = {
    "portable": ("llama", "qwen3", "phi3", "phi"),
    "llama": ("llama",),
    "phi": ("phi3", "phi"),
}
# field of SpaceConfig -> dimension
_OVERRIDES = {
    "hidden_sizes": "hidden_size",
    "depths": "num_hidden_layers",
    "head_dims": "head_dim",
    "heads_per_kv_head": "heads_per_kv_head",
    "intermediate_ratios": "intermediate_ratio",
    "vocabularies": "vocabulary",
    "tie_word_embeddings": "tie_word_embeddings",
    "rope_thetas": "rope_theta",
    "partial_rotary_factors": "partial_rotary_factor",
    "quantizations": "quantization",
}


class SpaceConfig(Spec):
    """The `[space]` section. A list replaces the preset's choices of that dimension.

    Attributes:
        preset: `portable` (every family), `phi` (contains the dense Phi models) or `llama`.
        families: instead of the preset's.
        max_params: no architecture has more parameters; "120M" is read as 120,000,000.
        hidden_sizes: widths, multiples of 32.
        depths: numbers of layers.
        vocabularies: pairs [vocab_size, context_tokens].
        k_quant_fallback: offer K-quants at widths that are no multiple of 256 as well; the file
            then stores such tensors in other block types.
    """

    preset: Literal["portable", "phi", "llama"] = "portable"
    families: tuple[str, ...] | None = None
    max_params: PositiveInt | None = None
    hidden_sizes: tuple[PositiveInt, ...] | None = None
    depths: tuple[PositiveInt, ...] | None = None
    head_dims: tuple[PositiveInt, ...] | None = None
    heads_per_kv_head: tuple[PositiveInt, ...] | None = None
    intermediate_ratios: tuple[float, ...] | None = None
    vocabularies: tuple[Vocabulary, ...] | None = None
    tie_word_embeddings: tuple[bool, ...] | None = None
    rope_thetas: tuple[float, ...] | None = None
    partial_rotary_factors: tuple[float, ...] | None = None
    quantizations: tuple[Quantization, ...] | None = None
    k_quant_fallback: bool = False

    @field_validator("max_params", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return parse_count(value) if isinstance(value, str) else value

    @field_validator("quantizations", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [name.upper() if isinstance(name, str) else name for name in value]

    @field_validator("families", mode="after")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            registry.find("families", name)
        return value

    @field_validator("hidden_sizes", mode="after")
    @classmethod
    def _multiples(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        for width in value or ():
            if width % 32:
                raise ValueError(f"widths are multiples of 32, got {width}")
        return value

    @field_validator(*_OVERRIDES, mode="after")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value)):
            raise ValueError("needs at least one choice, and each only once")
        return value

    def build(self, vocabularies: Sequence[Vocabulary] | None = None) -> ArchitectureSpace:
        """The space. `vocabularies` stand where the section names none. Raises ConfigError."""
        choices = {
            dimension: value
            for field, dimension in _OVERRIDES.items()
            if (value := getattr(self, field)) is not None
        }
        if vocabularies is not None:
            choices.setdefault("vocabulary", tuple(vocabularies))
        return _space(
            self.families or _FAMILIES[self.preset],
            {**(_PHI_CHOICES if self.preset == "phi" else {}), **choices},
            max_params=self.max_params,
            k_quant_fallback=self.k_quant_fallback,
        )


def portable(**settings: Any) -> ArchitectureSpace:
    """Every family; whatever is in it loads in stock transformers and in llama.cpp.

    `settings` are fields of `SpaceConfig`.
    """
    return SpaceConfig(preset="portable", **settings).build()


def llama(**settings: Any) -> ArchitectureSpace:
    """Llama-like networks alone."""
    return SpaceConfig(preset="llama", **settings).build()


def phi(**settings: Any) -> ArchitectureSpace:
    """Phi-like networks; without `max_params` it contains every dense Phi up to phi-4."""
    return SpaceConfig(preset="phi", **settings).build()


def tiny(**settings: Any) -> ArchitectureSpace:
    """A few thousand very small networks of every family, for tests and first steps."""
    small: dict[str, Any] = {
        "hidden_sizes": (32, 64, 96, 128, 256),
        "depths": (1, 2, 3, 4, 6),
        "head_dims": (16, 32),
        "heads_per_kv_head": (1, 2),
        "intermediate_ratios": (1.5, 2.0, 3.0),
        "vocabularies": (Vocabulary(257, 64), Vocabulary(512, 48)),
        "tie_word_embeddings": (True, False),
        "rope_thetas": (10_000.0,),
        "partial_rotary_factors": (0.5, 1.0),
        "quantizations": ("Q4_0", "Q4_K_M", "Q8_0"),
    }
    return portable(**{**small, **settings})


def _space(
    names: Sequence[str], choices: Mapping[str, tuple[Any, ...]], **limits: Any
) -> ArchitectureSpace:
    families: list[Family] = [registry.find("families", name) for name in dict.fromkeys(names)]
    branches = []
    for family in families:
        dimensions = [
            Dimension(d.name, _in_order(d.name, choices.get(d.name, d.choices)))
            for d in family.dimensions
        ]
        kept = _without_special_cases(family, dimensions, {other.name for other in families})
        if kept is not None:
            branches.append(Branch(family, kept, **limits))
    return ArchitectureSpace(branches)


def _in_order(name: str, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if name == "quantization":
        order = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16", "F32")
        return tuple(sorted(choices, key=order.index))
    if name == "tie_word_embeddings":
        return choices
    return tuple(sorted(choices))


def _without_special_cases(
    family: Family, dimensions: list[Dimension], present: set[str]
) -> list[Dimension] | None:
    """`dimensions` without the choices that make a point one of another family present."""
    dropped = {
        name: choice for other, (name, choice) in family.special_cases.items() if other in present
    }
    kept = []
    for dimension in dimensions:
        choices = tuple(c for c in dimension.choices if c != dropped.get(dimension.name, object()))
        if not choices:
            return None
        kept.append(Dimension(dimension.name, choices))
    return kept

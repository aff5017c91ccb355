"""Spaces by name, and the `[space]` section of a search file that describes one."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from archsmith import registry
from archsmith.architecture.tree import Quantization
from archsmith.config import Spec
from archsmith.space.assembly import make_space, phi_choices
from archsmith.space.dimensions import Vocabulary
from archsmith.space.space import ArchitectureSpace
from archsmith.units import parse_count

_DENSE = ("llama", "qwen3", "phi3", "phi")
_EXPERTS = ("mixtral", "qwen3_moe", "qwen2_moe", "olmoe")
_FAMILIES: dict[str, tuple[str, ...]] = {
    "portable": _DENSE,
    "llama": ("llama",),
    "phi": ("phi3", "phi", "phi_3_small", "phi_moe"),
    "moe": _EXPERTS,
    "mixed": (*_DENSE, *_EXPERTS),
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
    "num_experts": "num_experts",
    "num_experts_per_tok": "num_experts_per_tok",
    "num_shared_experts": "num_shared_experts",
    "full_attention_every": "full_attention_every",
    "window_shares": "window_share",
    "full_attention_rope": "full_attention_rope",
}
# those that are of no use without a family that has them
_SPECIAL = (
    "num_experts", "num_experts_per_tok", "num_shared_experts",
    "full_attention_every", "window_shares", "full_attention_rope",
)  # fmt: skip


class SpaceConfig(Spec):
    """The `[space]` section. A list replaces the preset's choices of that dimension.

    Attributes:
        preset: `portable` (dense families that load everywhere), `llama`, `moe` (experts), `mixed`
            (dense and experts in one search) or `phi` (contains every Phi model).
        families: instead of the preset's.
        max_params: no architecture has more parameters; "120M" is read as 120,000,000.
        hidden_sizes: widths, multiples of 32.
        depths: numbers of layers.
        vocabularies: pairs [vocab_size, context_tokens].
        num_experts: experts of a layer.
        num_experts_per_tok: experts that a token goes through; they share `intermediate_ratios`, so
            that more of them are narrower and cost the same FLOPs.
        num_shared_experts: width of the block that every token goes through, in experts.
        full_attention_every: one in so many layers sees the whole context.
        window_shares: what the other layers see, as a share of the context; 1 for all of it.
        full_attention_rope: whether layers that see everything have rotary embedding.
        k_quant_fallback: offer K-quants at widths that are no multiple of 256 as well; the file
            then stores such tensors in other block types.
    """

    preset: Literal["portable", "llama", "moe", "mixed", "phi"] = "portable"
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
    num_experts: tuple[PositiveInt, ...] | None = None
    num_experts_per_tok: tuple[PositiveInt, ...] | None = None
    num_shared_experts: tuple[PositiveInt, ...] | None = None
    full_attention_every: tuple[Annotated[int, Field(ge=2)], ...] | None = None
    window_shares: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] | None = None
    full_attention_rope: tuple[bool, ...] | None = None
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

    @model_validator(mode="after")
    def _of_some_use(self) -> Self:
        has = {
            name: {d.name for d in registry.find("families", name).dimensions}
            for name in self.chosen_families
        }
        for field in _SPECIAL:
            wanted = _OVERRIDES[field]
            if getattr(self, field) is None or any(wanted in names for names in has.values()):
                continue
            fitting = [
                name
                for name in registry.names("families")
                if any(d.name == wanted for d in registry.find("families", name).dimensions)
            ]
            raise ValueError(
                f"{field} is of no use in the families {', '.join(has)}; add one of "
                f"{', '.join(fitting)} to families, or take another preset"
            )
        return self

    @property
    def chosen_families(self) -> tuple[str, ...]:
        """The families of the space."""
        return tuple(dict.fromkeys(self.families or _FAMILIES[self.preset]))

    def build(self, vocabularies: Sequence[Vocabulary] | None = None) -> ArchitectureSpace:
        """The space. `vocabularies` stand where the section names none. Raises ConfigError."""
        choices = {
            dimension: value
            for field, dimension in _OVERRIDES.items()
            if (value := getattr(self, field)) is not None
        }
        if vocabularies is not None:
            choices.setdefault("vocabulary", tuple(vocabularies))
        return make_space(
            self.chosen_families,
            phi_choices(choices) if self.preset == "phi" else choices,
            max_params=self.max_params,
            k_quant_fallback=self.k_quant_fallback,
        )


def key_of(dimension: str) -> str:
    """The key of the `[space]` section that sets a dimension's choices."""
    return next(key for key, name in _OVERRIDES.items() if name == dimension)


def portable(**settings: Any) -> ArchitectureSpace:
    """Dense families; whatever is in it loads in stock transformers and in llama.cpp."""
    return SpaceConfig(preset="portable", **settings).build()


def llama(**settings: Any) -> ArchitectureSpace:
    """Llama-like networks alone."""
    return SpaceConfig(preset="llama", **settings).build()


def moe(**settings: Any) -> ArchitectureSpace:
    """Mixtures of experts, from few wide to many narrow ones (Krajewski et al. 2024, 2402.07871).

    At equal `intermediate_ratio` all of them have the FLOPs of one dense block.
    """
    return SpaceConfig(preset="moe", **settings).build()


def mixed(**settings: Any) -> ArchitectureSpace:
    """Dense networks and mixtures of experts in one space."""
    return SpaceConfig(preset="mixed", **settings).build()


def phi(**settings: Any) -> ArchitectureSpace:
    """Phi-like networks; without `max_params` it contains every Phi, from phi-1 to Phi-4-mini.

    Phi-3-small and Phi-3.5-MoE have no GGUF file: `exportable_to(("gguf",))` leaves them out.
    """
    return SpaceConfig(preset="phi", **settings).build()


def tiny(**settings: Any) -> ArchitectureSpace:
    """A few thousand very small networks of every dense family, for tests and first steps."""
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
    return SpaceConfig(**{**small, **settings}).build()

"""The architecture: a frozen, hashable tree that says what a decoder-only language model is.

Layers are stored expanded, in one canonical form; patterns and repeats live in presets and
spaces. Field names are Hugging Face's. Every count here is exact and held against the built
module on the meta device by the tests.
"""

from functools import cached_property
from itertools import groupby
from typing import Any, Literal, Self

from pydantic import PositiveFloat, PositiveInt, field_validator, model_validator

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.norm import Norm
from archsmith.architecture.summary import summarize
from archsmith.config import Spec, content_hash, of_kind

# File quantizations, in llama.cpp's names. K-quants mix block types over tensors as llama.cpp does.
Quantization = Literal["F32", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]


class Layer(Spec):
    """One decoder layer. `sequential`: mixer, then feed-forward, each behind its own norm;
    `parallel`: both read the same normed input and are added together (phi-1 to phi-2)."""

    mixer: of_kind(Mixer, "mixers")  # type: ignore[valid-type]
    feed_forward: of_kind(FeedForward, "feed_forwards")  # type: ignore[valid-type]
    norm: Norm = Norm()
    residual: Literal["sequential", "parallel"] = "sequential"

    def num_params(self, hidden_size: int) -> int:
        """All parameters of the layer, norms included."""
        return (
            self.mixer.num_params(hidden_size)
            + self.feed_forward.num_params(hidden_size)
            + self._num_norms * self.norm.num_params(hidden_size)
        )

    def num_active_params(self, hidden_size: int) -> int:
        """Parameters used for one token."""
        idle = self.feed_forward.num_params(hidden_size)
        idle -= self.feed_forward.num_active_params(hidden_size)
        return self.num_params(hidden_size) - idle

    @property
    def _num_norms(self) -> int:
        return 2 if self.residual == "sequential" else 1


class Architecture(Spec):
    """A decoder-only language model and the quantization its file is deployed in.

    `max_position_embeddings` is the context length in tokens. `quantization` belongs to the tree
    because it decides bytes and score of what is deployed; `network_hash` leaves it out, so that
    one trained network serves several quantizations.

    The multipliers are Granite's and muP's (Yang et al. 2022, arXiv 2203.03466): embeddings times
    `embedding_multiplier`, what a block adds to the residual times `residual_multiplier`, logits
    divided by `logits_scaling`.
    """

    hidden_size: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    layers: tuple[Layer, ...]
    final_norm: Norm = Norm()
    tie_word_embeddings: bool = True
    lm_head_bias: bool = False
    embedding_multiplier: PositiveFloat = 1.0
    residual_multiplier: PositiveFloat = 1.0
    logits_scaling: PositiveFloat = 1.0
    quantization: Quantization = "F16"

    @field_validator("quantization", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.layers:
            raise ValueError("an architecture needs at least one layer")
        for index, layer in enumerate(self.layers):
            reason = layer.mixer.explain(self.hidden_size)
            if reason is not None:
                raise ValueError(f"layers.{index}.mixer: {reason}")
        return self

    @property
    def num_hidden_layers(self) -> int:
        """Depth."""
        return len(self.layers)

    @cached_property
    def num_embedding_params(self) -> int:
        """Embedding table, and the output head where it is not tied."""
        table = self.vocab_size * self.hidden_size
        head = 0 if self.tie_word_embeddings else table
        return table + head + self.lm_head_bias * self.vocab_size

    @cached_property
    def num_non_embedding_params(self) -> int:
        """Everything but embedding table and output head."""
        return sum(
            count * layer.num_params(self.hidden_size) for layer, count in self._runs
        ) + self.final_norm.num_params(self.hidden_size)

    @property
    def num_params(self) -> int:
        """All parameters; a tied table counts once."""
        return self.num_embedding_params + self.num_non_embedding_params

    @property
    def num_active_params(self) -> int:
        """Parameters used for one token (all of them without experts)."""
        idle = sum(
            count * (layer.num_params(self.hidden_size) - layer.num_active_params(self.hidden_size))
            for layer, count in self._runs
        )
        return self.num_params - idle

    @property
    def has_experts(self) -> bool:
        """Whether a token meets only a part of the parameters."""
        return self.num_active_params < self.num_params

    @property
    def width_depth_ratio(self) -> float:
        """hidden_size / num_hidden_layers; about 48 was best over 22 models (Gemstones)."""
        return self.hidden_size / self.num_hidden_layers

    def flops_per_token(self, context_length: int | None = None) -> int:
        """Forward FLOPs per token: twice the matmul weights, the head once, causal attention.

        Training costs three times as much (forward, and twice that for backward).
        """
        context_length = context_length or self.max_position_embeddings
        weights = self.vocab_size * self.hidden_size
        mixing = 0
        for layer, count in self._runs:
            weights += count * layer.mixer.matmul_params(self.hidden_size)
            weights += count * layer.feed_forward.matmul_params(self.hidden_size)
            mixing += count * layer.mixer.mixing_flops(context_length)
        return 2 * weights + mixing

    def cache_bytes(self, context_length: int | None = None, *, bytes_per_element: int = 2) -> int:
        """Bytes kept for generation at a full context; 2 bytes per element is f16."""
        context_length = context_length or self.max_position_embeddings
        elements = sum(
            count * layer.mixer.cache_elements(context_length) for layer, count in self._runs
        )
        return elements * bytes_per_element

    @cached_property
    def hash(self) -> str:
        """Content hash of the whole tree."""
        return content_hash(self)

    @cached_property
    def network_hash(self) -> str:
        """Content hash without the file's quantization: the key of a trained network."""
        return content_hash(self.model_dump(mode="json", exclude={"quantization"}))

    @cached_property
    def _runs(self) -> list[tuple[Layer, int]]:
        """Equal layers that follow each other, once with their number: sums cost no depth."""
        return [(layer, len(list(run))) for layer, run in groupby(self.layers)]

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        # equal layers once: comparing a deep network costs no more than a shallow one
        names = (name for name in type(self).model_fields if name != "layers")
        return (*(getattr(self, name) for name in names), *self._runs)

    @cached_property
    def _value_hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        # kept, because histories of thousands of points are looked up in sets
        return self._value_hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Architecture):
            return NotImplemented
        return self._value_hash == other._value_hash and self._key == other._key

    def __getstate__(self) -> dict[Any, Any]:
        # hashes of strings differ between processes, so a kept one must not travel
        state = super().__getstate__()
        values = {k: v for k, v in state["__dict__"].items() if k in type(self).model_fields}
        return {**state, "__dict__": values}

    def summary(self) -> str:
        """One line for people: "6x256 · 4h/2kv · ffn 704 · vocab 4096 tied · 4.3M · Q8_0"."""
        return summarize(self)

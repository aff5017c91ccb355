"""What every mixer module answers."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.norm import Norm
from archsmith.model.kernels.base import Kernels

# What a layer remembers of the tokens before, by name; a mixer fills and reads it as it likes.
Memory = dict[str, Tensor]


class MixerModule(nn.Module, ABC):
    """A block that mixes positions. `weight_name` is its name inside a layer, as in transformers.

    The constructor takes the spec, the model's width, the layer's norm (whose epsilon norms of
    heads share, as in transformers) and the context; `archsmith.model.initialization` fills the
    weights.

    Attributes:
        switch_length: beyond so many tokens of text, earlier positions are computed differently
            (LongRoPE). Nothing remembered below holds above: the cache is filled anew there.
    """

    weight_name: ClassVar[str]
    switch_length: int | None = None

    def __init__(
        self, spec: Any, hidden_size: int, norm: Norm, max_position_embeddings: int
    ) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B T D"], *, kernels: Kernels, start: int, memory: Memory | None
    ) -> Float[Tensor, "B T D"]:
        """Mix positions start, …, start + T - 1; `memory` holds the ones before and is updated."""

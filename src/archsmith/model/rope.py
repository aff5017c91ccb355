"""Tables of rotary position embedding (Su et al. 2021, arXiv 2104.09864).

Half-split as in transformers: feature i turns against feature i + R/2, so weights need no
permutation on the way to a stock class.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from archsmith.architecture.rope import Rope


class Rotation(NamedTuple):
    """How fast each of the `rotary_dim`/2 pairs of features turns, and how long the arms are."""

    theta: float
    rotary_dim: int
    divisors: tuple[float, ...] | None = None  # of the frequencies, one per pair
    amplitude: float = 1.0  # of cosines and sines


class Rotations(NamedTuple):
    """The rotation of texts of up to `switch_length` tokens and that of longer ones."""

    short: Rotation
    long: Rotation
    switch_length: int | None  # None: every text is short

    def of(self, num_tokens: int) -> Rotation:
        """The one rotation of all positions in a text of so many tokens."""
        short = self.switch_length is None or num_tokens <= self.switch_length
        return self.short if short else self.long


def rotations(rope: Rope, head_dim: int, max_position_embeddings: int) -> Rotations:
    """What a spec says for heads of this width in a network of this context."""
    plain = Rotation(rope.theta, rope.rotary_dim(head_dim))
    scaling = rope.long_rope
    if scaling is None:
        return Rotations(plain, plain, None)
    switch = scaling.original_max_position_embeddings
    short, long = (
        plain._replace(
            divisors=divisors,
            amplitude=scaling.attention_factor(num_tokens, max_position_embeddings),
        )
        for divisors, num_tokens in (
            (scaling.short_factor, switch),
            (scaling.long_factor, switch + 1),
        )
    )
    return Rotations(short, long, None if short == long else switch)


def rotary_tables(
    rotation: Rotation,
    *,
    start: int,
    num_tokens: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Float[Tensor, "T R"], Float[Tensor, "T R"]]:
    """Cosines and sines of positions start, …, start + num_tokens - 1; R is half `rotary_dim`."""
    stop = start + num_tokens
    length = max(256, 1 << (stop - 1).bit_length())  # few lengths, so that tables are shared
    cosines, sines = _tables(rotation, length, device, dtype)
    return cosines[start:stop], sines[start:stop]


@lru_cache(maxsize=32)
def _tables(
    rotation: Rotation, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    theta, rotary_dim, divisors, amplitude = rotation
    exponents = torch.arange(0, rotary_dim, 2, device=device).float() / rotary_dim
    periods = theta**exponents
    if divisors is not None:
        periods = torch.tensor(divisors, device=device) * periods
    angles = torch.outer(torch.arange(length, device=device).float(), 1.0 / periods)
    return (angles.cos() * amplitude).to(dtype), (angles.sin() * amplitude).to(dtype)

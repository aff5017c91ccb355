"""Tables of rotary position embedding (Su et al. 2021, arXiv 2104.09864).

Half-split as in transformers: feature i turns against feature i + R/2, so weights need no
permutation on the way to a stock class.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_tables(
    *,
    theta: float,
    rotary_dim: int,
    start: int,
    num_tokens: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Float[Tensor, "T R"], Float[Tensor, "T R"]]:
    """Cosines and sines of positions start, …, start + num_tokens - 1; R is half `rotary_dim`."""
    stop = start + num_tokens
    length = max(256, 1 << (stop - 1).bit_length())  # few lengths, so that tables are shared
    cosines, sines = _tables(theta, rotary_dim, length, device, dtype)
    return cosines[start:stop], sines[start:stop]


@lru_cache(maxsize=32)
def _tables(
    theta: float, rotary_dim: int, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, rotary_dim, 2, device=device).float() / rotary_dim
    angles = torch.outer(torch.arange(length, device=device).float(), 1.0 / theta**exponents)
    return angles.cos().to(dtype), angles.sin().to(dtype)

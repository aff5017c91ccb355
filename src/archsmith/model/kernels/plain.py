"""The reference: each operation as one reads it in a paper, differentiated by torch."""

from collections.abc import Sequence
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from archsmith.model.activations import activate, gegelu_operands, quick_gelu
from archsmith.model.kernels import block_pattern
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.block_pattern import BlockPattern
from archsmith.model.kernels.experts import experts_in_turn


def project(x: Float[Tensor, "B T D"], layers: Sequence[nn.Linear]) -> tuple[Tensor, ...]:
    """Every layer's product with the same input."""
    return tuple(F.linear(x, layer.weight, layer.bias) for layer in layers)


def gated(
    x: Float[Tensor, "B T D"], gate: nn.Linear, up: nn.Linear, activation: str
) -> Float[Tensor, "B T F"]:
    """act(gate(x)) * up(x)."""
    gate_BTF, up_BTF = project(x, (gate, up))
    return activate(gate_BTF, activation) * up_BTF


def gegelu(
    x: Float[Tensor, "B T D"], gate: nn.Linear, up: nn.Linear, limit: float | None
) -> Float[Tensor, "B T F"]:
    """quick_gelu(gate(x)) * (up(x) + 1), both cut off at the limit."""
    gate_BTF, up_BTF = project(x, (gate, up))
    gate_BTF, up_BTF = gegelu_operands(gate_BTF, up_BTF, limit)
    return quick_gelu(gate_BTF) * up_BTF


def rms_norm(
    x: Float[Tensor, "*S D"], weight: Float[Tensor, " D"], eps: float
) -> Float[Tensor, "*S D"]:
    """x / rms(x) * weight over the last axis."""
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def rotate(
    x: Float[Tensor, "B T H E"], cosines: Float[Tensor, "T R"], sines: Float[Tensor, "T R"]
) -> Float[Tensor, "B H T E"]:
    """Turn feature i against feature i + R by the position's angle, for i < R; swap T and H."""
    half = cosines.shape[-1]
    first, second, rest = x.transpose(1, 2).split([half, half, x.shape[-1] - 2 * half], dim=-1)
    turned = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat((*turned, rest), dim=-1)


def attend(
    q: Float[Tensor, "B H T E"],
    k: Float[Tensor, "B K S E"],
    v: Float[Tensor, "B K S E"],
    window: int | None,
    scale: float,
) -> Float[Tensor, "B H T E"]:
    """Causal attention of the last T of S positions, to the last `window` positions each."""
    num_queries, num_keys = q.shape[2], k.shape[2]
    attention = partial(
        F.scaled_dot_product_attention, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    if window is not None and window >= num_keys:
        window = None
    if window is None and num_queries == num_keys:
        return attention(q, k, v, is_causal=True)
    if window is None and num_queries == 1:
        return attention(q, k, v)
    return attention(q, k, v, attn_mask=visible(num_queries, num_keys, window, q.device))


def attend_blocks(
    q: Float[Tensor, "B H T E"],
    k: Float[Tensor, "B K S E"],
    v: Float[Tensor, "B K S E"],
    pattern: BlockPattern,
    scale: float,
) -> Float[Tensor, "B H T E"]:
    """Causal attention of the last T of S positions, to the blocks that each head sees."""
    num_heads, num_queries, num_keys = q.shape[1], q.shape[2], k.shape[2]
    if num_keys <= pattern.local_tokens:
        return attend(q, k, v, None, scale)
    mask = block_pattern.visible(
        pattern, num_heads=num_heads, num_queries=num_queries, num_keys=num_keys, device=q.device
    )
    grouped = num_heads != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=grouped)


def head_loss(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, float32."""
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), targets)


@lru_cache(maxsize=32)
def visible(
    num_queries: int, num_keys: int, window: int | None, device: torch.device
) -> Bool[Tensor, "T S"]:
    """True where a query may look: at itself and, at most, the `window - 1` positions before."""
    positions = torch.arange(num_keys, device=device)
    distance = positions[num_keys - num_queries :, None] - positions[None, :]
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


PLAIN = Kernels(
    project, gated, gegelu, rms_norm, rotate, attend, attend_blocks, head_loss, experts_in_turn
)

"""The set of operations a block may ask for.

Letters: B batch, T tokens, S keys (T, or more behind a cache), H query heads, K key-value heads,
E features of a head, D model width, F feed-forward width, V vocabulary, N = B·T rows, X experts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from archsmith.model.kernels.block_pattern import BlockPattern
from archsmith.model.routing import Choice

# (B T D, linear layers that read the same input) -> one output each
Project = Callable[[Tensor, Sequence[nn.Linear]], tuple[Tensor, ...]]
# (B T D, gate layer, up layer, activation's name) -> act(gate(x)) * up(x), B T F
Gated = Callable[[Tensor, nn.Linear, nn.Linear, str], Tensor]
# (B T D, gate layer, up layer, limit or None) -> Phi-3-small's gegelu, B T F
Gegelu = Callable[[Tensor, nn.Linear, nn.Linear, float | None], Tensor]
# (… D, weight D, eps) -> … D
RmsNorm = Callable[[Tensor, Tensor, float], Tensor]
# (B T H E, cosines T R/2, sines T R/2) -> B H T E, its first R features rotated
Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]
# (B H T E, B K S E, B K S E, window or None, scale of the scores) -> B H T E; the queries are the
# last T of S positions
Attend = Callable[[Tensor, Tensor, Tensor, int | None, float], Tensor]
# as Attend, with a pattern of blocks instead of a window
AttendBlocks = Callable[[Tensor, Tensor, Tensor, BlockPattern, float], Tensor]
# (N D, experts of each token with their weights, gates X F D, ups X F D, downs X D F) -> N D
Experts = Callable[[Tensor, Choice, Tensor, Tensor, Tensor], Tensor]
# (N D, weight V D, bias V or None, targets N) -> mean nats
HeadLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]


class Kernels(NamedTuple):
    """One implementation of every operation."""

    project: Project
    gated: Gated
    gegelu: Gegelu
    rms_norm: RmsNorm
    rotate: Rotate
    attend: Attend
    attend_blocks: AttendBlocks
    head_loss: HeadLoss
    experts: Experts

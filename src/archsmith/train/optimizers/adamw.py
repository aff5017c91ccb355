"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), decoupled decay, in place on masters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from archsmith.train.optimizers.base import Optimizer, Target

# Elements per pass: the six passes of an update then find their operands in the cache
CHUNK_ELEMENTS = 2**16


class AdamW(Optimizer):
    """Moments are float32; bias correction as in the paper."""

    def __init__(
        self, targets: Sequence[Target], *, betas: tuple[float, float], eps: float
    ) -> None:
        self._targets = tuple(targets)
        self._betas, self._eps = betas, eps
        self._first = [torch.zeros_like(target.master) for target in targets]
        self._second = [torch.zeros_like(target.master) for target in targets]

    def step(self, *, number: int, factor: float) -> None:
        """Update `number` (from 0), at `factor` times the full rates."""
        beta1, beta2 = self._betas
        correction1, correction2 = 1 - beta1 ** (number + 1), 1 - beta2 ** (number + 1)
        for target, first, second in zip(self._targets, self._first, self._second, strict=True):
            rate, keep = target.learning_rate * factor / correction1, 1 - target.decay * factor
            tensors = (target.master, target.gradient, first, second)
            chunks = zip(*(t.view(-1).split(CHUNK_ELEMENTS) for t in tensors), strict=True)
            for weight, gradient, m, v in chunks:
                m.lerp_(gradient, 1 - beta1)
                v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                scale = (v / correction2).sqrt_().add_(self._eps)
                weight.mul_(keep).addcdiv_(m, scale, value=-rate)

    def state(self) -> dict[str, Tensor]:
        """The two moments of every tensor."""
        found = {}
        for target, first, second in zip(self._targets, self._first, self._second, strict=True):
            found[f"{target.name}.exp_avg"] = first
            found[f"{target.name}.exp_avg_sq"] = second
        return found

"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), decoupled decay, in place on masters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from archsmith.train.optimizers.base import Optimizer, Target

# torch's own one-pass update, which torch.optim.AdamW(fused=True) calls; private, so not relied on
_FUSED = getattr(torch, "_fused_adamw_", None)


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
        update = _in_passes if _FUSED is None else _in_one_pass
        for target, first, second in zip(self._targets, self._first, self._second, strict=True):
            update(
                target,
                first,
                second,
                number=number,
                factor=factor,
                betas=self._betas,
                eps=self._eps,
            )

    def state(self) -> dict[str, Tensor]:
        """The two moments of every tensor."""
        found = {}
        for target, first, second in zip(self._targets, self._first, self._second, strict=True):
            found[f"{target.name}.exp_avg"] = first
            found[f"{target.name}.exp_avg_sq"] = second
        return found


def _in_passes(
    target: Target,
    first: Tensor,
    second: Tensor,
    *,
    number: int,
    factor: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    beta1, beta2 = betas
    first.lerp_(target.gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(target.gradient, target.gradient, value=1 - beta2)
    scale = (second / (1 - beta2 ** (number + 1))).sqrt_().add_(eps)
    rate = target.learning_rate * factor / (1 - beta1 ** (number + 1))
    target.master.mul_(1 - target.decay * factor).addcdiv_(first, scale, value=-rate)


def _in_one_pass(
    target: Target,
    first: Tensor,
    second: Tensor,
    *,
    number: int,
    factor: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    assert _FUSED is not None
    _FUSED(
        [target.master],
        [target.gradient],
        [first],
        [second],
        [],
        [torch.tensor(float(number + 1), device=target.master.device)],
        lr=target.learning_rate * factor,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=target.decay / target.learning_rate,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )

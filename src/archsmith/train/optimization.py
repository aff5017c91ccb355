"""The optimizers of a network's flat weights, and one step of all of them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from archsmith.architecture.tree import Architecture
from archsmith.errors import DivergedError
from archsmith.train.optimizers.adamw import AdamW
from archsmith.train.optimizers.base import Optimizer, Target
from archsmith.train.optimizers.muon import Muon
from archsmith.train.parametrization import tensor_rule
from archsmith.train.recipe import Recipe
from archsmith.train.weights import FlatWeights


class Optimization:
    """Moves weights along the gradient that was gathered in their buffer.

    Tensors that want no gradient are left alone. Whoever calls `step` publishes the weights.
    """

    def __init__(
        self,
        weights: FlatWeights,
        *,
        architecture: Architecture,
        recipe: Recipe,
        dtype: torch.dtype,
    ) -> None:
        self._weights, self._recipe = weights, recipe
        self._optimizers = _make_optimizers(weights, architecture, recipe, dtype)

    def state(self) -> dict[str, Tensor]:
        """The optimizers' live tensors by name."""
        states = [optimizer.state() for optimizer in self._optimizers]
        return {name: tensor for state in states for name, tensor in state.items()}

    def step(
        self, losses: Sequence[Tensor], *, number: int, factor: float, of: str = ""
    ) -> list[float]:
        """One step at `factor` times the full rates; the losses as numbers.

        Losses and gradient norm are read together: it is the update's only synchronization.

        Args:
            number: of the update, from 0.
            of: whose losses they are, for the error's sentence.

        Raises:
            DivergedError: a loss or the gradient is not finite; the weights are as before.
        """
        gradient, recipe = self._weights.gradient, self._recipe
        *nats, norm = torch.stack([*(loss.detach() for loss in losses), gradient.norm()]).tolist()
        for what, value in (("loss", sum(nats)), ("gradient", norm)):
            if not math.isfinite(value):
                raise DivergedError(
                    f"the {what}{of} became {value} at step {number}, with a learning rate of "
                    f"{recipe.learning_rate:g}; a lower one or a longer warm-up may hold"
                )
        if norm > recipe.max_grad_norm:
            gradient.mul_(recipe.max_grad_norm / norm)
        for optimizer in self._optimizers:
            optimizer.step(number=number, factor=factor)
        return nats


def _make_optimizers(
    weights: FlatWeights, architecture: Architecture, recipe: Recipe, dtype: torch.dtype
) -> list[Optimizer]:
    targets: dict[bool, list[Target]] = {True: [], False: []}
    for slot in weights.slots:
        if not slot.parameter.requires_grad:
            continue
        rule = tensor_rule(
            slot.name, tuple(slot.master.shape), architecture=architecture, recipe=recipe
        )
        targets[rule.muon].append(
            Target(slot.name, slot.master, slot.gradient, rule.learning_rate, rule.decay)
        )
    return [
        Muon(targets[True], momentum=recipe.momentum, dtype=dtype),
        AdamW(targets[False], betas=recipe.betas, eps=recipe.adam_eps),
    ]

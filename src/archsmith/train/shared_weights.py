"""Weights that many networks share: updates in which several of them take part.

Each network of an update computes with views of the shared weights, and its gradient is added to
those entries of one float32 gradient that it used; then one step is made for all. The sandwich rule
(Yu & Huang 2019, arXiv 1903.05134; Yu et al. 2020, arXiv 2003.11142) takes the largest network, the
smallest and two at random.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from archsmith.architecture.tree import Architecture
from archsmith.device.training_choice import KernelChoice
from archsmith.model.elastic import copy_of, leading, view_of
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.fast import fast_kernels
from archsmith.model.kernels.sliced import for_slices
from archsmith.model.transformer import Transformer, build
from archsmith.train.allocator import keep_freed_memory
from archsmith.train.faults import memory_errors
from archsmith.train.optimization import Optimization
from archsmith.train.precision import choose_kernels
from archsmith.train.recipe import Recipe
from archsmith.train.weights import FlatWeights

_KEPT_PARTS = 256  # modules of parts; their weights are views, so that they hold next to nothing


class SharedWeights:
    """Masters and optimizer state of a largest network, whose parts learn in them.

    Computed with the kernels given, else with those the device was measured to want; parts are
    never compiled, as each would be for itself.

    Attributes:
        model: the largest network; it computes in `dtype`.
    """

    def __init__(
        self,
        largest: Architecture,
        *,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        kernels: KernelChoice | None = None,
    ) -> None:
        self.largest, self.recipe = largest, recipe
        self.device, self.dtype = device, dtype
        self.kernels = kernels or choose_kernels(dtype, device)
        self._kernels = fast_kernels(self.kernels)
        self._sliced_kernels = for_slices(self._kernels)
        if device.type == "cpu":
            keep_freed_memory()
        with memory_errors(f"making the supernet {largest.summary()}"):
            self.model = build(largest, seed=seed, device=device)
            self._weights = FlatWeights(self.model, dtype=dtype)
            # the largest network's own rules: parts differ from it by less than it from others
            self._optimization = Optimization(
                self._weights, architecture=largest, recipe=recipe, dtype=dtype
            )
        self._gradients = {slot.name: slot.gradient for slot in self._weights.slots}
        self.part = lru_cache(maxsize=_KEPT_PARTS)(self._make_part)

    def update(
        self,
        parts: Sequence[Architecture],
        batch: Int[np.ndarray, "B T"],
        *,
        number: int,
        factor: float,
    ) -> list[float]:
        """One step along the mean gradient of these networks on one batch; nats of each of them.

        Args:
            batch: windows of T tokens, of which the last T - 1 are targets.
            number, factor: of the update, from 0, and its share of the full rates.

        Raises:
            ConfigError: a network does not fit in the largest one.
            DivergedError: loss or gradient is not finite; the weights are as before.
            OutOfMemoryError: the update needs more memory than there is.
        """
        with memory_errors(f"training parts of the supernet {self.largest.summary()}"):
            self.clear_gradients()
            tokens = self.tokens(batch)
            losses = [self.add_gradients(part, tokens, 1.0 / len(parts)) for part in parts]
            return self.step(losses, number=number, factor=factor)

    def tokens(self, batch: Int[np.ndarray, "B T"]) -> Int[Tensor, "B T"]:
        """A batch on the device."""
        return torch.from_numpy(batch).to(self.device)

    def clear_gradients(self) -> None:
        """Begin a new update."""
        self._weights.gradient.zero_()

    def add_gradients(
        self, part: Architecture, tokens: Int[Tensor, "B T"], share: float
    ) -> Float[Tensor, ""]:
        """Add a network's gradient, times `share`, to the shared one; its loss."""
        model = self.part(part)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], self.kernels_of(model))
        loss.backward()
        self.take_gradients(model, share)
        return loss.detach()

    def take_gradients(self, model: Transformer, share: float) -> None:
        """Move the gradients of a network's parameters into the shared gradient, times `share`."""
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, f"{name} has no part in the loss"
            shared = leading(self._gradients[name], parameter.shape)
            if parameter.grad.dtype == shared.dtype:
                shared.add_(parameter.grad, alpha=share)
            else:
                shared.add_(parameter.grad.float(), alpha=share)
            parameter.grad = None

    def step(
        self, losses: Sequence[Float[Tensor, ""]], *, number: int, factor: float
    ) -> list[float]:
        """Move the weights along the gathered gradient; the losses as numbers."""
        nats = self._optimization.step(losses, number=number, factor=factor, of=" of the supernet")
        self._weights.publish()
        return nats

    @torch.no_grad()
    def nats(self, part: Architecture, batch: Int[np.ndarray, "B T"]) -> float:
        """Mean nats per token of a network with its share of the weights as they are."""
        model, tokens = self.part(part), self.tokens(batch)
        return model.loss(tokens[:, :-1], tokens[:, 1:], self.kernels_of(model)).item()

    def kernels_of(self, model: Transformer) -> Kernels:
        """What a network computes with: the largest one's weights are no slices."""
        return self._kernels if model is self.model else self._sliced_kernels

    def copy(self, part: Architecture) -> Transformer:
        """A network with float32 weights of its own, sliced from the masters."""
        whole = build(self.largest, seed=None, device=self.device)
        masters = self.masters()
        for name, parameter in whole.named_parameters():
            parameter.data = masters[name]
        return copy_of(whole, part)

    def masters(self) -> dict[str, Tensor]:
        """The live float32 weights by canonical name. Call `publish` after changing them."""
        return self._weights.masters()

    def optimizer_state(self) -> dict[str, Tensor]:
        """The optimizers' live tensors by name."""
        return self._optimization.state()

    def publish(self) -> None:
        """Let the networks compute with what the masters hold."""
        self._weights.publish()

    def _make_part(self, part: Architecture) -> Transformer:
        if part.network_hash == self.largest.network_hash:
            return self.model
        return view_of(self.model, part)

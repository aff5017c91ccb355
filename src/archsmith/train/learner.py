"""A model that learns: one update at a time, with everything an update changes in one place."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from archsmith.architecture.tree import Architecture
from archsmith.device.training_choice import KernelChoice
from archsmith.model.routing import Routing
from archsmith.model.transformer import Transformer, build
from archsmith.train.allocator import keep_freed_memory
from archsmith.train.balancing import correct_biases, new_routing
from archsmith.train.computation import is_compilers, loss_of, routes
from archsmith.train.faults import memory_errors
from archsmith.train.optimization import Optimization
from archsmith.train.precision import choose_kernels
from archsmith.train.recipe import Recipe
from archsmith.train.weights import FlatWeights


class Learner:
    """Model, float32 masters and optimizer state of one architecture on one device.

    Computed with the kernels given, else with those the device was measured to want.

    Attributes:
        expert_shares: of the last update, for each layer that routes: the share of its assignments
            that each expert got, [X].
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        kernels: KernelChoice | None = None,
    ) -> None:
        self.architecture, self.recipe, self._seed = architecture, recipe.of(architecture), seed
        self.device, self.dtype = device, dtype
        if device.type == "cpu":
            keep_freed_memory()
        with memory_errors(f"making {architecture.summary()}"):
            self._model = build(architecture, seed=seed, device=device)
            self._weights = FlatWeights(self._model, dtype=dtype)
            self._optimization = Optimization(
                self._weights, architecture=architecture, recipe=self.recipe, dtype=dtype
            )
        self._kernels = kernels or choose_kernels(dtype, device)
        self._loss = loss_of(self._model, self._kernels)
        self._routes = routes(self._model)
        self.expert_shares: list[Tensor] = []

    def update(self, batch: Int[np.ndarray, "B T"], *, number: int, factor: float) -> float:
        """Update `number` (from 0) at `factor` times the full rates; the loss in nats per token.

        Args:
            batch: windows of T tokens, of which the last T - 1 are targets.

        Raises:
            DivergedError: loss or gradient is not finite; the weights are as before.
            OutOfMemoryError: the update needs more memory than there is.
        """
        with memory_errors(f"training {self.architecture.summary()}"):
            tokens = torch.from_numpy(batch).to(self.device)
            routing = None
            if self._routes:
                routing = new_routing(seed=self._seed, number=number, device=self.device)
            loss = self._backward(tokens, routing)
            self._weights.take_gradients()
            (nats,) = self._optimization.step([loss], number=number, factor=factor)
            if routing is not None:
                rate = self.recipe.router_bias_update_rate * factor
                correct_biases(self._biases, routing, rate=rate)
                self.expert_shares = routing.shares()
            self._weights.publish()
        return nats

    def _backward(self, tokens: Int[Tensor, "B T"], routing: Routing | None) -> Tensor:
        """The loss, its gradients added to the parameters'."""
        try:
            loss: Tensor = self._loss(tokens[:, :-1], tokens[:, 1:], routing=routing)
            (loss if routing is None else loss + self._auxiliary_loss(routing)).backward()
        except Exception as error:
            if self._kernels.compile == "no" or not is_compilers(error):
                raise
            warnings.warn(
                f"{self.architecture.summary()} is trained without compiling, which failed: "
                f"{type(error).__name__}: {str(error).splitlines()[0]}",
                stacklevel=2,
            )
            self._kernels = self._kernels.model_copy(update={"compile": "no"})
            self._loss = loss_of(self._model, self._kernels)
            for parameter in self._model.parameters():
                parameter.grad = None
            return self._backward(tokens, routing)
        return loss

    def masters(self) -> dict[str, Tensor]:
        """The live float32 weights by canonical name. Call `publish` after changing them."""
        return self._weights.masters()

    def optimizer_state(self) -> dict[str, Tensor]:
        """The optimizers' live tensors by name."""
        return self._optimization.state()

    def publish(self) -> None:
        """Let the model compute with what the masters hold."""
        self._weights.publish()

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Whatever is learnt inside is undone at the end."""
        live = [self._weights.master, *self.optimizer_state().values()]
        with memory_errors("keeping a trunk beside its branch"):
            kept = [tensor.clone() for tensor in live]
        try:
            yield
        finally:
            for tensor, before in zip(live, kept, strict=True):
                tensor.copy_(before)
            self.publish()

    def model(self) -> Transformer:
        """A float32 copy of the model as it is now, on the same device."""
        copy = build(self.architecture, seed=None, device=self.device)
        masters = self.masters()
        with torch.no_grad():
            for name, parameter in copy.named_parameters():
                parameter.copy_(masters[name])
        return copy

    @property
    def _biases(self) -> list[Tensor]:
        """Masters that no gradient moves: correction biases, in the order of layers."""
        return [slot.master for slot in self._weights.slots if not slot.parameter.requires_grad]

    def _auxiliary_loss(self, routing: Routing) -> Tensor:
        return routing.loss(
            balance_coef=self.recipe.router_aux_loss_coef, z_coef=self.recipe.router_z_loss_coef
        )

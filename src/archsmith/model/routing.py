"""What the routers of one training pass decided: losses that keep experts in use, and their loads.

Both losses are added to the training loss alone; reported and held-out losses are cross-entropy.

- Load balance (Switch Transformer, Fedus et al. 2021, arXiv 2101.03961, as in Mixtral): X times the
  sum over experts of (assignments per token · mean probability). Even routing gives K.
- Router z-loss (ST-MoE, Zoph et al. 2022, arXiv 2202.08906): mean of logsumexp(logits)², which
  keeps logits small.

Both are means over layers, so their weight does not grow with depth. A router with a correction
bias has neither: the bias balances it (Wang et al. 2024, arXiv 2408.15664).

Letters: L layers that route, X experts, K experts per token, N tokens.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Choice(NamedTuple):
    """Experts of each token, with their weights in the model's dtype."""

    experts: Int[Tensor, "N K"]
    weights: Float[Tensor, "N K"]


class RoutedLayer(NamedTuple):
    """One layer's decisions. `logits` and `probabilities` are None where a bias balances."""

    loads: Int[Tensor, " X"]  # assignments to each expert
    logits: Float[Tensor, "N X"] | None
    probabilities: Float[Tensor, "N X"] | None


class Routing:
    """Handed through one training pass; routers draw their noise from it and write to it.

    A pass without one (scoring, generation) draws no noise.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.layers: list[RoutedLayer] = []

    def add(
        self,
        choice: Choice,
        num_experts: int,
        *,
        logits: Float[Tensor, "N X"] | None,
        probabilities: Float[Tensor, "N X"] | None,
    ) -> None:
        """Write down a layer's decisions; layers come in order."""
        loads = torch.bincount(choice.experts.flatten(), minlength=num_experts)
        self.layers.append(RoutedLayer(loads, logits, probabilities))

    def loss(self, *, balance_coef: float, z_coef: float) -> Float[Tensor, ""]:
        """Both auxiliary losses of the pass, weighted; float32."""
        terms = [
            balance_coef * load_balancing_loss(layer.loads, layer.probabilities)
            + z_coef * router_z_loss(layer.logits)
            for layer in self.layers
            if layer.logits is not None and layer.probabilities is not None
        ]
        return torch.stack(terms).mean() if terms else torch.zeros(())

    def shares(self) -> list[Float[Tensor, " X"]]:
        """Share of each layer's assignments that its experts got; they sum to 1."""
        return [layer.loads / layer.loads.sum() for layer in self.layers]


def load_balancing_loss(
    loads: Int[Tensor, " X"], probabilities: Float[Tensor, "N X"]
) -> Float[Tensor, ""]:
    """X · Σ over experts of (assignments per token · mean probability); K where both are even."""
    num_tokens, num_experts = probabilities.shape
    return (loads * probabilities.mean(0)).sum() * (num_experts / num_tokens)


def router_z_loss(logits: Float[Tensor, "N X"]) -> Float[Tensor, ""]:
    """Mean over tokens of the squared log of the sum of exponentials."""
    return logits.float().logsumexp(-1).square().mean()

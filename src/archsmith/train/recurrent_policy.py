"""A distribution over the parts of a supernet, drawn one choice after the other by an LSTM.

The controller of ENAS (Pham et al. 2018, arXiv 1802.03268): an LSTM of 100 units reads the option
taken last and scores those of the next choice, so that each choice depends on the ones before it.
A score z becomes the logit 2.5 tanh(z / 5), which keeps a policy from closing early.

Options are left out where no part has them after those taken so far: every draw is a part that
exists. Before anything is learned all options left are about equally likely at each choice.

Shapes: N prefixes (of one length, that some part begins with), K options of a choice, H units,
M members.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from archsmith.architecture.elastic import Elastic
from archsmith.train.optimizers.adamw import AdamW
from archsmith.train.optimizers.base import Target

_UNITS, _SPAN = 100, 0.1  # of the LSTM; of its initial weights, uniform around 0
_TEMPERATURE, _TANH_CONSTANT = 5.0, 2.5
# the entropy over all members takes one step of the LSTM for each prefix, about 10 ms for so many
_MOST_PREFIXES = 512
MOST_NAMED = 128  # members: what is written beside every score
_LEAST_SHARE = 1e-6  # keeps the logarithm finite for options that no member has
_START = 0  # the number of the input before the first choice; options follow

_Cell = tuple[Float[Tensor, "N H"], Float[Tensor, "N H"]]


class _Level(NamedTuple):
    """The prefixes that one choice comes after, and those that its options make of them."""

    allowed: Bool[Tensor, "N K"]  # whether some member goes on so
    following: Int[np.ndarray, "N K"]  # the number of the prefix that is made; of a member at last
    parents: Int[Tensor, " following"]
    options: Int[Tensor, " following"]


class Likelihood(NamedTuple):
    """Of a member, to be differentiated; the entropy is the policy's, in nats."""

    log_probability: Float[Tensor, ""]
    entropy: Float[Tensor, ""]


class RecurrentPolicy:
    """The LSTM and the Adam that moves it.

    Args:
        rng: of the initial weights.
    """

    def __init__(
        self,
        elastic: Elastic,
        *,
        learning_rate: float,
        betas: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        self._dimensions = elastic.dimensions
        sizes = [len(dimension.options) for dimension in elastic.dimensions]
        self._members = np.array(elastic.members, dtype=np.int64)
        self._members = self._members.reshape(len(elastic.members), len(sizes))
        self._levels = _levels(self._members, sizes)
        num_prefixes = sum(len(level.allowed) for level in self._levels)
        self._exact = num_prefixes <= _MOST_PREFIXES
        starts = np.cumsum([0, *sizes]).tolist()
        self._spans = list(pairwise(starts))
        # tensors, not modules: theirs draw from the global generator
        shapes = {
            "embedding": (1 + starts[-1], _UNITS),
            "input": (4 * _UNITS, _UNITS),
            "recurrent": (4 * _UNITS, _UNITS),
            "head": (starts[-1], _UNITS),
        }
        self._weights = {
            name: torch.tensor(
                rng.uniform(-_SPAN, _SPAN, size=shape), dtype=torch.float32, requires_grad=True
            )
            for name, shape in shapes.items()
        }
        targets = [
            Target(name, weight.detach(), torch.zeros_like(weight), learning_rate, 0.0)
            for name, weight in self._weights.items()
        ]
        self._gradients = [target.gradient for target in targets]
        self._adam = AdamW(targets, betas=betas, eps=1e-8)

    @torch.no_grad()
    def draw(self, rng: np.random.Generator) -> int:
        """The number of a member."""
        prefix, inputs, cell = 0, torch.tensor([_START]), _empty()
        for step, level in enumerate(self._levels):
            logs, cell = self._choose(step, inputs, cell, level.allowed[prefix][None])
            shares = logs[0].double().exp().numpy()
            option = int(rng.choice(len(shares), p=shares / shares.sum()))
            prefix, inputs = int(level.following[prefix, option]), self._inputs(step, option)
        return prefix

    def likelihood(self, member: int) -> Likelihood:
        """How likely a member is, and how open the policy.

        The entropy is that over all members where their prefixes are few enough. Else it is that of
        the choices on the member's way, the mean of which over draws is the same.
        """
        if self._exact:
            logs, entropy = self._all()
            return Likelihood(logs[member], entropy)
        prefix, inputs, cell = 0, torch.tensor([_START]), _empty()
        log, entropy = torch.zeros(()), torch.zeros(())
        for step, (level, option) in enumerate(
            zip(self._levels, self._members[member].tolist(), strict=True)
        ):
            logs, cell = self._choose(step, inputs, cell, level.allowed[prefix][None])
            log, entropy = log + logs[0, option], entropy + _entropy(logs)[0]
            prefix, inputs = int(level.following[prefix, option]), self._inputs(step, option)
        return Likelihood(log, entropy)

    @torch.no_grad()
    def log_probabilities(self) -> Float[Tensor, " M"]:
        """Of every member."""
        return self._all()[0]

    def step(self, loss: Float[Tensor, ""], *, number: int) -> None:
        """Move the network down the gradient of a loss, as Adam's step `number`."""
        if not loss.requires_grad:  # one member alone leaves nothing to choose
            return
        found = torch.autograd.grad(
            loss, list(self._weights.values()), allow_unused=True, materialize_grads=True
        )
        for gradient, new in zip(self._gradients, found, strict=True):
            gradient.copy_(new)
        self._adam.step(number=number, factor=1.0)

    def state(self) -> dict[str, Tensor]:
        """The live tensors by name."""
        return {**self._weights, **self._adam.state()}

    def marginals(self) -> list[Float[np.ndarray, " K"]]:
        """Of each choice, how likely its options are over all draws."""
        shares = self.log_probabilities().double().exp().numpy()
        return [
            np.bincount(options, weights=shares, minlength=len(dimension.options))
            for dimension, options in zip(self._dimensions, self._members.T, strict=True)
        ]

    def named_members(self) -> Mapping[str, float]:
        """`DIMENSION=OPTION, DIMENSION=OPTION, ...` to the logarithm of how likely that member is.

        Of the likeliest `MOST_NAMED`; what these leave of a whole is the others'. Nothing where
        there is one choice or none: `named_logits` says all then.
        """
        if len(self._dimensions) < 2:
            return {}
        logs = self.log_probabilities()
        kept = torch.sort(logs, descending=True, stable=True).indices[:MOST_NAMED].tolist()
        return {
            ", ".join(
                f"{dimension.name}={dimension.options[option]}"
                for dimension, option in zip(self._dimensions, self._members[member], strict=True)
            ): float(logs[member])
            for member in kept
        }

    def named_logits(self) -> Mapping[str, float]:
        """`DIMENSION=OPTION` to the logarithm of how likely it is over all draws.

        The mean of each choice is at 0, over those options that some member has. These are
        marginals: what one choice says about another is not in them.
        """
        found: dict[str, float] = {}
        for dimension, shares in zip(self._dimensions, self.marginals(), strict=True):
            logs = np.log(np.maximum(shares, _LEAST_SHARE))
            centred = logs - logs[shares > 0].mean()
            for option, logit in zip(dimension.options, centred.tolist(), strict=True):
                found[f"{dimension.name}={option}"] = logit
        return found

    def _all(self) -> tuple[Float[Tensor, " M"], Float[Tensor, ""]]:
        """Logarithms of the members' probabilities, and their entropy, level by level."""
        inputs, cell = torch.tensor([_START]), _empty()
        totals, entropy = torch.zeros(1), torch.zeros(())
        for step, level in enumerate(self._levels):
            logs, cell = self._choose(step, inputs, cell, level.allowed)
            entropy = entropy + (totals.exp() * _entropy(logs)).sum()
            totals = totals[level.parents] + logs[level.parents, level.options]
            hidden, memory = cell
            cell = hidden[level.parents], memory[level.parents]
            inputs = 1 + self._spans[step][0] + level.options
        return totals, entropy

    def _choose(
        self,
        step: int,
        inputs: Int[Tensor, " N"],
        cell: _Cell,
        allowed: Bool[Tensor, "N K"],
    ) -> tuple[Float[Tensor, "N K"], _Cell]:
        """Logarithms of the shares of a choice's options, and the LSTM's state after it."""
        weights, (hidden, memory) = self._weights, cell
        gates = weights["embedding"][inputs] @ weights["input"].T + hidden @ weights["recurrent"].T
        keep, write, show, new = gates.split(_UNITS, dim=1)
        memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
        hidden = show.sigmoid() * memory.tanh()
        low, high = self._spans[step]
        scores = hidden @ weights["head"][low:high].T
        logits = _TANH_CONSTANT * torch.tanh(scores / _TEMPERATURE)
        logs = torch.log_softmax(logits.masked_fill(~allowed, -torch.inf), dim=1)
        return logs, (hidden, memory)

    def _inputs(self, step: int, option: int) -> Int[Tensor, " 1"]:
        return torch.tensor([1 + self._spans[step][0] + option])


def _empty() -> _Cell:
    return torch.zeros(1, _UNITS), torch.zeros(1, _UNITS)


def _levels(members: Int[np.ndarray, "M C"], sizes: list[int]) -> list[_Level]:
    """The tree of prefixes, a level for each choice."""
    found, prefixes = [], np.zeros(len(members), dtype=np.int64)
    for size, options in zip(sizes, members.T, strict=True):
        taken, following = np.unique(prefixes * size + options, return_inverse=True)
        numbers = np.full((prefixes.max() + 1) * size, -1)
        numbers[taken] = np.arange(len(taken))
        numbers = numbers.reshape(-1, size)
        parents, options = torch.from_numpy(taken // size), torch.from_numpy(taken % size)
        found.append(_Level(torch.from_numpy(numbers >= 0), numbers, parents, options))
        prefixes = following
    assert (prefixes == np.arange(len(members))).all(), "members ascend"
    return found


def _entropy(logs: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    return -(logs.exp() * logs.masked_fill(logs == -torch.inf, 0.0)).sum(1)

"""Which networks an update of shared weights trains: four answers from the field.

What is drawn depends on seed, number of the update and the state alone, so that an interrupted run
and an uninterrupted one end in the same bits on the same machine.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from archsmith.architecture.elastic import Elastic
from archsmith.architecture.tree import Architecture
from archsmith.data.loader import BatchOrder
from archsmith.errors import ConfigError
from archsmith.model.relaxation import Masks, relaxed, why_not_relaxable
from archsmith.train.member_policy import MemberPolicy
from archsmith.train.recurrent_policy import RecurrentPolicy
from archsmith.train.shared_weights import SharedWeights
from archsmith.train.supernet_plan import SupernetPlan

# keep these draws apart from other uses of the seed
_PATHS, _POLICY, _POLICY_WEIGHTS = 0x70617468, 0x706F6C69, 0x706F6C77


class Parts(NamedTuple):
    """What a method works with; `held_out` is text that the weights are not trained on."""

    shared: SharedWeights
    elastic: Elastic
    order: BatchOrder
    held_out: BatchOrder
    plan: SupernetPlan
    seed: int


class Update(NamedTuple):
    """Nats per token of the last network trained, and the FLOPs of everything done."""

    nats: float
    flops: float


class Method(ABC):
    """One way to train shared weights."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @abstractmethod
    def update(self, number: int, factor: float, *, warm: bool) -> Update:
        """Update `number`; policies stay as they are until the weights are `warm`."""

    def state(self) -> dict[str, Tensor]:
        """Live tensors beside weights and optimizer; copying into them restores the method."""
        return {}

    def logits(self) -> Mapping[str, float]:
        """What a policy has learned, by `DIMENSION=OPTION`."""
        return {}

    def _train(self, networks: Sequence[Architecture], number: int, factor: float) -> Update:
        shared, order = self.parts.shared, self.parts.order
        nats = shared.update(networks, order.batch(number), number=number, factor=factor)
        return Update(nats[-1], sum(3.0 * self._flops(network) for network in networks))

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng([stream, self.parts.seed, number])

    def _uniform(self, rng: np.random.Generator) -> Architecture:
        elastic = self.parts.elastic
        return elastic.member(int(rng.integers(len(elastic.members))))

    def _flops(self, network: Architecture) -> float:
        """Of a batch's forward pass."""
        order = self.parts.order
        return float(network.flops_per_token(order.context_tokens) * order.batch_tokens)


class Sandwich(Method):
    """Largest, smallest, and some at random on the same batch, one step (arXiv 1903.05134)."""

    def update(self, number: int, factor: float, *, warm: bool) -> Update:
        """Train them; the nats are the largest network's."""
        elastic, rng = self.parts.elastic, self._rng(_PATHS, number)
        drawn = [self._uniform(rng) for _ in range(self.parts.plan.num_random)]
        return self._train([elastic.smallest, *drawn, elastic.largest], number, factor)


class SinglePath(Method):
    """One network, uniformly (arXiv 1904.00420)."""

    def update(self, number: int, factor: float, *, warm: bool) -> Update:
        """Train it."""
        return self._train([self._uniform(self._rng(_PATHS, number))], number, factor)


class Enas(Method):
    """One network from a policy, which in turns learns by REINFORCE (arXiv 1802.03268).

    The policy is the paper's LSTM, see `archsmith.train.recurrent_policy`. The reward is minus the
    nats per token of a held-out batch with inherited weights.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.policy = RecurrentPolicy(
            parts.elastic,
            learning_rate=parts.plan.policy_learning_rate or 0.001,
            betas=(0.0, 0.999),  # no momentum, as in the authors' code
            rng=self._rng(_POLICY_WEIGHTS, 0),
        )
        self._progress = torch.zeros(2)  # the baseline, and the policy's steps so far

    def update(self, number: int, factor: float, *, warm: bool) -> Update:
        """Train one network, and after every `shared_steps` of them the policy."""
        plan, elastic = self.parts.plan, self.parts.elastic
        network = elastic.member(self.policy.draw(self._rng(_PATHS, number)))
        done = self._train([network], number, factor)
        if not warm or (number + 1) % plan.shared_steps:
            return done
        flops = done.flops
        for _ in range(plan.policy_steps):
            flops += self.learn()
        return Update(done.nats, flops)

    def learn(self) -> float:
        """Score one drawn network and move the policy; the FLOPs of that."""
        parts, number = self.parts, int(self._progress[1])
        member = self.policy.draw(self._rng(_POLICY, number))
        network = parts.elastic.member(member)
        reward = -parts.shared.nats(network, parts.held_out.batch(number))
        self.reinforce(member, reward)
        return self._flops(network)

    def reinforce(self, member: int, reward: float) -> None:
        """REINFORCE with a moving average as its baseline, and a bonus for entropy."""
        plan, number = self.parts.plan, int(self._progress[1])
        baseline = float(self._progress[0]) if number else reward
        found = self.policy.likelihood(member)
        bonus = plan.entropy_coef * found.entropy
        self.policy.step(-(reward - baseline) * found.log_probability - bonus, number=number)
        decay = plan.baseline_decay
        self._progress[0] = decay * baseline + (1 - decay) * reward
        self._progress[1] += 1

    def state(self) -> dict[str, Tensor]:
        """The policy's weights with their moments, baseline and number of steps."""
        return {"progress": self._progress, **self.policy.state()}

    def logits(self) -> Mapping[str, float]:
        """The policy's: centred logarithms of its marginal probabilities, to look at, and those of
        its likeliest networks, to draw by."""
        return {**self.policy.named_logits(), **self.policy.named_members()}


class Darts(Method):
    """All networks at once, mixed by a softmax; first order, in turns (arXiv 1806.09055).

    Masks stand for the mixture: see `archsmith.model.relaxation`. Raises ConfigError where they
    cannot.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        rate = parts.plan.policy_learning_rate or 0.01
        self.policy = MemberPolicy(parts.elastic, learning_rate=rate, betas=(0.5, 0.999))
        self._steps = torch.zeros(1)
        sizes, largest = parts.elastic.sizes, parts.elastic.largest
        kinds = (
            ("hidden_size", largest.hidden_size),
            ("intermediate_size", largest.layers[0].feed_forward.intermediate_size),
            ("num_attention_heads", largest.layers[0].mixer.num_attention_heads),
            ("num_hidden_layers", largest.num_hidden_layers),
        )
        # has_M?[m, j]: whether member m has the j-th feature, unit, head or layer
        self._has: list[Tensor | None] = []
        for name, size in kinds:
            own = torch.tensor([getattr(member, name) for member in sizes])
            has = (own[:, None] > torch.arange(size)).float()
            self._has.append(has if len(own.unique()) > 1 else None)
        groups = {size.num_attention_heads // size.num_key_value_heads for size in sizes}
        reason = why_not_relaxable(
            largest, width=self._has[0] is not None, heads=self._has[2] is not None
        )
        if len(groups) > 1:
            reason = "heads that share a key head in some networks have their own in others"
        if reason is not None:
            raise ConfigError(
                f"masks cannot mix these networks: {reason}; leave one choice of it, or take "
                "another method than 'darts'"
            )

    def update(self, number: int, factor: float, *, warm: bool) -> Update:
        """The softmax by held-out text, then the weights by training text."""
        shared = self.parts.shared
        flops = 3.0 * self._flops(self.parts.elastic.largest)
        if warm:
            self.learn(int(self._steps))
            self._steps += 1
        shared.clear_gradients()
        tokens = shared.tokens(self.parts.order.batch(number))
        with torch.no_grad():
            masks = self.masks(self.policy.logits)
        with relaxed(shared.model, masks):
            loss = shared.model.loss(tokens[:, :-1], tokens[:, 1:], shared.kernels_of(shared.model))
            loss.backward()
        shared.take_gradients(shared.model, 1.0)
        (nats,) = shared.step([loss.detach()], number=number, factor=factor)
        return Update(nats, flops * (1 + warm))

    def learn(self, number: int) -> None:
        """Move the logits along the gradient of a held-out batch's loss; the weights stay."""
        shared = self.parts.shared
        tokens = shared.tokens(self.parts.held_out.batch(number))
        live = self.policy.live_logits()
        with relaxed(shared.model, self.masks(live)):
            loss = shared.model.loss(tokens[:, :-1], tokens[:, 1:], shared.kernels_of(shared.model))
        self.policy.step(loss, live, number=number)

    def masks(self, logits: Float[Tensor, " O"]) -> Masks:
        """How likely each feature, unit, head and layer is part of the network."""
        shares = self.policy.log_probabilities(logits).exp()
        device = self.parts.shared.device
        found = [None if has is None else (shares @ has).to(device) for has in self._has]
        return Masks(*found)

    def state(self) -> dict[str, Tensor]:
        """Logits with their moments, and their steps."""
        return {"steps": self._steps, **self.policy.state()}

    def logits(self) -> Mapping[str, float]:
        """The softmax's."""
        return self.policy.named_logits()


METHODS: dict[str, type[Method]] = {
    "sandwich": Sandwich, "single_path": SinglePath, "enas": Enas, "darts": Darts,
}  # fmt: skip

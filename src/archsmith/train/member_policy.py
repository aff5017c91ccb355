"""A distribution over the parts of a supernet: one logit per option of each choice.

A part's probability is proportional to the exponential of its options' logits, over the parts that
exist: combinations that do not go together or break a limit have none.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from archsmith.architecture.elastic import Elastic
from archsmith.train.optimizers.adamw import AdamW
from archsmith.train.optimizers.base import Target


class MemberPolicy:
    """Logits and the Adam that moves them; uniform at first."""

    def __init__(
        self, elastic: Elastic, *, learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self._dimensions = elastic.dimensions
        starts = np.cumsum([0, *(len(d.options) for d in elastic.dimensions)])
        self.logits = torch.zeros(int(starts[-1]))
        # the number of each option among all, of each member: M C
        options = np.array(elastic.members, dtype=np.int64).reshape(len(elastic.members), -1)
        self._options = torch.from_numpy(options + starts[None, : options.shape[1]])
        self._gradient = torch.zeros_like(self.logits)
        target = Target("logits", self.logits, self._gradient, learning_rate, 0.0)
        self._adam = AdamW([target], betas=betas, eps=1e-8)

    def log_probabilities(self, logits: Float[Tensor, " O"]) -> Float[Tensor, " M"]:
        """Of every member, given these logits."""
        return torch.log_softmax(logits[self._options].sum(1), dim=0)

    def draw(self, rng: np.random.Generator) -> int:
        """The number of a member."""
        shares = self.log_probabilities(self.logits).double().exp().numpy()
        return int(rng.choice(len(shares), p=shares / shares.sum()))

    def live_logits(self) -> Float[Tensor, " O"]:
        """A copy of the logits that a loss can be differentiated by."""
        return self.logits.clone().requires_grad_()

    def step(self, loss: Float[Tensor, ""], live: Float[Tensor, " O"], *, number: int) -> None:
        """Move the logits down the gradient of a loss of `live`, as Adam's step `number`."""
        (gradient,) = torch.autograd.grad(loss, live)
        self._gradient.copy_(gradient)
        self._adam.step(number=number, factor=1.0)

    def state(self) -> dict[str, Tensor]:
        """The live tensors by name."""
        return {"logits": self.logits, **self._adam.state()}

    def named_logits(self) -> Mapping[str, float]:
        """`DIMENSION=OPTION` to its logit, each choice's mean at 0."""
        found: dict[str, float] = {}
        sizes = [len(dimension.options) for dimension in self._dimensions]
        for dimension, logits in zip(self._dimensions, self.logits.split(sizes), strict=True):
            centred = (logits - logits.mean()).tolist()
            for option, logit in zip(dimension.options, centred, strict=True):
                found[f"{dimension.name}={option}"] = logit
        return found

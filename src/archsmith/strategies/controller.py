"""The recurrent controller of Zoph & Le 2016 (arXiv 1611.01578), trained by policy gradient.

A two-layer LSTM of 35 units draws one choice after the other, each given those before. After every
finished trial its weights move along the gradient of that trial's log-probability times how much
better than an exponential average of earlier rewards it was (REINFORCE with a baseline, Adam).

Nothing is stored: the controller is trained again from the history, trial by trial, with the same
initial weights, so the same history gives the same controller. A history that continues the one
seen last continues its training. On a ladder a trial counts with its score at the first rung it
finished, by the time of that (`_rungs`): a promotion leaves what was learned as it is. A history in
which an earlier trial changed all the same is learned from the beginning, about 4 ms a trial: where
a trial failed after its first rung, where an objective's score at the first rung is not known (a
task's), or where a score came late and there is no ladder.

What was drawn and breaks a limit known beforehand, or names no row of a recorded table, is drawn
anew. Where all draws are such, the nearest point that may be tried stands in for the first, and it
is that point the network learns from.

Rewards are minus the objective in standard deviations of those seen so far at the same rung, the
mean over objectives where there are several. A trial outside measured limits is worth less than any
within them, the less the farther outside it is (Deb's rule), whatever its objectives; failed trials
teach nothing.
"""

import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from archsmith.strategies._choices import Answer, Choices
from archsmith.strategies._drafts import DRAFTS, Draft, Finished, first_new
from archsmith.strategies._rungs import at_first_rungs
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_DRAWS = 2
_DRAWN_AT_ONCE = 2 * DRAFTS // 5  # which leaves a fifth of the drafts for what stands in
_SPAN = 0.08  # initial weights, uniform
_MOST = 3.0  # standard deviations a reward may be away; outside limits up to twice that


class Controller(Strategy):
    """Draws choices from a recurrent network that learns which ones pay.

    Attributes:
        hidden_size: units of a layer.
        num_layers: of the LSTM.
        learning_rate: of Adam. The paper's 0.0006 is meant for thousands of trials.
        baseline_decay: of the average of earlier rewards.
    """

    type: Literal["controller"] = "controller"
    hidden_size: PositiveInt = 35
    num_layers: PositiveInt = 2
    learning_rate: PositiveFloat = 0.01
    baseline_decay: float = Field(default=0.9, ge=0.0, lt=1.0)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        def drafts() -> Iterator[Draft]:
            policy = _policy(problem, self)
            policy.learn(at_first_rungs(problem, history))
            known = {observation.architecture for observation in history}
            refused = []
            for _ in range(_DRAWS):
                for answer in policy.draw(_DRAWN_AT_ONCE, rng):
                    point = policy.choices.point(answer)
                    if point is not None:
                        yield Draft(point)
                    refused.append(answer)
            # the gradient is that of what was drawn: what stands in for it comes last
            for answer in refused:
                yield from policy.choices.instead(problem, answer, known, rng)

        return first_new(problem, history, rng, drafts, strategy=self.type)


@lru_cache(maxsize=4)
def _policy(problem: Problem, strategy: Controller) -> "_Policy":
    return _Policy(problem, strategy)


class _Policy:
    """The network with what it has learned from.

    Options of all choices are numbered through: first the groups, then every choice's own. The
    number is the network's input at the next step, and its output is masked to the choice's own.
    """

    def __init__(self, problem: Problem, strategy: Controller) -> None:
        self.choices: Choices = Choices(problem.space, purpose=strategy.type)
        self._settings, self._seed = strategy, problem.seed
        self._has_ladder = len(problem.rungs) > 1
        sizes = [len(self.choices.groups)]
        sizes += [choice.size for group in self.choices.groups for choice in group]
        starts = list(accumulate(sizes, initial=0))
        self._num_options = starts[-1]
        spans = list(pairwise(starts))
        self._spans: list[list[tuple[int, int]]] = []  # of a group's steps, the group itself first
        place = 1
        for group in self.choices.groups:
            self._spans.append([spans[0], *spans[place : place + len(group)]])
            place += len(group)
        self._start()

    def _start(self) -> None:
        import torch
        from torch import nn

        generator = torch.Generator().manual_seed(self._seed)
        settings, options = self._settings, self._num_options
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
            self._network: Any = nn.ModuleDict(
                {
                    "embedding": nn.Embedding(options + 1, settings.hidden_size),
                    "lstm": nn.LSTM(
                        settings.hidden_size,
                        settings.hidden_size,
                        settings.num_layers,
                        batch_first=True,
                    ),
                    "head": nn.Linear(settings.hidden_size, options),
                }
            )
        with torch.no_grad():
            for weight in self._network.parameters():
                weight.uniform_(-_SPAN, _SPAN, generator=generator)
        self._adam = torch.optim.Adam(self._network.parameters(), lr=settings.learning_rate)
        self._learned: list[Finished] = []
        self._baseline: float | None = None
        self._seen: dict[int, _Seen] = {}  # by rung

    def learn(self, trials: Sequence[Finished]) -> None:
        """Train on what is new; from the beginning where the history is another one."""
        if list(trials[: len(self._learned)]) != self._learned:
            self._start()
        for trial in trials[len(self._learned) :]:
            self._reinforce(trial)
            self._learned.append(trial)

    def _reinforce(self, trial: Finished) -> None:
        reward = self._reward(trial)
        if self._baseline is None:
            self._baseline = reward
        advantage = reward - self._baseline
        decay = self._settings.baseline_decay
        self._baseline = decay * self._baseline + (1 - decay) * reward
        if advantage == 0:
            return
        loss = -advantage * self._log_probability(self.choices.answer(trial.point))
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()

    def _reward(self, trial: Finished) -> float:
        """Within limits from -3 to 3, outside from -3 to -6."""
        if trial.excess > 0:
            return -_MOST * (2 - 1 / (1 + trial.excess))
        rung = trial.rung if self._has_ladder else 0
        return self._seen.setdefault(rung, _Seen(trial.values)).reward(trial.values)

    def _log_probability(self, answer: Answer) -> Any:
        import torch

        spans = self._spans[answer.group]
        options = [
            low + o for (low, _), o in zip(spans, (answer.group, *answer.options), strict=True)
        ]
        inputs = torch.tensor([[self._num_options, *options[:-1]]])
        hidden, _ = self._network["lstm"](self._network["embedding"](inputs))
        logits = self._network["head"](hidden[0])  # [T, options]
        total = logits.new_zeros(())
        for step, ((low, high), option) in enumerate(zip(spans, options, strict=True)):
            total = total + torch.log_softmax(logits[step, low:high], dim=0)[option - low]
        return total

    def draw(self, count: int, rng: random.Random) -> list[Answer]:
        """Answers from the network's distribution; all of one call in the same steps."""
        import torch

        drawn: list[list[int]] = [[] for _ in range(count)]
        last = torch.full((count, 1), self._num_options)
        state: Any = None
        with torch.no_grad():
            for step in range(max(len(spans) for spans in self._spans)):
                hidden, state = self._network["lstm"](self._network["embedding"](last), state)
                logits = self._network["head"](hidden[:, 0])
                for row, options in enumerate(drawn):
                    spans = self._spans[options[0] if options else 0]
                    if step >= len(spans):
                        continue
                    low, high = spans[step]
                    weights = torch.softmax(logits[row, low:high].double(), dim=0).tolist()
                    options.append(rng.choices(range(high - low), weights)[0])
                    last[row, 0] = low + options[-1]
        return [Answer(options[0], tuple(options[1:])) for options in drawn]


class _Seen:
    """The mean and deviation of the values of one rung so far."""

    def __init__(self, first: Sequence[float]) -> None:
        # sums around the first values, so that squares do not swallow small differences
        self._first = first
        self._count, self._sums = 0, [(0.0, 0.0)] * len(first)

    def reward(self, values: Sequence[float]) -> float:
        """Minus the mean over objectives of the value in standard deviations, it included."""
        self._count += 1
        count, reward = self._count, 0.0
        for place, (value, first) in enumerate(zip(values, self._first, strict=True)):
            total, squares = self._sums[place]
            total, squares = total + (value - first), squares + (value - first) ** 2
            self._sums[place] = (total, squares)
            variance = squares / count - (total / count) ** 2
            away = (value - first) - total / count
            if variance > 0:
                reward -= min(max(away / math.sqrt(variance), -_MOST), _MOST)
        return reward / len(values)


PART = Controller

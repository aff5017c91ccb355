"""The contract of a strategy: subclass `StrategyContract` and give it a `strategy` fixture."""

import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any, ClassVar

import pytest

from archsmith import registry
from archsmith.config import canonical_json
from archsmith.errors import InfeasibleError
from archsmith.space import presets
from archsmith.strategies.base import Strategy
from archsmith.testing.toy import run_search, toy_metrics, toy_problem
from archsmith.trial import Observation, Problem, TrialState


class StrategyContract:
    """Feasible and new points, from any history, the same for the same generator.

        class TestMine(StrategyContract):
            strategy = pytest.fixture(lambda self: PART())

    Attributes:
        beats_random: whether the strategy learns: the mean of its best loss over seeds must be
            below random search's after 100 trials.
    """

    beats_random: ClassVar[bool] = False

    @pytest.fixture
    def strategy(self) -> Strategy:
        """The strategy under test."""
        raise NotImplementedError("give the class a fixture named 'strategy'")

    def test_its_settings_survive_json(self, strategy: Strategy) -> None:
        read = type(strategy).model_validate_json(canonical_json(strategy))
        assert read == strategy

    def test_every_proposal_is_new_feasible_and_of_the_space(self, strategy: Strategy) -> None:
        problem = toy_problem()
        history = run_search(strategy, problem, 60)
        points = [observation.architecture for observation in history]
        assert len(set(points)) == len(points)
        assert all(problem.feasible(point) for point in points)
        assert all(problem.space.contains(point) for point in points)

    def test_start_points_come_first_and_each_once(self, strategy: Strategy) -> None:
        plain, rng = toy_problem(), random.Random(9)
        start = [p for p in (plain.space.sample(rng) for _ in range(40)) if plain.feasible(p)][:3]
        too_big = max((plain.space.sample(rng) for _ in range(40)), key=lambda p: p.num_params)
        problem = toy_problem(start=[start[0], too_big, *start[1:]])
        history = run_search(strategy, problem, 6)
        assert [observation.architecture for observation in history[:3]] == start
        assert not set(start) & {observation.architecture for observation in history[3:]}

    def test_the_same_history_and_generator_give_the_same_proposal(
        self, strategy: Strategy
    ) -> None:
        first = run_search(strategy, toy_problem(), 40)
        again = run_search(strategy, toy_problem(), 40)
        assert first == again

    def test_a_killed_search_goes_on_as_if_nothing_had_happened(self, strategy: Strategy) -> None:
        whole = run_search(strategy, toy_problem(), 40)
        copied = [Observation.model_validate(o.model_dump(), strict=False) for o in whole[:25]]
        kept = [
            copy.model_copy(update={"architecture": original.architecture})
            for copy, original in zip(copied, whole, strict=False)
        ]
        resumed = run_search(
            type(strategy)(**strategy.model_dump()), toy_problem(), 40, history=kept
        )
        assert resumed == whole

    @pytest.mark.parametrize(
        "kind",
        [
            "all failed",
            "all rejected",
            "all pending",
            "not a number",
            "infinite",
            "no metrics",
            "one finished",
            "constant",
            "duplicates",
            "one objective missing",
            "all of these",
        ],
    )
    def test_any_history_is_survived(self, strategy: Strategy, kind: str) -> None:
        for objectives in (("bits_per_byte",), ("bits_per_byte", "decode_ms_per_token")):
            problem = toy_problem(objectives=objectives)
            history = _history(problem, kind)
            known = {observation.architecture for observation in history}
            for number in range(len(history), len(history) + 5):
                proposal = strategy.propose(problem, history, problem.rng(number))
                assert problem.feasible(proposal.architecture)
                assert proposal.architecture not in known

    @pytest.mark.parametrize("milliseconds", ["broken by all", "not a number", "unknown", "mixed"])
    def test_any_measured_limit_is_survived(self, strategy: Strategy, milliseconds: str) -> None:
        """Of what no cost model knows: it is met or broken once a trial was measured."""
        for objectives in (("bits_per_byte",), ("bits_per_byte", "file_bytes")):
            limits = ("file_bytes <= 200KiB", "decode_ms_per_token <= 2")
            problem = toy_problem(objectives=objectives, limits=limits)
            history = _measured(_history(problem, "as they are"), milliseconds)
            known = {observation.architecture for observation in history}
            for number in range(len(history), len(history) + 5):
                proposal = strategy.propose(problem, history, problem.rng(number))
                assert problem.feasible(proposal.architecture)
                assert proposal.architecture not in known

    def test_several_objectives_are_searched(self, strategy: Strategy) -> None:
        problem = toy_problem(objectives=("bits_per_byte", "decode_ms_per_token", "file_bytes"))
        history = run_search(strategy, problem, 45)
        assert len({observation.architecture for observation in history}) == 45

    def test_a_small_space_is_exhausted_and_then_repeated(self, strategy: Strategy) -> None:
        space = presets.tiny(
            families=("llama", "phi"),
            hidden_sizes=(32, 64),
            depths=(1, 2),
            head_dims=(32,),
            heads_per_kv_head=(1,),
            intermediate_ratios=(2.0,),
            quantizations=("Q8_0",),
            partial_rotary_factors=(0.5,),
        )
        problem = toy_problem(space=space, limits=("num_params <= 90K",))
        feasible = {point for point in space.points() if problem.feasible(point)}
        assert 5 < len(feasible) < space.size()
        history = run_search(strategy, problem, len(feasible) + 2)
        assert {observation.architecture for observation in history} == feasible

    def test_nothing_feasible_is_said_so(self, strategy: Strategy) -> None:
        problem = toy_problem(limits=("file_bytes <= 1KiB",))
        with pytest.raises(InfeasibleError, match="file_bytes"):
            strategy.propose(problem, (), problem.rng(0))

    def test_a_thousand_trials_are_no_obstacle(self, strategy: Strategy) -> None:
        """How long it takes is measured, not tested: `benchmarks/proposal_time.py`."""
        problem, history = _thousand_trials()
        point = strategy.propose(problem, history, problem.rng(1000)).architecture
        assert problem.feasible(point)
        assert point not in {observation.architecture for observation in history}

    def test_it_beats_random_search_where_it_learns(self, strategy: Strategy) -> None:
        if not self.beats_random:
            pytest.skip("the strategy does not claim to learn")
        own = fmean(_best(strategy, seed) for seed in range(5))
        others = fmean(_best(registry.find("strategies", "random")(), seed) for seed in range(5))
        assert own < others


@cache
def _thousand_trials() -> tuple[Problem, tuple[Observation, ...]]:
    space = presets.portable(max_params="8M", quantizations=("Q4_0", "Q4_K_M", "Q8_0"))
    rng, points = random.Random(0), dict[Any, None]()
    while len(points) < 1000:
        points[space.sample(rng)] = None
    history = tuple(
        Observation(
            number=number,
            architecture=point,
            state=TrialState.COMPLETE,
            metrics=toy_metrics(point),
        )
        for number, point in enumerate(points)
    )
    return toy_problem(space=space, limits=("file_bytes <= 4MiB",)), history


def _best(strategy: Strategy, seed: int) -> float:
    history = run_search(strategy, toy_problem(seed=seed), 100)
    return min(observation.metrics["bits_per_byte"] for observation in history)


def _history(problem: Problem, kind: str) -> tuple[Observation, ...]:
    rng, points = random.Random(kind), dict[Any, None]()
    while len(points) < 30:
        points[problem.space.sample(rng)] = None
    history = [
        Observation(
            number=number, architecture=point, state=TrialState.COMPLETE, metrics=toy_metrics(point)
        )
        for number, point in enumerate(points)
    ]
    return tuple(_spoiled(history, kind))


def _spoiled(history: Sequence[Observation], kind: str) -> list[Observation]:
    if kind == "one finished":
        return list(history[:1])
    if kind == "duplicates":
        twice = [*history, *history]
        return [o.model_copy(update={"number": number}) for number, o in enumerate(twice)]
    if kind == "all of these":  # as an unlucky search mixes them
        kinds = (
            "all failed",
            "all rejected",
            "all pending",
            "not a number",
            "infinite",
            "no metrics",
        )
        return [
            _spoiled([o], kinds[place % len(kinds)])[0] if place % 2 else o
            for place, o in enumerate(history)
        ]
    nothing: dict[str, float] = {}
    first = dict(history[0].metrics)
    changes: dict[str, dict[str, Any]] = {
        "all failed": {"state": TrialState.FAILED, "metrics": nothing, "reason": "diverged"},
        "all rejected": {"state": TrialState.REJECTED, "metrics": nothing},
        "all pending": {"state": TrialState.PENDING, "metrics": nothing},
        "not a number": {"metrics": {**first, "bits_per_byte": math.nan}},
        "infinite": {"metrics": {**first, "bits_per_byte": math.inf}},
        "no metrics": {"metrics": nothing},
        "constant": {"metrics": first},
        "one objective missing": {"metrics": {"bits_per_byte": 1.0}},
    }
    return [observation.model_copy(update=changes.get(kind, {})) for observation in history]


def _measured(history: Sequence[Observation], kind: str) -> tuple[Observation, ...]:
    """The same trials with other milliseconds a token; the limit on them is 2."""

    def metrics(place: int, known: Mapping[str, float]) -> dict[str, float]:
        of = (
            kind
            if kind != "mixed"
            else ("broken by all", "not a number", "met", "unknown")[place % 4]
        )
        values = {"broken by all": 20.0 + place, "not a number": math.nan, "met": 1.0 + place / 100}
        left = {name: value for name, value in known.items() if name != "decode_ms_per_token"}
        return left | ({"decode_ms_per_token": values[of]} if of in values else {})

    return tuple(
        observation.model_copy(update={"metrics": metrics(place, observation.metrics)})
        for place, observation in enumerate(history)
    )

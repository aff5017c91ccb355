"""Each of the field's classics does what its paper says."""

import random

import numpy as np
import pytest

from archsmith import registry
from archsmith.errors import ConfigError
from archsmith.space import presets
from archsmith.space.feasible import sample_feasible
from archsmith.strategies import decoder_params_evolution
from archsmith.strategies._ensemble import Ensemble
from archsmith.strategies.bananas import Bananas
from archsmith.strategies.decoder_params_evolution import DecoderParamsEvolution, _parents
from archsmith.strategies.largest_five import LargestFive
from archsmith.strategies.local_search import LocalSearch
from archsmith.strategies.regularized_evolution import RegularizedEvolution
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import TableSpace, run_search, toy_problem
from archsmith.trial import Limit, Observation, Problem, TrialState


class TestLocalSearch(StrategyContract):
    strategy = pytest.fixture(lambda self: LocalSearch(num_start=3))


class TestLocalSearchRestarting(StrategyContract):
    strategy = pytest.fixture(
        lambda self: LocalSearch(num_start=2, move="best", at_optimum="restart")
    )


class TestLargestFive(StrategyContract):
    strategy = pytest.fixture(lambda self: LargestFive())


class TestDecoderParamsEvolution(StrategyContract):
    strategy = pytest.fixture(
        lambda self: DecoderParamsEvolution(population_size=12, generations=3, children=12)
    )


class TestBananas(StrategyContract):
    strategy = pytest.fixture(
        lambda self: Bananas(per_iteration=20, num_steps=60, num_networks=3, pool_size=40)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local_search", "bananas", "controller"])
def test_it_beats_random_search_as_it_is_by_default(name):
    def best(strategy, seed):
        history = run_search(strategy, toy_problem(seed=seed), 100)
        return min(observation.metrics["bits_per_byte"] for observation in history)

    own, drawn = (registry.find("strategies", one)() for one in (name, "random"))
    assert np.mean([best(own, seed) - best(drawn, seed) for seed in range(5)]) < 0


@pytest.mark.parametrize("sample_size", [3, 8])
def test_evolution_takes_its_parents_from_the_youngest(sample_size):
    # the longer the search, the worse the points: without ageing the first would stay parents
    strategy = RegularizedEvolution(population_size=8, sample_size=sample_size)
    problem = Problem(space=TableSpace((9,) * 6), objectives=("loss",), static_metrics=lambda p: {})
    history, number = [], 0
    while number < 40:
        proposal = strategy.propose(problem, tuple(history), problem.rng(number))
        youngest = history[-8:]
        if number >= 8:
            assert set(proposal.parents) <= {trial.number for trial in youngest}
            assert min(trial.metrics["loss"] for trial in history[:-8] or history) <= min(
                trial.metrics["loss"] for trial in youngest
            )
            if sample_size == 8:
                best = min(youngest, key=lambda trial: trial.metrics["loss"])
                assert proposal.parents == (best.number,)
        history.append(
            Observation(
                number=number,
                architecture=proposal.architecture,
                state=TrialState.COMPLETE,
                metrics={"loss": float(number // 4 * 4 + (number * 7) % 4)},
            )
        )
        number += 1


def grid(sizes, *, loss, objectives=("loss",), seed=0, n_trials=40, strategy):
    """A search over a grid whose every point has a known loss."""
    problem = Problem(
        space=TableSpace(sizes), objectives=objectives, static_metrics=lambda p: {}, seed=seed
    )
    return run_search(strategy, problem, n_trials, metrics=loss)


def bowl(point):
    return {"loss": float(sum((value - 3) ** 2 for value in point))}


def apart(first, second):
    return sum(a != b for a, b in zip(first, second, strict=True))


def test_a_descent_tries_all_neighbours_then_moves_to_the_best():
    strategy = LocalSearch(num_start=1, move="best", at_optimum="restart")
    history = grid((6, 6, 6), loss=bowl, n_trials=31, strategy=strategy)
    start = history[0]
    first = history[1:16]
    assert all(apart(start.architecture, o.architecture) == 1 for o in first)
    assert len({o.architecture for o in first}) == 15
    best = min((start, *first), key=lambda o: o.metrics["loss"])
    second = [o for o in history[16:] if o.parents == (best.number,)]
    assert second
    assert history[16] in second


def test_a_descent_moves_at_once_where_it_is_told_so():
    history = grid((9, 9, 9, 9), loss=bowl, n_trials=70, strategy=LocalSearch(num_start=1))
    by_number = {o.number: o for o in history}
    incumbent = history[0]
    for trial in history[1:]:
        if incumbent.metrics["loss"] == 0:
            break
        assert trial.parents == (incumbent.number,)
        assert apart(by_number[trial.parents[0]].architecture, trial.architecture) == 1
        if trial.metrics["loss"] < incumbent.metrics["loss"]:
            incumbent = trial
    assert incumbent.metrics["loss"] == 0


def test_at_a_local_optimum_a_descent_starts_anew_or_goes_on_from_the_next_best():
    again = LocalSearch(num_start=1, at_optimum="restart")
    history = grid((3, 3), loss=bowl, n_trials=9, strategy=again)
    bottom = next(i for i, o in enumerate(history) if o.metrics["loss"] == 2)
    starts = [o.number for o in history if not o.parents]
    assert any(number > bottom for number in starts)
    goes_on = grid((3, 3), loss=bowl, n_trials=9, strategy=LocalSearch(num_start=1))
    assert [o.number for o in goes_on if not o.parents] == [0]


def test_with_two_objectives_neighbours_of_the_front_are_tried():
    def loss(point):
        return {"loss": float(point[0]), "cost": float(9 - point[0] + point[1])}

    history = grid(
        (10, 4), loss=loss, objectives=("loss", "cost"), n_trials=30,
        strategy=LocalSearch(num_start=2),
    )  # fmt: skip
    for trial in history[2:]:
        before = [o.metrics for o in history[: trial.number]]
        parent = history[trial.parents[0]].metrics
        assert not any(
            m["loss"] <= parent["loss"] and m["cost"] <= parent["cost"] and m != parent
            for m in before
        )


def larger_by_climbing(problem, point, rng, *, tries):
    """A feasible network with more non-embedding parameters, by moves of the space; None if none.

    An independent search: it knows nothing of lines, depths or bounds.
    """
    for _ in range(tries):
        other = problem.space.mutate(point, rng)
        for _ in range(rng.randrange(3)):
            other = problem.space.mutate(other, rng)
        if other.num_non_embedding_params > point.num_non_embedding_params and problem.feasible(
            other
        ):
            return other
    return None


@pytest.mark.parametrize(
    "limits",
    [("file_bytes <= 1MiB",), ("num_params <= 3M", "context_length >= 300")],
    ids=["bytes", "parameters and context"],
)
def test_nothing_that_fits_is_larger_than_the_five_largest(limits):
    space = presets.portable(quantizations=("Q4_0", "Q8_0"))
    problem = toy_problem(space=space, limits=limits)
    history = run_search(LargestFive(), problem, 5, metrics=lambda p: {})
    assert {o.strategy for o in history} == {"largest_five"}
    points = [o.architecture for o in history]
    sizes = [point.num_non_embedding_params for point in points]
    assert sizes == sorted(sizes, reverse=True)
    assert all(problem.feasible(point) for point in points)
    shapes = {(p.hidden_size, p.num_hidden_layers, p.num_non_embedding_params) for p in points}
    assert len(shapes) == 5
    rng = random.Random(0)
    climbed = [sample_feasible(problem, rng) for _ in range(2)] + points[:1]
    for point in climbed:
        while (larger := larger_by_climbing(problem, point, rng, tries=80)) is not None:
            point = larger
        assert point.num_non_embedding_params <= sizes[0]


def test_in_a_small_space_the_five_largest_are_those_of_a_full_count():
    space = presets.tiny(
        families=("llama", "phi"),
        hidden_sizes=(32, 64),
        depths=(1, 2, 3, 4),
        heads_per_kv_head=(1, 2),
        quantizations=("Q4_0", "Q8_0"),
    )
    for limits in (("file_bytes <= 60KiB",), ("num_params <= 90K", "cache_bytes <= 20KiB"), ()):
        problem = toy_problem(space=space, limits=limits)
        ranked = sorted(
            {
                (p.num_non_embedding_params, p.hidden_size, p.num_hidden_layers)
                for p in space.points()
                if problem.feasible(p)
            },
            reverse=True,
        )
        count = min(len(ranked), 12)
        history = run_search(LargestFive(), problem, count, metrics=lambda p: {})
        points = [o.architecture for o in history]
        assert [p.num_non_embedding_params for p in points] == [size for size, _, _ in ranked][
            :count
        ]


def test_what_does_not_count_stays_as_usual_where_that_fits():
    space = presets.portable(quantizations=("Q4_0", "Q8_0"), hidden_sizes=(128,), depths=(2, 3))
    problem = toy_problem(space=space, limits=())
    point = LargestFive().propose(problem, (), random.Random(0)).architecture
    assert point.quantization == "Q8_0"
    assert point.tie_word_embeddings
    vocabularies = space.branches[0].choices("vocabulary")
    assert point.vocab_size == vocabularies[(len(vocabularies) - 1) // 2].vocab_size


def test_the_proxys_front_is_trained_before_anything_else():
    size = {(i, j): 1.0 + 10 * i + j for i in range(8) for j in range(8)}
    cost = {(i, j): 1.0 + 10 * i + (7 - j) for i in range(8) for j in range(8)}
    front = {(i, 7) for i in range(8)}
    problem = Problem(
        space=TableSpace((8, 8)),
        objectives=("loss", "cost"),
        static_metrics=lambda p: {"num_non_embedding_params": size[p], "cost": cost[p]},
    )
    history = run_search(
        DecoderParamsEvolution(), problem, 8, metrics=lambda p: {"loss": 1 / size[p]}
    )
    points = [o.architecture for o in history]
    assert set(points) == front
    assert points[:2] == [(7, 7), (0, 7)]  # the largest, then the farthest from it
    unproxied = Problem(space=TableSpace((2, 2)), objectives=("loss",), static_metrics=lambda p: {})
    with pytest.raises(ConfigError, match="needs the metric 'num_non_embedding_params'"):
        DecoderParamsEvolution().propose(unproxied, (), random.Random(0))


def test_where_costs_are_only_limited_the_most_decoder_parameters_are_trained_first():
    strategy = DecoderParamsEvolution(population_size=12, generations=4, children=12)
    problem = toy_problem(limits=("file_bytes <= 120KiB",))
    points = [o.architecture for o in run_search(strategy, problem, 15)]
    sizes = [point.num_non_embedding_params for point in points]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert all(problem.feasible(point) for point in points)
    # the same costs as an objective: the largest, then the smallest of the front
    traded = toy_problem(
        limits=("file_bytes <= 120KiB",), objectives=("bits_per_byte", "file_bytes")
    )
    first, second, *others = [o.architecture for o in run_search(strategy, traded, 15)]
    size = [traded.static_metrics(point)["file_bytes"] for point in (first, second)]
    assert size[1] < 0.5 * size[0]
    assert min(p.num_non_embedding_params for p in others) > second.num_non_embedding_params


def test_with_limits_alone_a_front_is_still_what_evolution_looks_for(monkeypatch):
    # parents kept: the front of the most parameters for the fewest bytes, not the largest alone
    kept = []

    def record(seen, size):
        kept.append(found := _parents(seen, size))
        return found

    monkeypatch.setattr(decoder_params_evolution, "_parents", record)
    problem = toy_problem(limits=("file_bytes <= 120KiB",), seed=5)
    strategy = DecoderParamsEvolution(population_size=10, generations=5, children=12)
    strategy.propose(problem, (), problem.rng(0))
    sizes = [point.num_non_embedding_params for point in kept[-1]]
    assert min(sizes) < 0.2 * max(sizes)


def test_evolution_without_training_respects_limits():
    problem = toy_problem(limits=("file_bytes <= 120KiB",))
    points = [o.architecture for o in run_search(DecoderParamsEvolution(), problem, 6)]
    largest = max(point.num_non_embedding_params for point in points)
    rng = random.Random(3)
    samples = [p for p in (problem.space.sample(rng) for _ in range(300)) if problem.feasible(p)]
    assert largest >= max(point.num_non_embedding_params for point in samples)


def test_an_ensemble_predicts_and_doubts_where_it_saw_nothing():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, (80, 3))
    outputs = np.c_[np.abs(inputs[:, 0]) + inputs[:, 1], 100 * inputs[:, 2]]
    settings = {"num_networks": 5, "num_layers": 3, "hidden_size": 20, "num_steps": 400}
    ensemble = Ensemble(inputs, outputs, **settings, batch_size=32, seed=1)
    near = rng.uniform(-0.9, 0.9, (50, 3))
    true = np.c_[np.abs(near[:, 0]) + near[:, 1], 100 * near[:, 2]]
    predicted = ensemble.predict(near)
    assert predicted.shape == (5, 50, 2)
    error = np.abs(predicted.mean(axis=0) - true).mean(axis=0)
    assert error[0] < 0.1
    assert error[1] < 10
    assert ensemble.predict(near * 5).std(axis=0).mean() > 3 * predicted.std(axis=0).mean()


def test_the_gradient_is_that_of_the_absolute_error():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    ensemble = Ensemble(
        x, y, num_networks=2, num_layers=2, hidden_size=4, num_steps=3, batch_size=4, seed=0
    )
    batch = np.broadcast_to(x, (2, 7, 3)), np.broadcast_to(y, (2, 7, 2))

    def error():
        return np.abs(ensemble._forward(batch[0])[-1] - batch[1]).mean(axis=(1, 2)).sum()

    gradient = ensemble._gradient(*batch)
    for place in range(0, len(gradient), 5):
        kept = ensemble._flat[place]
        ensemble._flat[place] = kept + 1e-6
        above = error()
        ensemble._flat[place] = kept - 1e-6
        assert gradient[place] == pytest.approx((above - error()) / 2e-6, abs=1e-5)
        ensemble._flat[place] = kept


def test_after_its_start_the_ensemble_chooses_among_mutants_of_the_best():
    strategy = Bananas(num_start=8, per_iteration=4, num_parents=3, num_steps=150)
    history = grid((5,) * 6, loss=bowl, n_trials=60, strategy=strategy)
    assert all(not o.parents for o in history[:8])
    assert all(o.parents for o in history[8:])
    for number in range(8, 60, 4):
        ranked = sorted(history[:number], key=lambda o: o.metrics["loss"])
        best = {o.number for o in ranked if o.metrics["loss"] <= ranked[2].metrics["loss"]}
        assert {o.parents[0] for o in history[number : number + 4]} <= best
    values = [o.metrics["loss"] for o in history]
    assert np.mean(values[40:]) < 0.6 * np.mean(values[:8])


def test_metrics_known_without_training_are_not_predicted():
    problem = Problem(
        space=TableSpace((6, 6, 6)),
        objectives=("loss", "num_params"),
        limits=[Limit(metric="num_params", comparison="<=", value=14)],
        static_metrics=lambda p: {"num_params": float(sum(p))},
    )
    history = run_search(Bananas(num_steps=60), problem, 60, metrics=lambda p: {
        "loss": -float(sum(p)), "num_params": float(sum(p)),
    })  # fmt: skip
    assert all(problem.feasible(o.architecture) for o in history)
    sizes = [sum(o.architecture) for o in history[10:]]
    assert {0, 1, 14} <= set(sizes)  # both ends of the front are reached

"""Strategies over a supernet: evolution over inherited scores, and what a learned policy says."""

import math
import random
from collections import Counter

import pytest

from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.strategies.darts import Darts
from archsmith.strategies.enas import Enas
from archsmith.strategies.single_path_one_shot import SinglePathOneShot
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import TableSpace, run_search, toy_metrics, toy_problem
from archsmith.trial import Observation, Problem, TrialState

SPACE = presets.tiny(
    families=("llama",),
    hidden_sizes=(32, 64),
    depths=(1, 2, 3),
    head_dims=(16,),
    heads_per_kv_head=(1,),
    intermediate_ratios=(1.5, 2.0, 3.0),
    vocabularies=(Vocabulary(257, 64),),
    tie_word_embeddings=(True,),
    quantizations=("Q4_0", "Q8_0"),
)
LOGITS = {
    "logit:num_hidden_layers=1": -0.4,
    "logit:num_hidden_layers=2": 0.9,
    "logit:num_hidden_layers=3": -0.5,
    "logit:hidden_size=32": -0.3,
    "logit:hidden_size=64": 0.3,
    "logit:intermediate_ratio=1.5": 0.2,
    "logit:intermediate_ratio=2.0": -0.2,
    "logit:intermediate_ratio=3.0": 0.0,
}


class TestSinglePathOneShot(StrategyContract):
    beats_random = True
    strategy = pytest.fixture(lambda self: SinglePathOneShot(population_size=12, num_parents=4))


class TestEnas(StrategyContract):
    strategy = pytest.fixture(lambda self: Enas())


class TestDarts(StrategyContract):
    strategy = pytest.fixture(lambda self: Darts())


def problem(limits=("file_bytes <= 900KiB",), space=SPACE):
    return toy_problem(space=space, limits=limits)


def with_policy(point):
    return {**toy_metrics(point), **LOGITS}


def values(point):
    found = SPACE.values(point)
    return found["num_hidden_layers"], found["hidden_size"], found["intermediate_ratio"]


def test_darts_takes_the_strongest_option_of_each_choice_then_the_next():
    history = run_search(Darts(), problem(), 8, metrics=with_policy)
    points = [observation.architecture for observation in history]
    assert history[0].strategy == "darts"
    assert values(points[1]) == values(points[2]) == (2, 64, 1.5)  # in both quantizations
    assert {points[1].quantization, points[2].quantization} == {"Q4_0", "Q8_0"}
    assert values(points[3]) == (2, 64, 3.0)
    totals = [
        sum(
            LOGITS[f"logit:{name}={value}"]
            for name, value in zip(
                ("num_hidden_layers", "hidden_size", "intermediate_ratio"), values(point),
                strict=True,
            )
        )
        for point in points[1:]
    ]  # fmt: skip
    assert totals == sorted(totals, reverse=True)


def logit_sum(point):
    found = SPACE.values(point)
    return sum(LOGITS.get(f"logit:{name}={value}", 0.0) for name, value in found.items())


def test_darts_takes_the_strongest_that_meets_the_limits():
    tight = problem(limits=("num_params <= 60K",))
    history = run_search(Darts(), tight, 3, metrics=with_policy)
    feasible = [point for point in SPACE.points() if tight.feasible(point)]
    assert max(map(logit_sum, feasible)) < max(map(logit_sum, SPACE.points()))  # the limit bites
    left = [point for point in feasible if point != history[0].architecture]
    strongest = sorted(map(logit_sum, left), reverse=True)
    assert [logit_sum(o.architecture) for o in history[1:]] == pytest.approx(strongest[:2])


def test_enas_draws_in_proportion_to_the_policy():
    start = problem()
    first = SPACE.sample(random.Random(0))
    seen = (
        Observation(
            number=0,
            architecture=first,
            state=TrialState.COMPLETE,
            metrics=with_policy(first),
        ),
    )
    drawn = Counter(
        values(Enas().propose(start, seen, random.Random(seed)).architecture)[0]
        for seed in range(200)
    )
    assert drawn[2] > 2 * drawn[1] > 0
    assert drawn[3] > 0


def test_enas_draws_networks_that_the_policy_names_whole():
    """What one choice says of another: the marginals of these four are all a half."""
    named = {
        "logit:num_hidden_layers=1, hidden_size=32": math.log(0.49),
        "logit:num_hidden_layers=2, hidden_size=64": math.log(0.49),
        "logit:num_hidden_layers=1, hidden_size=64": math.log(0.01),
    }
    first = SPACE.sample(random.Random(0))
    seen = (
        Observation(
            number=0,
            architecture=first,
            state=TrialState.COMPLETE,
            metrics={**toy_metrics(first), **LOGITS, **named},
        ),
    )
    start = problem(limits=())
    drawn = Counter(
        values(Enas().propose(start, seen, random.Random(seed)).architecture)[:2]
        for seed in range(200)
    )
    # in proportion, whatever else the space lets a network have; the rest is 0.01
    assert drawn[1, 32] > 60
    assert drawn[2, 64] > 60
    assert drawn[1, 32] + drawn[2, 64] > 180


def test_a_policy_is_not_needed_to_propose():
    for strategy in (Enas(), Darts()):
        proposal = strategy.propose(problem(), (), random.Random(0))
        assert proposal.note == "no policy in the history: sampled"
    table = Problem(space=TableSpace((3, 4)), objectives=("loss",), static_metrics=lambda point: {})
    history = run_search(
        Darts(), table, 12, metrics=lambda point: {"loss": float(sum(point)), **LOGITS}
    )
    assert len({observation.architecture for observation in history}) == 12


def test_a_generation_descends_from_the_best_of_all_before_it():
    strategy = SinglePathOneShot(population_size=6, num_parents=2)
    history = run_search(strategy, toy_problem(), 18)
    assert all(not observation.parents for observation in history[:6])
    for begun in (6, 12):
        ranked = sorted(history[:begun], key=lambda o: o.metrics["bits_per_byte"])
        best = {observation.number for observation in ranked[:2]}
        for observation in history[begun : begun + 6]:
            assert set(observation.parents) <= best
    children = [observation for observation in history[6:] if observation.parents]
    assert {len(observation.parents) for observation in children} == {1, 2}

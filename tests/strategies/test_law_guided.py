"""Law-guided search keeps the contract, learns, and says what it was guided by."""

import math
import random
import re

import numpy as np
import pytest
from botorch.acquisition.multi_objective import logei as hypervolume_logei
from torch.utils import cpp_extension

from archsmith.errors import ConfigError, EvaluationError
from archsmith.replay.space import Dimension
from archsmith.replay.space import TableSpace as RecordedSpace
from archsmith.strategies import _fits
from archsmith.strategies._drafts import Finished, finished, merit
from archsmith.strategies._pool import by_merit
from archsmith.strategies.law_guided import LawGuided
from archsmith.strategies.random import Random
from archsmith.surrogate.earlier import read_earlier, write_earlier
from archsmith.surrogate.surrogate import update_surrogate
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.strategy import _history as spoiled_history
from archsmith.testing.toy import TableSpace, run_search, toy_metrics, toy_problem
from archsmith.trial import Limit, Observation, Problem, Rung, TrialState

KINDS = ["all failed", "all rejected", "all pending", "not a number", "infinite", "no metrics"]
KINDS += ["one finished", "constant", "duplicates", "one objective missing"]
QUICK = {"pool_size": 24, "max_fitted": 24, "refit_share": 3.0, "iterations": 5}


@pytest.mark.slow
class TestContract(StrategyContract):
    """With small settings; the promises do not depend on them."""

    strategy = pytest.fixture(lambda self: LawGuided(**QUICK))

    def test_a_thousand_trials_are_no_obstacle(self, strategy):
        super().test_a_thousand_trials_are_no_obstacle(LawGuided())


def best(strategy, problem, n_trials):
    history = run_search(strategy, problem, n_trials)
    return min(observation.metrics["bits_per_byte"] for observation in history)


@pytest.mark.slow
def test_twenty_trials_find_more_than_random_search_does():
    own = [
        best(LawGuided(pool_size=48, iterations=10), toy_problem(seed=seed), 20)
        for seed in range(2)
    ]
    others = [best(Random(), toy_problem(seed=seed), 20) for seed in range(2)]
    assert sum(own) < sum(others)


@pytest.mark.parametrize("kind", ["all failed", "all pending", "not a number", "one finished"])
@pytest.mark.parametrize("objectives", [("bits_per_byte",), ("bits_per_byte", "file_bytes")])
def test_poor_histories_are_survived(kind, objectives):
    problem, rng = toy_problem(objectives=objectives), random.Random(0)
    points = list(dict.fromkeys(problem.space.sample(rng) for _ in range(8)))
    state = {"all failed": TrialState.FAILED, "all pending": TrialState.PENDING}
    history = []
    for number, point in enumerate(points):
        metrics = toy_metrics(point)
        if kind == "not a number":
            metrics["bits_per_byte"] = math.nan
        known = kind == "not a number" or (kind == "one finished" and number == 0)
        observation = Observation(
            number=number,
            architecture=point,
            state=state.get(kind, TrialState.COMPLETE if known else TrialState.FAILED),
        )
        history.append(observation.model_copy(update={"metrics": metrics if known else {}}))
    proposal = LawGuided(**QUICK, num_start=1).propose(problem, history, problem.rng(9))
    assert problem.feasible(proposal.architecture)
    assert proposal.architecture not in points


@pytest.mark.parametrize("objectives", [2, 3])
def test_nothing_is_compiled_in_the_middle_of_a_search(objectives, monkeypatch):
    compiled = []
    monkeypatch.setattr(hypervolume_logei, "_load_attempted", False)
    monkeypatch.setattr(cpp_extension, "load", lambda **options: compiled.append(options))
    names = ("bits_per_byte", "decode_ms_per_token", "file_bytes")[:objectives]
    problem = toy_problem(objectives=names)
    history = run_search(LawGuided(**QUICK), problem, 8)
    assert " by " in LawGuided(**QUICK).propose(problem, history, problem.rng(8)).note
    assert not compiled


def test_the_note_says_what_guided():
    problem = toy_problem(objectives=("bits_per_byte", "decode_ms_per_token", "file_bytes"))
    history = run_search(LawGuided(**QUICK), problem, 8)
    proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(8))
    assert proposal.note.startswith("bits_per_byte by ")
    assert "decode_ms_per_token by " in proposal.note
    assert "file_bytes" not in proposal.note


@pytest.mark.slow
def test_a_space_without_decoders_is_guided_by_choices():
    space = TableSpace((3,) * 6)
    problem = Problem(space=space, objectives=("error",), static_metrics=lambda point: {}, seed=3)

    def metrics(point):
        return {"error": 5 + sum(abs(c - 1) for c in point) + 2 * (point[0] != point[5])}

    settings = {"num_start": 8, "pool_size": 48, "iterations": 15}
    history = run_search(LawGuided(**settings), problem, 26, metrics=metrics)
    assert min(observation.metrics["error"] for observation in history) <= 6
    proposal = LawGuided(**settings).propose(problem, history, problem.rng(26))
    assert "linear mean" in proposal.note or "process" in proposal.note
    assert "law" not in proposal.note


def test_readings_of_lower_rungs_count_with_their_text():
    plain = toy_problem()
    rungs = [
        Rung(index=i, fraction=f, train_bytes=int(1e7 * f)) for i, f in enumerate((0.1, 0.3, 1.0))
    ]
    problem = Problem(
        space=plain.space,
        objectives=plain.objectives,
        limits=plain.limits,
        static_metrics=plain.static_metrics,
        rungs=rungs,
    )
    history = [
        observation.model_copy(
            update={
                "rung": observation.number % 3,
                "metrics": {
                    "bits_per_byte": observation.metrics["bits_per_byte"]
                    + 1.5 * (10 * rungs[observation.number % 3].fraction) ** -0.3
                },
            }
        )
        for observation in run_search(Random(), plain, 12)
    ]
    proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(12))
    assert re.match(r"bits_per_byte by (0\.\d+ )?law", proposal.note)


def law_of_text(point, fraction):
    """A loss that falls with text, and differently so for each point."""
    bits = toy_metrics(point)["bits_per_byte"]
    pace = 0.25 + 0.1 * (point.num_params % 7) / 7
    return bits + 0.5 * (64 * fraction) ** -pace + 0.002 * (point.num_params % 5)


def trunk_history(*, told):
    """Ten finished trunks, and twelve at a tenth of their text that are told of or not."""
    plain = toy_problem()
    rungs = [
        Rung(index=i, fraction=f, train_bytes=int(64e6 * f)) for i, f in enumerate((0.03, 0.1, 1.0))
    ]
    problem = Problem(
        space=plain.space,
        objectives=plain.objectives,
        limits=plain.limits,
        static_metrics=plain.static_metrics,
        rungs=rungs,
    )
    history = []
    for observation in run_search(Random(), plain, 22):
        point, running = observation.architecture, observation.number >= 10
        done = rungs[:2] if running else rungs
        curve = tuple((r.train_bytes, law_of_text(point, r.fraction)) for r in done)
        metrics = {**observation.metrics, "bits_per_byte": curve[-1][1]}
        if running and not told:
            metrics.pop("bits_per_byte")
        parts = {
            "metrics": metrics,
            "state": TrialState.PENDING if running else TrialState.COMPLETE,
            "rung": (1 if told else -1) if running else 2,
            "curve": curve if told or not running else (),
        }
        history.append(observation.model_copy(update=parts))
    return problem, history


def test_half_run_trunks_tell_of_their_ends():
    strategy, errors, proposed = LawGuided(**{**QUICK, "max_fitted": 64}), {}, {}
    for told in (True, False):
        problem, history = trunk_history(told=told)
        learned = _fits.learn(
            problem, "bits_per_byte", history, finished(problem, history), strategy
        )
        running = [(o.architecture, o.number) for o in history[10:]]
        surrogate = learned.surrogate
        if learned.later is not None:
            surrogate = update_surrogate(surrogate, learned.readings(learned.later))
        forecast = surrogate.predict([learned.reading(*one) for one in running])
        ends = [law_of_text(point, 1.0) for point, _ in running]
        errors[told] = float(np.abs(forecast.mean - ends).mean())
        assert (forecast.deviation > 0.002).all()
        proposed[told] = strategy.propose(problem, history, problem.rng(22)).architecture
    assert errors[True] < 0.7 * errors[False]
    assert proposed[True] != proposed[False]


def test_readings_between_rungs_are_bounded():
    problem, history = trunk_history(told=True)
    long = [
        o.model_copy(update={"curve": o.curve + tuple((1e6 + i, 2.0) for i in range(50))})
        for o in history
    ]
    strategy = LawGuided(**{**QUICK, "max_fitted": 20})
    learned = _fits.learn(problem, "bits_per_byte", long, finished(problem, long), strategy)
    assert len(learned.readings(_fits.metric(long, "bits_per_byte"))) <= 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_history_of_three_objectives_is_survived(kind):
    problem = toy_problem(objectives=("bits_per_byte", "decode_ms_per_token", "file_bytes"))
    history = spoiled_history(problem, kind)
    known = {observation.architecture for observation in history}
    proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(len(history)))
    assert problem.feasible(proposal.architecture)
    assert proposal.architecture not in known


@pytest.mark.parametrize("kind", ["nan", "constant", "failed", "one", "infeasible", "twice"])
@pytest.mark.parametrize("count", [1, 2])
def test_any_history_of_a_table_is_survived(kind, count):
    space = TableSpace((3,) * 4)
    problem = Problem(
        space=space,
        objectives=("error", "cost")[:count],
        limits=[Limit(metric="heat", comparison="<=", value=1.0)],
        static_metrics=lambda point: {},
    )
    rng, history = random.Random(1), []
    for number in range(1 if kind == "one" else 26):
        point = space.sample(rng) if kind != "twice" else (0, 1, 2, number % 2)
        metrics = {"error": float(sum(point)), "cost": 9.0 - point[0], "heat": 0.5}
        if kind == "nan":
            metrics["error"] = math.nan if number % 2 else math.inf
        if kind == "constant":
            metrics = {"error": 3.0, "cost": 3.0, "heat": 0.5}
        if kind == "infeasible":
            metrics["heat"] = 7.0
        failed = kind == "failed"
        observation = Observation(
            number=number,
            architecture=point,
            state=TrialState.FAILED if failed else TrialState.COMPLETE,
            strategy="law_guided",
        )
        history.append(observation.model_copy(update={"metrics": {} if failed else metrics}))
    known = {observation.architecture for observation in history}
    for number in range(len(history), len(history) + 2):
        proposal = LawGuided(**QUICK, num_start=1).propose(problem, history, problem.rng(number))
        assert space.contains(proposal.architecture)
        assert proposal.architecture not in known


@pytest.mark.slow
def test_a_measured_limit_is_learned():
    plain = toy_problem()
    limit = Limit.parse("decode_ms_per_token <= 3ms")
    problem = Problem(
        space=plain.space,
        objectives=plain.objectives,
        limits=[*plain.limits, limit],
        static_metrics=plain.static_metrics,
    )
    history = run_search(LawGuided(**QUICK), problem, 24)
    late = [limit.holds(o.metrics["decode_ms_per_token"]) for o in history[12:]]
    random_ones = run_search(Random(), problem, 24)
    assert (
        sum(late) / 12
        > sum(limit.holds(o.metrics["decode_ms_per_token"]) for o in random_ones) / 24
    )


def test_without_a_surrogate_the_best_are_mutated_and_the_note_says_so(monkeypatch):
    problem = toy_problem()
    history = run_search(Random(), problem, 12)

    def failing(*args, **options):
        raise EvaluationError("no surrogate fits the readings: planted")

    monkeypatch.setattr(_fits, "fit_surrogate", failing)
    monkeypatch.setattr(_fits, "_fits", {})
    proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(12))
    assert "without a surrogate" in proposal.note
    assert "planted" in proposal.note
    order = sorted(history, key=lambda o: o.metrics["bits_per_byte"])
    assert set(proposal.parents) & {o.number for o in order[:3]}


def test_without_a_surrogate_the_best_of_a_small_space_have_neighbours_tried(monkeypatch):
    """Its pool is all of it, and names no parents."""
    levels = np.array([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
    dimensions = [Dimension(f"column{place}", "categorical", tuple("abcd")) for place in range(3)]
    space = RecordedSpace(dimensions, levels, {})
    problem = Problem(space=space, objectives=("error",), static_metrics=lambda point: {})

    def failing(*args, **options):
        raise EvaluationError("no surrogate fits the readings: planted")

    monkeypatch.setattr(_fits, "fit_surrogate", failing)
    monkeypatch.setattr(_fits, "_fits", {})

    def metrics(point):
        return {"error": float(sum("abcd".index(choice) for choice in point.choices))}

    history = run_search(Random(), problem, 15, metrics=metrics)
    proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(15))
    assert proposal.note.startswith("without a surrogate (")
    assert proposal.note.endswith("planted): a neighbour of the best")
    best = min(history, key=lambda observation: observation.metrics["error"])
    assert proposal.parents == (best.number,)
    assert proposal.architecture in list(space.neighbours(best.architecture))
    left = run_search(Random(), problem, 64, metrics=metrics)  # far from the best one alone
    near = {best.architecture, *space.neighbours(best.architecture)}
    far = next(o.architecture for o in left if o.architecture not in near)
    history = [o for o in left if o.architecture != far]
    assert LawGuided(**QUICK).propose(problem, history, problem.rng(64)).architecture == far


@pytest.mark.slow
def test_an_earlier_study_shows_where_to_begin(tmp_path):
    earlier = run_search(Random(), toy_problem(seed=5), 40)
    path = tmp_path / "earlier.jsonl"
    assert write_earlier(path, toy_problem(), earlier) == 40

    def shifted(point):
        metrics = toy_metrics(point)
        return {**metrics, "bits_per_byte": metrics["bits_per_byte"] + 0.4}

    def values(**settings):
        strategy = LawGuided(**{**QUICK, "max_fitted": 64, "num_start": 3}, **settings)
        history = run_search(strategy, toy_problem(seed=1), 7, metrics=shifted)
        return [observation.metrics["bits_per_byte"] for observation in history[3:]]

    assert min(values(earlier=(str(path),))) <= min(values())


def test_a_damaged_file_of_an_earlier_study_is_named(tmp_path):
    path = tmp_path / "earlier.jsonl"
    path.write_text('{"features": {}, "metrics": {}}\n{"features": {}}\n')
    with pytest.raises(ConfigError, match="line 2: expected a JSON object with 'features'"):
        read_earlier(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_earlier(tmp_path / "nothing.jsonl")


def test_between_two_fits_nothing_is_fitted(monkeypatch):
    problem = toy_problem(objectives=("bits_per_byte", "decode_ms_per_token"))
    history = run_search(Random(), problem, 40)
    strategy = LawGuided(**{**QUICK, "max_fitted": 8})
    strategy.propose(problem, history[:25], problem.rng(25))

    def refused(*args, **options):
        raise AssertionError("fitted again")

    monkeypatch.setattr(_fits, "fit_surrogate", refused)
    assert strategy.propose(problem, history, problem.rng(40)).note.startswith("bits_per_byte by")


def test_trials_are_ordered_as_all_strategies_order_them():
    rng = random.Random(4)
    trials = [
        Finished(n, n, rng.randrange(2), (rng.randrange(6), rng.randrange(6)), rng.randrange(2))
        for n in range(40)
    ]
    keys = merit(trials)
    assert by_merit(trials) == sorted(range(40), key=keys.__getitem__)
    single = [trial._replace(values=trial.values[:1]) for trial in trials]
    keys = merit(single)
    assert by_merit(single) == sorted(range(40), key=keys.__getitem__)

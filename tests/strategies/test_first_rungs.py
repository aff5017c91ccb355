"""On a ladder what is learned are scores at one rung, and limits that were measured count first."""

import random
from importlib.util import find_spec

import pytest

from archsmith.strategies._drafts import Finished, finished
from archsmith.strategies._rungs import at_first_rungs, compared
from archsmith.strategies.bananas import Bananas
from archsmith.strategies.controller import Controller, _Policy, _policy
from archsmith.strategies.optuna_nsga2 import OptunaNsga2
from archsmith.strategies.optuna_tpe import OptunaTpe
from archsmith.testing.toy import TableSpace
from archsmith.trial import Limit, Observation, Problem, Rung, TrialState

RUNGS = tuple(
    Rung(index=place, fraction=share, train_bytes=round(1000 * share))
    for place, share in enumerate((0.1, 0.3, 1.0))
)
BITS = ("bits_per_byte",)
needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="an extra")
learners = pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(Controller(hidden_size=8, num_layers=1), marks=pytest.mark.slow),
        Bananas(num_start=8, per_iteration=8, num_steps=40, num_networks=2, pool_size=30),
        pytest.param(OptunaTpe(n_startup_trials=8), marks=needs_optuna),
        pytest.param(OptunaNsga2(population_size=8), marks=needs_optuna),
    ],
    ids=lambda strategy: strategy.type,
)


class Ordered(TableSpace):
    """A grid that says what its choices are."""

    @property
    def choice_sizes(self):
        return self.sizes

    def indices(self, point):
        return point

    def at(self, indices):
        return tuple(indices)


def grid(*sizes, rungs=RUNGS, objectives=BITS, limits=(), static=()):
    return Problem(
        space=Ordered(sizes),
        objectives=objectives,
        limits=[Limit.parse(text) for text in limits],
        rungs=rungs,
        static_metrics=lambda point: dict.fromkeys(static, 1.0),
    )


def scored(number, point, *bits, first=0, times=(), **metrics):
    """A trial with a score for every rung it finished, from the first on."""
    rungs = RUNGS[first : first + len(bits)]
    return Observation(
        number=number,
        architecture=point,
        state=TrialState.COMPLETE,
        metrics={**metrics, "bits_per_byte": bits[-1]},
        rung=rungs[-1].index,
        curve=tuple((float(r.train_bytes), b) for r, b in zip(rungs, bits, strict=True)),
        finished=tuple(times) or tuple(float(number + 100 * r.index) for r in rungs),
    )


def different(problem, count):
    rng, points = random.Random(1), {}
    while len(points) < count:
        points[problem.space.sample(rng)] = None
    return list(points)


def loss(point):
    return 2.0 + 0.1 * sum((value - 1) ** 2 for value in point)


@learners
def test_a_promotion_changes_nothing_of_what_is_proposed(strategy):
    problem = grid(5, 5, 5, 5)
    points = different(problem, 24)
    before = [scored(n, point, loss(point)) for n, point in enumerate(points)]
    after = [
        scored(n, p, loss(p), loss(p) - 0.7, loss(p) - 1.3) if n % 3 == 0 else before[n]
        for n, p in enumerate(points)
    ]

    def proposed(history):
        found = [strategy.propose(problem, tuple(history), problem.rng(n)) for n in range(24, 28)]
        return [proposal.architecture for proposal in found]

    assert proposed(after) == proposed(before)


def test_a_controller_learns_what_is_good_and_not_what_was_promoted():
    problem = grid(2, 40)
    history = [
        # the option 0 was trained on and became better for that, 1 was better at the same rung
        scored(n, (n % 2, n // 2), *((2.0, 1.5, 1.0) if n % 2 == 0 else (1.8,)))
        for n in range(60)
    ]
    strategy = Controller(hidden_size=8, num_layers=1)
    strategy.propose(problem, tuple(history), problem.rng(60))
    drawn = _policy(problem, strategy).draw(100, random.Random(0))
    assert sum(answer.options[0] for answer in drawn) > 60


def test_a_controller_learns_from_every_trial_once(monkeypatch):
    taught = []
    monkeypatch.setattr(_Policy, "_reinforce", lambda self, trial: taught.append(trial.number))
    problem = grid(5, 5, 5)
    points = different(problem, 12)
    history = []
    for number, point in enumerate(points):
        history.append(scored(number, point, loss(point)))
        if number % 3 == 2:  # the one before goes on
            history[-2] = scored(number - 1, points[number - 1], loss(points[number - 1]), 1.0)
        Controller(hidden_size=7).propose(problem, tuple(history), problem.rng(number))
    assert taught == list(range(12))


def test_who_came_to_the_first_rung_late_is_learned_late():
    problem = grid(5, 5)
    early = [scored(n, (n, 0), 2.0, times=(10.0 + n,)) for n in (0, 2, 3)]
    late = scored(1, (1, 0), 1.9, 1.5, times=(20.0, 30.0))
    last = scored(4, (4, 0), 2.0, times=(25.0,))
    found = at_first_rungs(problem, [early[0], late, *early[1:], last])
    assert [(t.number, t.rung, t.values) for t in found] == [
        (0, 0, (2.0,)), (2, 0, (2.0,)), (3, 0, (2.0,)), (1, 0, (1.9,)), (4, 0, (2.0,)),
    ]  # fmt: skip


def test_measured_limits_are_judged_at_the_same_rung():
    problem = grid(5, 5, limits=("bits_per_byte <= 1.6", "decode_ms_per_token <= 10"))
    trial = scored(0, (0, 0), 2.0, 1.5, decode_ms_per_token=15.0)
    assert at_first_rungs(problem, [trial])[0].excess == pytest.approx(0.25 + 0.5)
    assert finished(problem, [trial])[0].excess == 0.5


@pytest.mark.parametrize("rungs", [(), RUNGS[:1]], ids=["none", "one"])
def test_without_a_ladder_trials_stand_as_they_are(rungs):
    problem = grid(5, 5, rungs=rungs)
    history = [scored(n, (n, 0), 2.0 - n, times=(9.0 - n,)) for n in range(5)]
    found = at_first_rungs(problem, history)
    assert found == finished(problem, history)
    assert [trial.number for trial in found] == [0, 1, 2, 3, 4]
    mixed = [trial._replace(rung=trial.number % 2) for trial in found]
    assert compared(problem, mixed) == mixed


def test_a_score_whose_earlier_value_is_not_known_stands_at_its_rung():
    problem = grid(5, 5, objectives=("task:spell.jsonl",))
    promoted = scored(1, (1, 0), 2.0, 1.5, **{"task:spell.jsonl": 0.25})
    found = at_first_rungs(problem, [promoted])
    assert [(t.rung, t.values) for t in found] == [(1, (0.25,))]
    # a cost is the same at every rung, and the loss at the first one is known
    both = grid(5, 5, objectives=("bits_per_byte", "decode_ms_per_token"))
    measured = scored(1, (1, 0), 2.0, 1.5, decode_ms_per_token=3.0)
    assert at_first_rungs(both, [measured])[0].values == (2.0, 3.0)
    assert at_first_rungs(both, [measured])[0].rung == 0


def test_scores_of_several_rungs_compare_by_their_place_among_their_own():
    problem = grid(5, 5, objectives=("bits_per_byte", "file_bytes"), static=("file_bytes",))

    def trial(number, rung, bits, file_bytes):
        return Finished(number, (number, 0), rung, (bits, file_bytes), 0.0)

    trials = [
        trial(0, 0, 3.0, 7.0),
        trial(1, 1, 1.4, 9.0),
        trial(2, 0, 2.0, 8.0),
        trial(3, 1, 1.0, 5.0),
        trial(4, 0, 1.0, 4.0),
        trial(5, 2, 0.1, 6.0),
    ]
    found = compared(problem, trials)
    assert {t.rung for t in found} == {0}
    assert [t.number for t in found] == [0, 1, 2, 3, 4, 5]
    assert [t.values[1] for t in found] == [t.values[1] for t in trials]
    deviation = (2 / 3) ** 0.5
    expected = [3.0, 2.0 + deviation, 2.0, 2.0 - deviation, 1.0, 2.0]
    assert [t.values[0] for t in found] == pytest.approx(expected)
    alike = [t for t in trials if t.rung == 0]
    assert compared(problem, alike) == alike


@learners
def test_an_option_that_breaks_a_measured_limit_is_left_whatever_its_loss(strategy):
    problem = grid(3, 6, 6, rungs=(), limits=("decode_ms_per_token <= 10",))
    points = different(problem, 60)
    history = [
        scored(
            number,
            point,
            loss(point) - 1.0 * (point[0] == 0),
            decode_ms_per_token=100.0 if point[0] == 0 else 5.0,
        )
        for number, point in enumerate(points)
    ]
    drawn = [
        strategy.propose(problem, tuple(history), problem.rng(number)).architecture[0]
        for number in range(60, 90)
    ]
    assert drawn.count(0) < 6  # a draw at random: 10 of 30


@learners
def test_where_nothing_is_within_limits_the_nearest_is_looked_for(strategy):
    problem = grid(4, 12, 12, rungs=(), limits=("decode_ms_per_token <= 10",))
    history = [
        scored(number, p, loss(p) + p[0], decode_ms_per_token=20.0 + 20 * (3 - p[0]))
        for number, p in enumerate(different(problem, 60))
    ]
    drawn = [
        strategy.propose(problem, tuple(history), problem.rng(number)).architecture[0]
        for number in range(60, 84)
    ]
    assert drawn.count(3) > 12  # a draw at random: 6 of 24


def test_the_farther_outside_measured_limits_the_worse_the_reward():
    policy = _Policy(grid(3, 3), Controller(hidden_size=4))

    def reward(bits, excess):
        return policy._reward(Finished(0, (0, 0), 0, (bits,), excess))

    within = [reward(bits, 0.0) for bits in (1.0, 2.0, 3.0, 1e6)]
    outside = [reward(0.1, excess) for excess in (1e-3, 0.5, 9.0, 1e9)]
    assert min(within) > outside[0]
    assert outside == sorted(set(outside), reverse=True)
    assert min(outside) >= -6

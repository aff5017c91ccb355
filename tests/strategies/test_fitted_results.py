"""What a surrogate is fitted to where trunks finish several rungs: results in the order of time."""

from collections.abc import Sequence

import pytest

from archsmith.strategies import _fits
from archsmith.strategies._drafts import finished
from archsmith.strategies.law_guided import LawGuided
from archsmith.strategies.random import Random
from archsmith.testing.toy import run_search, toy_problem
from archsmith.trial import Observation, Problem, Rung, TrialState

QUICK = {"pool_size": 24, "max_fitted": 48, "refit_share": 0.25, "iterations": 5}
RUNGS = [
    Rung(index=i, fraction=f, train_bytes=int(64e6 * f)) for i, f in enumerate((0.03, 0.1, 1.0))
]


def ladder_problem() -> Problem:
    plain = toy_problem()
    return Problem(
        space=plain.space,
        objectives=plain.objectives,
        limits=plain.limits,
        static_metrics=plain.static_metrics,
        rungs=RUNGS,
    )


def ladder(num_trials: int) -> list[tuple[int, int]]:
    """(trial, rung) in the order of time: every third goes on, some of them much later."""
    order = [(number + 0.5, number, 0) for number in range(num_trials)]
    order += [(n * 1.3 + 4, n, 1) for n in range(0, num_trials, 3)]
    order += [(n * 1.9 + 9, n, 2) for n in range(0, num_trials, 9)]
    return [(number, rung) for _, number, rung in sorted(order)]


def history_after(
    results: Sequence[tuple[int, int]], trials: Sequence[Observation]
) -> list[Observation]:
    """What a strategy knows when so many results have come."""
    times: dict[int, list[float]] = {}
    for time, (number, _) in enumerate(results):
        times.setdefault(number, []).append(1e9 + time)
    found = []
    for number, own in sorted(times.items()):
        bits = trials[number].metrics["bits_per_byte"]
        curve = [
            (float(rung.train_bytes), bits + 0.5 * (64 * rung.fraction) ** -0.3)
            for rung in RUNGS[: len(own)]
        ]
        update = {
            "metrics": {**trials[number].metrics, "bits_per_byte": curve[-1][1]},
            "rung": len(own) - 1,
            "curve": tuple(curve),
            "finished": tuple(own),
            "state": TrialState.PENDING,
        }
        found.append(trials[number].model_copy(update=update))
    return found


def test_a_promotion_asks_for_no_other_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, strategy = ladder_problem(), LawGuided(**QUICK)
    results = ladder(60)
    trials = run_search(Random(), toy_problem(), 60)
    fitted: list[int] = []
    fit = _fits.fit_surrogate

    def counted(readings: Sequence[object], **options: object) -> object:
        fitted.append(len(readings))
        return fit(readings, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(_fits, "fit_surrogate", counted)
    counts = range(40, 61)
    assert sum(rung > 0 for _, rung in results[40:60]) > 4  # old trials, promoted meanwhile
    for count in counts:
        history = history_after(results[:count], trials)
        learned = _fits.learn(
            problem, "bits_per_byte", history, finished(problem, history), strategy
        )
        if learned.later is not None:
            assert len(learned.readings(learned.later)) <= QUICK["max_fitted"]
    due = {_fits._fitted_at(count, QUICK["refit_share"]) for count in counts}
    assert len(fitted) == len(due) < 5
    assert max(fitted) <= QUICK["max_fitted"]


def test_the_fit_knows_of_each_trunk_what_was_known_then() -> None:
    problem, strategy = ladder_problem(), LawGuided(**QUICK)
    results = ladder(30)[:40]
    trials = run_search(Random(), toy_problem(), 30)
    first = _fits._first_results(problem, history_after(results, trials), strategy)
    count = _fits._fitted_at(len(results), strategy.refit_share)
    assert count < len(results)
    then = dict(results[:count])
    assert {one.number: one.rung for one in first} == then
    for one in first:
        assert [text for text, _ in one.along] == [
            float(rung.train_bytes) for rung in RUNGS[: one.rung + 1]
        ]
        assert one.along[-1][1] == one.value


def test_points_are_asked_for_at_the_end_of_their_own_training() -> None:
    """With a timeout the fast ones read more; what is fitted stays at the rungs' text."""
    plain = ladder_problem()
    problem = Problem(
        space=plain.space,
        objectives=plain.objectives,
        static_metrics=plain.static_metrics,
        rungs=RUNGS,
        final_bytes=lambda point: 1e12 / point.num_params,
    )
    history = history_after(ladder(12), run_search(Random(), toy_problem(), 12))
    found = {}
    texts = {float(rung.train_bytes) for rung in RUNGS}
    for asked in (plain, problem):
        learned = _fits.learn(
            asked, "bits_per_byte", history, finished(asked, history), LawGuided(**QUICK)
        )
        found[asked] = learned.reading(history[0].architecture, None)
        known = _fits._first_results(asked, history, LawGuided(**QUICK))
        assert {reading.train_bytes for reading in learned.readings(known)} <= texts
    assert found[plain].train_bytes == RUNGS[-1].train_bytes
    assert found[problem].train_bytes == 1e12 / history[0].architecture.num_params

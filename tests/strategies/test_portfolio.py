"""Where nothing is predicted local search or evolution goes on, and the store says so."""

import random

import pytest

from archsmith.strategies._drafts import Finished
from archsmith.strategies._portfolio import is_chance, rival
from archsmith.strategies.law_guided import LawGuided
from archsmith.testing.toy import TableSpace, run_search
from archsmith.trial import Observation, Problem, TrialState

QUICK = {"pool_size": 24, "iterations": 5, "refit_share": 0.5}


def problem_of(objectives=("error",)):
    return Problem(
        space=TableSpace((4,) * 5), objectives=objectives, static_metrics=lambda point: {}, seed=1
    )


def luck(point):
    """Values that say nothing of one another."""
    return {"error": random.Random(str(point)).random()}


def slope(point):
    return {"error": 5.0 + sum(point) + 0.1 * luck(point)["error"]}


def test_few_trials_and_clear_correlations_are_no_chance():
    assert not is_chance(-0.5, 10)
    assert not is_chance(0.6, 20)
    assert is_chance(0.1, 40)
    assert not is_chance(0.1, 400)


def test_a_surrogate_that_predicts_nothing_hands_over_and_says_so():
    problem = problem_of()
    history = run_search(LawGuided(**QUICK), problem, 34, metrics=luck)
    handed = [o for o in history if o.strategy in ("local_search", "regularized_evolution")]
    assert len(handed) >= 5
    assert all(o.strategy == "law_guided" for o in history[:20])
    proposals = [
        LawGuided(**QUICK).propose(problem, history[:count], problem.rng(count))
        for count in range(22, 34)
    ]
    notes = [p.note for p in proposals if p.strategy != "law_guided"]
    assert notes
    assert all(note.startswith("handed to ") and "no more than chance" in note for note in notes)


def test_a_surrogate_that_predicts_keeps_the_budget():
    history = run_search(LawGuided(**QUICK), problem_of(), 30, metrics=slope)
    assert {o.strategy for o in history} == {"law_guided"}
    assert min(o.metrics["error"] for o in history) < 6.2


@pytest.mark.parametrize("better", ["local_search", "regularized_evolution"])
def test_the_rival_whose_latest_trials_rank_better_goes_on(better):
    names = ["local_search", "regularized_evolution"] * 6
    history, trials = [], []
    for number, name in enumerate(names):
        value = float(number if name == better else 100 + number)
        history.append(
            Observation(
                number=number,
                architecture=(number,),
                state=TrialState.COMPLETE,
                metrics={"error": value},
                strategy=name,
            )
        )
        trials.append(Finished(number, (number,), 0, (value,), 0.0))
    assert rival(history, trials, several=False).type == better
    # each gets a few trials before it is judged
    assert rival(history[:1], trials[:1], several=False).type == "regularized_evolution"
    assert rival([], trials, several=True).type == "local_search"
    assert rival(history[:1], trials[:1], several=True).type == "nsga2"

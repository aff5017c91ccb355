"""What readings of a metric are told: text for what training teaches, none for devices."""

import pytest

from archsmith.strategies import _fits
from archsmith.strategies._drafts import finished
from archsmith.strategies.law_guided import LawGuided
from archsmith.strategies.random import Random
from archsmith.testing.toy import run_search, toy_problem
from archsmith.trial import Observation, Problem, Rung

_RUNGS = [
    Rung(index=i, fraction=f, train_bytes=int(64e6 * f)) for i, f in enumerate((0.03, 0.1, 0.3))
]
_TASK = "task:answers.jsonl"
_QUICK = {"iterations": 3, "max_fitted": 32}


def on_a_ladder(num_trials: int = 12) -> tuple[Problem, list[Observation]]:
    plain = toy_problem()
    problem = Problem(
        space=plain.space,
        objectives=plain.objectives,
        limits=plain.limits,
        static_metrics=plain.static_metrics,
        rungs=_RUNGS,
        final_bytes=lambda point: 3 * 64e6,
    )
    history = []
    for one in run_search(Random(), plain, num_trials):
        rung = one.number % 3
        bits = one.metrics["bits_per_byte"]
        curve = tuple((float(r.train_bytes), bits + 0.1) for r in _RUNGS[: rung + 1])
        metrics = {**one.metrics, "bits_per_byte": bits + 0.1, _TASK: bits / 10}
        history.append(one.model_copy(update={"rung": rung, "curve": curve, "metrics": metrics}))
    return problem, history


@pytest.mark.parametrize(
    ("name", "knows_text"),
    [("bits_per_byte", True), (_TASK, True), ("decode_ms_per_token", False)],
)
def test_text_is_told_of_what_training_teaches_alone(name: str, knows_text: bool) -> None:
    problem, history = on_a_ladder()
    learned = _fits.learn(problem, name, history, finished(problem, history), LawGuided(**_QUICK))
    assert (learned.surrogate.longest_bytes is not None) == knows_text
    at_the_end = learned.reading(history[0].architecture, 0)
    assert at_the_end.train_bytes == (3 * 64e6 if knows_text else None)
    assert (at_the_end.trunk is not None) == knows_text


@pytest.mark.parametrize("kind", ["weighed", "process"])
def test_a_diverged_trial_is_left_out_of_every_surrogate(kind: str) -> None:
    problem = toy_problem()
    history = run_search(Random(), problem, 12)
    bad = {**history[3].metrics, "bits_per_byte": 30.0}
    history[3] = history[3].model_copy(update={"metrics": bad})
    settings = LawGuided(**_QUICK, surrogate=kind)
    learned = _fits.learn(problem, "bits_per_byte", history, finished(problem, history), settings)
    assert "30 left out, far above the rest" in learned.surrogate.description
    assert learned.surrogate.ceiling < 3.0


def test_one_trial_is_too_few_for_a_process_and_the_note_says_so() -> None:
    problem = toy_problem()
    history = run_search(Random(), problem, 1)
    strategy = LawGuided(surrogate="process", num_start=1)
    note = strategy.propose(problem, history, problem.rng(1)).note
    assert "a process needs at least 3 readings, got 1" in note

"""When trials end, and when they end early so that finalists can be trained again."""

from types import SimpleNamespace
from typing import Any

import pytest
from test_selection import trial

from archsmith.runtime.driver import StopReason
from archsmith.trial import TrialState
from archsmith.workflow.foresight import Horizon
from archsmith.workflow.repeats import Training
from archsmith.workflow.search_config import PlanConfig
from archsmith.workflow.searching import run_search
from archsmith.workflow.selecting import Selecting
from archsmith.workflow.supernet_config import SupernetConfig
from helpers_workflow import Recorder, budget


class Notes(dict[str, Any]):
    put = dict.__setitem__


class Searched:
    """A study whose searches take all the time they are given."""

    def __init__(self, *, rungs: int = 0, reason: StopReason = StopReason.TIMEOUT) -> None:
        self.now = 0.0
        self.asked: list[float | None] = []
        self.slots: list[tuple[int | None, object]] = []
        self.reason = reason
        self._rungs = rungs

    def optimize(
        self, evaluator: object, *, timeout: float | None, n_trials: int | None, **rest: object
    ) -> StopReason:
        self.asked.append(timeout)
        self.slots.append((n_trials, rest["n_jobs"]))
        if n_trials is not None:
            self.now += 100.0
            return StopReason.N_TRIALS
        self.now += timeout or 7.0
        return self.reason

    @property
    def trials(self) -> list[Any]:
        rung = 0 if len(self.asked) >= self._rungs else -1
        return [SimpleNamespace(rung=rung, state=TrialState.PENDING)]


def searched(
    study: Searched,
    *,
    enough: bool = False,
    spent: float = 0.0,
    supernet: SupernetConfig | None = None,
    n_jobs: int = 2,
    **plan: Any,
) -> Notes:
    notes = Notes(search_seconds=spent)
    told = {"plan": PlanConfig(**plan), "n_trials": None, "n_jobs": n_jobs}
    run_search(
        study,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        config=SimpleNamespace(**told, shared_weights=supernet),  # type: ignore[arg-type]
        budget=budget(),
        notes=notes,  # type: ignore[arg-type]
        watcher=Recorder(),
        executor="inline",
        clock=lambda: study.now,
        is_enough=lambda: enough,
    )
    return notes


@pytest.mark.parametrize(
    ("enough", "plan", "expected"),
    [
        (True, {}, [450.0]),
        (False, {}, [450.0, 400.0]),
        (True, {"fresh_seeds": 0, "rate_factors": ()}, [850.0]),
    ],
    ids=["room", "no room", "not asked for"],
)
def test_trials_end_early_where_finalists_can_be_trained_again(
    enough: bool, plan: dict[str, Any], expected: list[float]
) -> None:
    study = Searched()
    notes = searched(study, enough=enough, **plan)
    assert study.asked == pytest.approx(expected)
    assert notes["search_seconds"] == pytest.approx(sum(expected))


def test_what_an_earlier_start_took_counts() -> None:
    study = Searched()
    notes = searched(study, spent=500.0)
    assert study.asked == pytest.approx([350.0])
    assert notes["search_seconds"] == pytest.approx(850.0)
    late = Searched()
    searched(late, spent=900.0)
    assert late.asked == []


def test_a_search_that_has_all_its_trials_asks_for_no_more() -> None:
    study = Searched(reason=StopReason.N_TRIALS)
    searched(study)
    assert study.asked == pytest.approx([450.0])


def test_a_search_goes_on_until_a_first_rung_is_finished() -> None:
    study = Searched(rungs=4)
    searched(study)
    assert study.asked == pytest.approx([450.0, 400.0, 400.0, 400.0])


def test_what_all_inherit_is_trained_by_one_job_alone() -> None:
    share = SupernetConfig(method="enas", share=0.5)
    study = Searched(rungs=1)
    notes = searched(study, supernet=share, enough=True)
    assert study.slots == [(1, 1), (None, 2)]
    assert study.asked == pytest.approx([650.0, 550.0])
    assert notes["search_seconds"] == pytest.approx(650.0)
    # with one job there is nobody to wait, and what has a score has a supernet
    for again in (Searched(rungs=1), Searched()):
        n_jobs = 1 if again._rungs else 2
        searched(again, supernet=share, n_jobs=n_jobs, enough=True)
        assert again.slots == [(None, n_jobs)]
    few = Searched()
    searched(few, supernet=share)
    assert few.asked == pytest.approx([650.0, 150.0])


def selecting(num_trials: int, seconds: float, *, n_jobs: int = 2, noted: Any = None) -> Selecting:
    """Of trials that were trained for so many seconds, in a search of 1000."""
    trials = [trial(number, [(seconds, 2.0 + number / 100)]) for number in range(num_trials)]
    jobs = SimpleNamespace(
        study=SimpleNamespace(trials=trials),
        workspace=SimpleNamespace(config=SimpleNamespace(plan=PlanConfig(), seed=0)),
        recipe=SimpleNamespace(cooldown_fraction=0.2),
        num_slots=n_jobs,
    )
    return Selecting(
        jobs=jobs,  # type: ignore[arg-type]
        horizon=Horizon(3000.0, in_bytes=False),
        suggestion=lambda: None,  # type: ignore[arg-type,return-value]
        budget=budget(),
        notes=Notes(repeats=noted),  # type: ignore[arg-type]
    )


def test_training_again_needs_candidates_and_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from archsmith.workflow import selecting as module

    # these trials have no checkpoints, and need none here
    monkeypatch.setattr(module.Selecting, "_choose", lambda self, trials: list(trials)[:4])
    # two jobs have 900 core-seconds until trials may end: four trainings of 130 take 520
    assert selecting(4, 130.0).has_enough()
    assert not selecting(3, 130.0).has_enough()
    assert not selecting(4, 300.0).has_enough()
    assert selecting(4, 110.0, n_jobs=1).has_enough()
    assert not selecting(4, 160.0, n_jobs=1).has_enough()
    # what was planned once stays so
    assert selecting(1, 300.0, noted={"planned": []}).has_enough()


def test_rates_are_held_against_the_length_of_the_final_training() -> None:
    one = selecting(4, 250.0, n_jobs=8)
    trials = one.jobs.study.trials[:2]
    assert one._trainings(trials, None) == [
        Training(0, 1),
        Training(1, 1),
        Training(0, 0, 0.5),
        Training(1, 0, 0.5),
    ]
    long = selecting(4, 600.0).jobs.study.trials[:1]
    assert [t.rate_factor for t in one._trainings(long, None)] == [0.5, 2.0]

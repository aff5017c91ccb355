"""What a selection does with a front: in the time there is, and with fresh seeds."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from test_finalist_choice import BOTH, numbers, trial

from archsmith.store.records import TrialRecord
from archsmith.workflow.foresight import Horizon
from archsmith.workflow.search_config import PlanConfig
from archsmith.workflow.searching import SPENT
from archsmith.workflow.selecting import Selecting
from archsmith.workflow.selection import Finalist
from helpers_workflow import budget

LOSSES = (1.5, 1.6, 1.7, 1.8)
SIZES = (4e5, 3e5, 3e5, 1e5)


class Notes:
    """Notes of a study, in memory."""

    def __init__(self, **kept: Any) -> None:
        self.kept = kept

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def put(self, key: str, value: Any) -> None:
        self.kept[key] = value


def selecting(
    trials: Sequence[TrialRecord], *, objectives: Sequence[str] = BOTH, spent: float = 0.0
) -> tuple[Selecting, list[str]]:
    """The selection of a search of a thousand seconds, and what it tells."""
    told: list[str] = []
    config = SimpleNamespace(plan=PlanConfig(rate_factors=()), objectives=objectives, seed=10)
    jobs = SimpleNamespace(
        study=SimpleNamespace(trials=trials, problem=SimpleNamespace(objectives=objectives)),
        workspace=SimpleNamespace(config=config),
        recipe=SimpleNamespace(cooldown_fraction=0.2),
        watcher=SimpleNamespace(note=told.append),
        num_slots=1,
    )
    made = Selecting(
        jobs=jobs,  # type: ignore[arg-type]
        horizon=Horizon(3000.0, in_bytes=False),
        suggestion=lambda: None,  # type: ignore[arg-type, return-value]
        budget=budget(1000.0),
        notes=Notes(**{SPENT: spent}),  # type: ignore[arg-type]
    )
    return made, told


def candidates() -> list[TrialRecord]:
    """Each trained for 100 seconds, so that a cooldown takes 28."""
    return [trial(number + 1, size, (100.0, 2.0)) for number, size in enumerate(SIZES)]


def finalists() -> list[Finalist]:
    return [
        Finalist(
            trial=number + 1,
            rung=0,
            train_bytes=1000,
            search_bits_per_byte=2.0,
            selection_bits_per_byte=loss,
            predicted_bits_per_byte=loss,
            half_width=0.0,
            cooled=True,
        )
        for number, loss in enumerate(LOSSES)
    ]


def test_as_many_of_a_front_are_cooled_down_as_fit_in_the_time_left() -> None:
    trials = candidates()
    made, told = selecting(trials, spent=940.0)
    assert numbers(made._in_time(trials)) == [1, 2]
    assert told == ["2 of 4 finalists can be cooled down in the 1m00s left"]
    roomy, told = selecting(trials, spent=850.0)
    assert numbers(roomy._in_time(trials)) == [1, 2, 3, 4]
    assert told == []
    late, _ = selecting(trials, spent=1200.0)
    assert numbers(late._in_time(trials)) == [1]
    one, _ = selecting(trials, objectives=BOTH[:1], spent=1200.0)
    assert numbers(one._in_time(trials)) == [1, 2, 3, 4]


def test_the_front_is_trained_again_behind_those_that_may_be_first() -> None:
    """The third is dominated by the second, and too far behind the first."""
    trials = candidates()
    for objectives, expected in ((BOTH, [1, 2, 4]), (BOTH[:1], [1, 2])):
        made, _ = selecting(trials, objectives=objectives)
        planned = made._plan(finalists(), trials, taken=0.0)
        assert [one.trial for one in planned] == expected
        assert {one.seed for one in planned} == {11}

"""The field's halving arms do in a study what their papers say."""

from pathlib import Path

import pytest

from archsmith import registry
from archsmith.halving.decision import decide
from archsmith.halving.entries import Entry
from archsmith.halving.rungs import plan_rungs
from archsmith.store.records import JobKind
from archsmith.store.store import connect
from archsmith.strategies.asha import Asha
from archsmith.strategies.hyperband import Hyperband
from archsmith.strategies.successive_halving import SuccessiveHalving
from archsmith.study import Study
from archsmith.testing.strategy import StrategyContract
from helpers_study import Toy, make_study

THREE = plan_rungs((1 / 9, 1 / 3, 1.0), plan_bytes=900, min_bytes=1)
FOUR = plan_rungs((1 / 27, 1 / 9, 1 / 3, 1.0), plan_bytes=2700, min_bytes=1)


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "asha"])
class TestHalvingArms(StrategyContract):
    @pytest.fixture
    def strategy(self, name):
        return registry.find("strategies", name)()


def reached(study: Study) -> list[tuple[int, int]]:
    """The first and last rung of each trial that was trained."""
    found = []
    for trial in study.trials:
        rungs = [job.rung for job in trial.jobs if job.kind is JobKind.RUNG]
        found.append((min(rungs), max(rungs)))
    return found


def run(path: Path, strategy: object, n_trials: int, **options: object) -> Study:
    study = make_study(path, strategy=strategy, halving=None, rungs=THREE, **options)
    study.optimize(Toy(), n_trials=n_trials, executor="inline")
    return study


def test_successive_halving_keeps_the_best_third_of_each_bracket(tmp_path: Path) -> None:
    study = run(tmp_path, SuccessiveHalving(), 18)
    for start in (0, 9):
        bracket = study.trials[start : start + 9]
        by_score = sorted(bracket, key=lambda t: t.metrics_at(0)["bits_per_byte"])
        assert {t.number for t in bracket if t.rung >= 1} == {t.number for t in by_score[:3]}
        by_score = sorted(by_score[:3], key=lambda t: t.metrics_at(1)["bits_per_byte"])
        assert [t.number for t in bracket if t.rung == 2] == [by_score[0].number]
        assert all(t.eliminated_rung == t.rung for t in bracket if t.rung < 2)
    assert {trial.strategy for trial in study.trials} == {"successive_halving"}


def test_a_bracket_is_decided_when_all_are_back() -> None:
    halving = SuccessiveHalving().halving()
    entries = [Entry(number=n, scores={0: (float(n),)}, started_rung=0) for n in range(8)]
    options = {"rungs": THREE, "halving": halving, "seed": 0}
    assert decide(entries, **options) == ((), ())  # type: ignore[arg-type]
    running = Entry(number=8, started_rung=0)
    assert decide([*entries, running], **options) == ((), ())  # type: ignore[arg-type]
    failed = Entry(number=8, started_rung=0, alive=False)
    found = decide([*entries, failed], **options)  # type: ignore[arg-type]
    assert [p.number for p in found.promotions] == [0, 1, 2]
    assert [e.number for e in found.eliminations] == [3, 4, 5, 6, 7]


def test_a_search_that_ends_midway_goes_on_with_what_it_has(tmp_path: Path) -> None:
    study = run(tmp_path, SuccessiveHalving(), 7)
    assert sorted(last for _, last in reached(study)) == [0, 0, 0, 0, 0, 1, 2]


def test_hyperband_begins_each_bracket_at_its_rung(tmp_path: Path) -> None:
    """Three rungs and eta 3: 9 candidates from rung 0, 5 from rung 1, 3 from rung 2; then again."""
    study = run(tmp_path, Hyperband(), 18)
    firsts = [first for first, _ in reached(study)]
    assert firsts == [0] * 9 + [1] * 5 + [2] * 3 + [0]
    lasts = [last for _, last in reached(study)]
    assert [sum(last >= rung for last in lasts[:9]) for rung in range(3)] == [9, 3, 1]
    assert [sum(last >= rung for last in lasts[9:14]) for rung in (1, 2)] == [5, 1]


def entries_at(rung: int, scores: list[float], *, promoted: set[int]) -> list[Entry]:
    return [
        Entry(number=n, scores={rung: (score,)}, started_rung=rung + (n in promoted))
        for n, score in enumerate(scores)
    ]


def test_asha_promotes_as_soon_as_the_best_third_has_one_not_promoted() -> None:
    options = {"rungs": FOUR, "halving": Asha().halving(), "seed": 0}
    assert not decide(entries_at(0, [3.0, 2.0], promoted=set()), **options).promotions  # type: ignore[arg-type]
    third = decide(entries_at(0, [3.0, 2.0, 4.0], promoted=set()), **options)  # type: ignore[arg-type]
    assert [(p.number, p.rung) for p in third.promotions] == [(1, 1)]
    # a better one arrives, but a third of four is still one, and that one may go
    fourth = decide(entries_at(0, [3.0, 2.0, 4.0, 1.0], promoted={1}), **options)  # type: ignore[arg-type]
    assert [(p.number, p.rung) for p in fourth.promotions] == [(3, 1)]
    # the best third of six are 3 and 1, both gone
    sixth = entries_at(0, [3.0, 2.0, 4.0, 1.0, 5.0, 6.0], promoted={1, 3})
    assert not decide(sixth, **options).promotions  # type: ignore[arg-type]


def test_asha_promotes_from_the_highest_rung_first_and_never_rounds_up() -> None:
    low = entries_at(0, [1.0, 2.0, 3.0], promoted=set())
    high = [Entry(number=n, scores={0: (0.5,), 1: (float(n),)}, started_rung=1) for n in (7, 8, 9)]
    options = {"rungs": FOUR, "halving": Asha().halving(), "seed": 0}
    found = decide([*low, *high], **options).promotions  # type: ignore[arg-type]
    assert (found[0].number, found[0].rung) == (7, 2)
    two = entries_at(0, [1.0, 2.0], promoted=set())
    assert not decide(two, **options, closing=True).promotions  # type: ignore[arg-type]


def test_asha_climbs_in_a_study_and_starts_where_it_is_told(tmp_path: Path) -> None:
    study = run(tmp_path, Asha(), 12)
    lasts = [last for _, last in reached(study)]
    assert len(lasts) == 12
    assert sum(last >= 1 for last in lasts) >= 4
    assert max(lasts) == 2
    (tmp_path / "late").mkdir()
    late = run(tmp_path / "late", Asha(min_early_stopping_rate=1), 4)
    assert {first for first, _ in reached(late)} == {1}


def test_candidates_measured_first_begin_at_their_rung_too(tmp_path: Path) -> None:
    study = run(
        tmp_path, Asha(min_early_stopping_rate=2), 3,
        measure=lambda point: {"decode_ms_per_token": 1.0},
    )  # fmt: skip
    assert reached(study) == [(2, 2)] * 3


def test_a_study_of_before_these_settings_goes_on(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    spec = dict(study.record.spec)
    old = {key: spec["halving"][key] for key in ("eta", "margin", "audit_share")}
    path = tmp_path / "old.db"
    connect(path, create=True).create_study("toy", spec={**spec, "halving": old}, seed=3)
    make_study(tmp_path, storage=path).optimize(Toy(), n_trials=2, executor="inline")


def test_the_discipline_is_stored_and_can_be_overruled(tmp_path: Path) -> None:
    study = run(tmp_path, Hyperband(eta=2), 2)
    assert study.record.spec["halving"]["rule"] == "hyperband"
    assert study.record.spec["halving"]["eta"] == 2
    plain = make_study(tmp_path, study_name="plain", strategy=Hyperband())
    assert plain.record.spec["halving"]["rule"] == "ladder"

"""Who is a finalist, and who of them wins."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Split
from archsmith.errors import EvaluationError
from archsmith.presets import scaled_llama
from archsmith.prior import predict
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.study import load_study
from archsmith.train.recipe import Recipe
from archsmith.trial import TrialState
from archsmith.workflow.finalist_choice import choose_finalists
from archsmith.workflow.finalist_jobs import FinalistJobs, score_quantized
from archsmith.workflow.foresight import Foresight, Gain, Horizon, law_gain, readings
from archsmith.workflow.selection import Finalist, select, trunk_weights
from helpers_workflow import FinishedSearch

# (seconds, bits per byte) after each rung a trial finished
Curve = Sequence[tuple[float, float]]


def at(seconds: float) -> Horizon:
    return Horizon(seconds, in_bytes=False)


def foresee(
    trials: Sequence[TrialRecord], seconds: float, gain: Gain = lambda *given: 0.0
) -> Foresight:
    return Foresight.of_trials(trials, at(seconds), gain)


def job(number: int, rung: int, seconds: float, bits: float, state: JobState) -> JobRecord:
    return JobRecord(
        id=10 * number + rung,
        study="s",
        number=number,
        kind=JobKind.RUNG,
        rung=rung,
        fraction=0.1 * (rung + 1),
        train_bytes=1000 * (rung + 1),
        seed=0,
        label="",
        state=state,
        metrics={"bits_per_byte": bits, "train_seconds": seconds},
    )


def trial(number: int, curve: Curve, *, failed_next: bool = False) -> TrialRecord:
    jobs = [job(number, r, *reading, JobState.DONE) for r, reading in enumerate(curve)]
    if failed_next:
        jobs.append(job(number, len(curve), 1.0, 0.0, JobState.FAILED))
    return TrialRecord(
        number=number,
        hash=str(number),
        architecture=number,
        state=TrialState.COMPLETE if curve else TrialState.REJECTED,
        strategy="random",
        jobs=tuple(jobs),
    )


def numbers(trials: Sequence[TrialRecord]) -> list[int]:
    return [one.number for one in trials]


CURVES = st.lists(
    st.lists(st.floats(0.5, 8.0), min_size=0, max_size=3), min_size=1, max_size=12
).map(
    lambda all_bits: [
        [(10.0 * 3**rung, bits) for rung, bits in enumerate(bits_of_one)]
        for bits_of_one in all_bits
    ]
)


@given(CURVES, st.integers(1, 4), st.floats(1.0, 1e5))
@settings(max_examples=60, deadline=None)
def test_the_suggestion_is_always_a_finalist(
    curves: list[Curve], count: int, seconds: float
) -> None:
    trials = [trial(number, curve) for number, curve in enumerate(curves)]
    chosen = numbers(choose_finalists(trials, count=count, foresight=foresee(trials, seconds)))
    assert len(chosen) == len(set(chosen)) <= count + 1
    assert (0 in chosen) == bool(curves[0])
    assert all(curves[number] for number in chosen)
    assert len(chosen) >= min(count, sum(map(bool, curves)))


def test_the_best_readings_are_chosen() -> None:
    trials = [trial(n, [(10.0, bits)]) for n, bits in enumerate((3.0, 2.0, 1.0, 2.5))]
    assert numbers(choose_finalists(trials, count=2, foresight=foresee(trials, 10.0))) == [2, 1, 0]


def test_equal_time_counts_and_not_equal_text() -> None:
    """The slow one read the same text in thrice the time: at the horizon it will be behind."""
    slow = trial(1, [(30.0, 2.3), (90.0, 1.9)])
    quick = trial(2, [(10.0, 2.3), (30.0, 1.95)])
    foresight = foresee([slow, quick], 1000.0)
    assert numbers(choose_finalists([slow, quick], count=2, foresight=foresight)) == [2, 1]


def test_the_final_training_comes_on_top_of_what_a_trunk_has_had() -> None:
    """The second is behind, and two rungs further on: equal time from there keeps it ahead."""
    short = trial(1, [(10.0, 2.8), (30.0, 2.4)])
    long = trial(2, [(10.0, 2.8), (30.0, 2.4), (100.0, 2.1)])
    foresight = foresee([short, long], 100.0)
    assert [foresight.of(one).seconds for one in (short, long)] == [130.0, 200.0]
    assert foresight.of(long).bits_per_byte < foresight.of(short).bits_per_byte
    in_bytes = Horizon(5000.0, in_bytes=True)
    assert in_bytes.end(max(readings(long, in_bytes))) == 5000.0


def test_without_a_second_reading_the_law_says_what_is_still_gained() -> None:
    """Equal text, one reading each: the quick one reads five times as much until the end."""
    small = scaled_llama(64, vocab_size=1024, context_tokens=256)
    slow, quick = trial(1, [(50.0, 2.30)]), trial(2, [(10.0, 2.35)])
    trials = [
        replace(one, architecture=small, jobs=(replace(one.jobs[0], train_bytes=10**6),))
        for one in (slow, quick)
    ]
    gain = law_gain(corpus_bits_per_byte=2.0, corpus_train_bytes=10**9)
    foresight = foresee(trials, 500.0, gain)
    assert numbers(choose_finalists(trials, count=1, foresight=foresight, always=())) == [2]
    found = foresight.of(trials[1])
    law = partial(predict, small, corpus_bits_per_byte=2.0)
    expected = law(train_bytes=10**6).mean - law(train_bytes=51 * 10**6).mean
    assert expected > 0.1
    assert (found.seconds, found.half_width) == (510.0, pytest.approx(expected))
    assert found.bits_per_byte == pytest.approx(2.35 - expected)
    # text that is read again and again gains less
    little = law_gain(corpus_bits_per_byte=2.0, corpus_train_bytes=10**6)
    assert 0 < little(small, 10**6, 51 * 10**6) < expected
    # nobody gains where the horizon is no further than the reading
    assert foresee(trials, 0.0, gain).of(trials[0]).bits_per_byte == 2.30


def test_what_breaks_a_limit_that_training_showed_is_no_finalist() -> None:
    trials = [trial(n, [(10.0, bits)]) for n, bits in enumerate((2.0, 1.0, 3.0))]
    chosen = choose_finalists(
        trials,
        count=2,
        foresight=foresee(trials, 10.0),
        is_feasible=lambda one: one.number == 2,
    )
    assert numbers(chosen) == [2]


def test_only_finished_rungs_are_readings() -> None:
    found = readings(trial(3, [(5.0, 2.0), (15.0, 1.5)], failed_next=True), at(1.0))
    assert [tuple(reading) for reading in found] == [(5.0, 1000, 2.0), (15.0, 2000, 1.5)]
    nothing = [trial(0, []), trial(1, [])]
    assert choose_finalists(nothing, count=3, foresight=foresee(nothing, 1.0)) == []


def test_finalists_are_scored_on_the_written_file_and_unseen_text(finished: FinishedSearch) -> None:
    """Every trial of the finished search as a finalist, by its trunk as it lies there."""
    pipeline = finished.pipeline()
    jobs = pipeline._selecting(load_study(study_name="notes", storage=pipeline.store)).jobs
    assert isinstance(jobs, FinalistJobs)
    root = load_study(study_name="notes", storage=pipeline.store).checkpoint_root
    trials = [one for one in pipeline.store.trials("notes") if one.rung >= 0]

    def weights_of(one: TrialRecord) -> tuple[Path, bool]:
        last = next(j for j in one.jobs if j.kind is JobKind.RUNG and j.rung == one.rung)
        return root / last.checkpoint_out, False

    found = select(
        trials,
        weights_of=weights_of,
        foresight=foresee(trials, 0.0),
        score=jobs.score,
    )
    assert len(found) == len(trials) >= 2
    # at a horizon already reached, the selection split alone decides
    scores = [one.selection_bits_per_byte for one in found]
    assert scores == sorted(scores)
    for one in found:
        assert one.predicted_bits_per_byte == pytest.approx(one.selection_bits_per_byte)
        assert one.selection_bits_per_byte != one.search_bits_per_byte
        assert abs(one.selection_bits_per_byte - one.search_bits_per_byte) < 0.3
        architecture = next(t for t in trials if t.number == one.trial).architecture
        weights = trunk_weights(root / one.runs[0].checkpoint)
        tokens = pipeline.workspace.tokens(Split.SELECTION, architecture.vocab_size)
        same = score_quantized(architecture, weights, tokens, jobs.protocol)
        # two programs, and half precision of keys and values in one of them
        assert one.selection_bits_per_byte == pytest.approx(same, abs=0.01)
        assert one.selection_bits_per_byte != same


def test_the_search_noted_its_finalists(finished: FinishedSearch) -> None:
    stored = finished.pipeline().store.notes("notes")["finalists"]
    assert 0 in {one["trial"] for one in stored}
    predicted = [one["predicted_bits_per_byte"] for one in stored]
    assert predicted == sorted(predicted)
    assert all(one["cooled"] for one in stored)


def test_errors_on_the_users_task_decide_first() -> None:
    shared = {
        "rung": 1,
        "train_bytes": 5000,
        "search_bits_per_byte": 2.0,
        "selection_bits_per_byte": 2.0,
        "half_width": 0.0,
        "cooled": True,
    }
    able = Finalist(trial=1, predicted_bits_per_byte=1.9, task_errors={"task:a": 0.1}, **shared)
    fluent = Finalist(trial=2, predicted_bits_per_byte=1.5, task_errors={"task:a": 0.3}, **shared)
    assert sorted([fluent, able], key=lambda one: one.rank) == [able, fluent]


class Cooled:
    """A study whose trials' cooldowns end as told."""

    def __init__(self, *states: JobState) -> None:
        self._states = states

    def cool_down(self, trials: Sequence[TrialRecord], **settings: object) -> list[JobRecord]:
        return [
            replace(
                job(one.number, 1, 1.0, 2.0, state),
                error="out of memory\nlong story",
                details={"weights": "w"},
            )
            for one, state in zip(trials, self._states, strict=True)
        ]

    checkpoint_root = Path("checkpoints")


def test_a_cooldown_that_failed_costs_its_finalist_alone() -> None:
    notes: list[str] = []
    trials = [trial(number, [(1.0, 2.0)]) for number in range(3)]
    jobs = FinalistJobs(
        study=Cooled(JobState.DONE, JobState.FAILED, JobState.DONE),  # type: ignore[arg-type]
        workspace=SimpleNamespace(config=SimpleNamespace(n_jobs=1)),  # type: ignore[arg-type]
        recipe=Recipe(),
        watcher=SimpleNamespace(note=notes.append, event=None),  # type: ignore[arg-type]
        executor="inline",
        clock=lambda: 0.0,
    )
    assert sorted(jobs.cool_down(trials)) == [0, 2]
    assert notes == ["trial 1 could not be cooled down: out of memory; it is no finalist"]
    jobs.study = Cooled(*[JobState.FAILED] * 3)  # type: ignore[assignment]
    with pytest.raises(EvaluationError, match=r"trial 0 .* out of memory; trial 1 .*; trial 2"):
        jobs.cool_down(trials)

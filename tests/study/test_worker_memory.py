"""Candidates whose training would not fit into a worker are rejected before it."""

from pathlib import Path

import pytest

from archsmith.errors import InfeasibleError
from archsmith.runtime import events
from archsmith.study import load_study
from archsmith.study.worker_memory import NOTE, share_of_memory, worker_memory
from archsmith.trial import Limit, Problem, TrialState
from helpers_study import Grid, Sampler, Toy, Unfiltered, make_study, static_metrics

MIB = 2**20


def with_memory(point):
    return {**static_metrics(point), "train_memory_bytes": 10.0 * MIB * (point.y + 1)}


def make(path: Path, **parts):
    return make_study(path, static_metrics=with_memory, limits=(), **parts)


def test_what_does_not_fit_is_rejected_with_both_figures(tmp_path):
    study = make(tmp_path, strategy=Unfiltered())
    told = []
    study.optimize(
        Toy(), n_trials=12, executor="inline", memory_bytes=100 * MIB, on_event=told.append
    )
    rejected = [t for t in study.trials if t.state is TrialState.REJECTED]
    assert {t.number for t in rejected} == {t.number for t in study.trials if t.architecture.y > 9}
    assert rejected
    assert all(not trial.jobs for trial in rejected)
    one = rejected[0]
    assert one.reason == (
        "train_memory_bytes <= 100.0 MiB (what a worker may use) is broken: "
        f"{10 * (one.architecture.y + 1)}.0 MiB"
    )
    assert [e.reason for e in told if isinstance(e, events.Rejected)] == [
        trial.reason for trial in rejected
    ]


def test_strategies_see_the_limit_and_propose_what_fits(tmp_path):
    study = make(tmp_path)
    study.optimize(Toy(), n_trials=10, executor="inline", memory_bytes=100 * MIB)
    assert all(t.architecture.y <= 9 for t in study.trials)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}


def test_a_continued_search_filters_as_it_began(tmp_path, monkeypatch):
    study = make(tmp_path, strategy=Unfiltered())
    free = 100 * MIB
    monkeypatch.setattr("archsmith.study.worker_memory.share_of_memory", lambda workers: free)
    study.optimize(Toy(), n_trials=6, executor="inline")
    assert study.store.notes("toy")[NOTE] == 100 * MIB
    free = 50 * MIB
    told = []
    again = make(tmp_path, strategy=Unfiltered())
    again.optimize(Toy(), n_trials=12, executor="inline", on_event=told.append)
    for trial in again.trials:
        assert (trial.state is TrialState.REJECTED) == (trial.architecture.y > 9)
    notices = [event.text for event in told if isinstance(event, events.Notice)]
    assert any("may use 50.0 MiB now" in text and "100.0 MiB" in text for text in notices)


def test_what_the_user_asks_for_counts_from_then_on(tmp_path):
    study = make(tmp_path)
    study.optimize(Toy(), n_trials=4, executor="inline", memory_bytes=100 * MIB)
    study.optimize(Toy(), n_trials=8, executor="inline", memory_bytes=50 * MIB)
    assert study.store.notes("toy")[NOTE] == 50 * MIB
    assert all(t.architecture.y <= 4 for t in study.trials if t.number >= 4)
    assert worker_memory(study.store, "toy", 7 * MIB, asked=False).value == 50 * MIB


def test_nothing_fits_says_where_the_limit_comes_from(tmp_path):
    from archsmith.space.feasible import sample_feasible

    study = make(tmp_path)
    limit = worker_memory(study.store, "toy", 5 * MIB, asked=True)
    with pytest.raises(InfeasibleError, match=r"5\.0 MiB \(what a worker may use\)"):
        sample_feasible(study.problem.within(limit), study.problem.rng(0))


def test_without_the_metric_nothing_is_rejected(tmp_path):
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=4, executor="inline", memory_bytes=1)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}


def test_further_limits_leave_the_problem_as_it_was():
    limit = Limit.parse("file_bytes <= 1000")
    problem = Problem(space=Grid(), objectives=["x"], limits=[limit], static_metrics=with_memory)
    further = problem.within(Limit.parse("num_params <= 5K"))
    assert problem.limits == (limit,)
    assert [str(one) for one in further.limits] == ["file_bytes <= 1000 B", "num_params <= 5K"]
    assert further.space is problem.space


def test_the_share_of_a_worker():
    assert 0 < share_of_memory(4) <= share_of_memory(1) / 3.5


def test_old_studies_go_on(tmp_path):
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=2, executor="inline")
    assert "train_memory_bytes" not in str(study.record.spec["limits"])
    loaded = load_study(
        study_name="toy",
        storage=study.store,
        space=Grid(),
        strategy=Sampler(),
        static_metrics=static_metrics,
    )
    loaded.optimize(Toy(), n_trials=4, executor="inline")
    assert len(loaded.trials) == 4

"""The selection of a real search, its finalists trained again, interrupted and continued."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from archsmith.errors import SearchInterrupted
from archsmith.runtime import events
from archsmith.store.records import JobKind, JobRecord, JobState
from archsmith.study import load_study
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import PlanConfig, load_search_config
from archsmith.workflow.selection import Finalist, FinalistRun
from archsmith.workflow.watcher import Watcher
from helpers_workflow import FinishedSearch, budget, one_core

DONE = SimpleNamespace(record=SimpleNamespace(flops=1.0, wall_seconds=1.0))


class Impatient(Watcher):
    """Presses Ctrl-C twice after the first training."""

    def event(self, event: events.Event) -> None:
        if isinstance(event, events.Finished) and event.kind == "repeat":
            raise KeyboardInterrupt


def pipeline_of(search: FinishedSearch, watcher: Watcher | None = None, **plan: object) -> Pipeline:
    config, root = load_search_config(search.config_file)
    config = config.model_copy(update={"plan": config.plan.model_copy(update=plan)})
    return Pipeline(config, root=root, watcher=watcher)


def unselected(search: FinishedSearch, folder: Path) -> FinishedSearch:
    """The search as if it had been killed before its selection."""
    copied = search.copy(folder)
    store = copied.pipeline().store
    for key in ("finalists", "repeats", "arms"):
        store.put_note("notes", key, None)
    return copied


def repeats_of(pipeline: Pipeline) -> list[JobRecord]:
    trials = pipeline.store.trials("notes")
    return [job for trial in trials for job in trial.jobs if job.kind is JobKind.REPEAT]


def finalists_of(pipeline: Pipeline) -> list[Finalist]:
    stored = pipeline.store.notes("notes")["finalists"]
    return [Finalist.model_validate(json.loads(json.dumps(one))) for one in stored]


def plan_of(pipeline: Pipeline) -> Mapping[str, object]:
    return pipeline.store.notes("notes")["repeats"]  # type: ignore[no-any-return]


def test_an_interrupted_selection_goes_on_and_does_nothing_twice(
    finished: FinishedSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = unselected(finished, tmp_path / "again")
    settings = {"fresh_seeds": 0, "rate_factors": (0.5,)}
    with one_core():
        stopped = pipeline_of(search, Impatient(), **settings)
        with pytest.raises(SearchInterrupted, match="'notes' was stopped after a checkpoint"):
            stopped.select(load_study(study_name="notes", storage=stopped.store))
        (done,) = [job for job in repeats_of(stopped) if job.state is JobState.DONE]
        assert not stopped.store.notes("notes")["finalists"]
        pipeline = pipeline_of(search, **settings)
        study = load_study(study_name="notes", storage=pipeline.store)
        winner = pipeline.select(study)
    jobs = repeats_of(pipeline)
    assert {job.state for job in jobs} == {JobState.DONE}
    assert len(jobs) == len(plan_of(pipeline)["planned"]) == 2  # type: ignore[arg-type]
    same = next(job for job in jobs if job.id == done.id)
    assert (same.attempt, same.metrics) == (1, done.metrics)
    seed, rate = pipeline.config.seed, pipeline.config.training.learning_rate
    assert [(job.seed, job.options["learning_rate"]) for job in jobs] == [(seed, rate / 2)] * 2
    found = finalists_of(pipeline)
    assert found[0] == winner
    for one in found:
        own, halved = one.runs
        assert [(run.seed, run.rate_factor) for run in one.runs] == [(seed, 1.0), (seed, 0.5)]
        assert own.selection_bits_per_byte is not None
        assert halved.selection_bits_per_byte is not None
        gain = own.selection_bits_per_byte - halved.selection_bits_per_byte
        assert gain != 0.0
        assert one.selection_bits_per_byte == pytest.approx(
            own.selection_bits_per_byte - (gain if one.rate_factor == 0.5 else 0.0)
        )
    # of the trunks that were trained again, the winner's alone is kept, if it is to go on
    kept = [job.number for job in jobs if job.checkpoint_out]
    assert kept == ([winner.trial] if winner.rate_factor == 0.5 else [])

    # at other rates the final training goes on from the trunk that had them
    told: dict[str, object] = {}
    monkeypatch.setattr(
        "archsmith.workflow.final_training.train_network",
        lambda *_, **rest: told.update(rest) or DONE,
    )
    own_job = next(job for job in jobs if job.number == winner.trial)
    with pipeline.store.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET checkpoint_out = 'there' WHERE id = ?", (own_job.id,)
        )
    runs = (winner.runs[0], winner.runs[1].model_copy(update={"checkpoint": "there"}))
    at_half = winner.model_copy(update={"rate_factor": 0.5, "runs": runs})
    pipeline.train(study, at_half, pipeline.config.training)
    assert told["checkpoint"] == study.checkpoint_root / "there"
    assert told["recipe"] == pipeline.config.training.model_copy(
        update={
            "learning_rate": rate / 2,
            "embedding_learning_rate": pipeline.config.training.embedding_learning_rate / 2,
        }
    )
    pipeline.train(study, winner.model_copy(update={"rate_factor": 1.0}), pipeline.config.training)
    trunk = study.trials[winner.trial].last_rung
    assert trunk is not None
    assert told["checkpoint"] == study.checkpoint_root / trunk.checkpoint_out
    assert told["recipe"] == pipeline.config.training


def test_nothing_is_trained_again_unless_asked_for(finished: FinishedSearch) -> None:
    pipeline = finished.pipeline()
    assert repeats_of(pipeline) == []
    assert plan_of(pipeline) == {
        "planned": [],
        "room_seconds": None,
        "reason": "it was not asked for",
    }
    assert all(len(one.runs) == 1 for one in finalists_of(pipeline))


def test_a_search_without_time_left_trains_nothing_again(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    search = unselected(finished, tmp_path / "late")
    pipeline = pipeline_of(search, fresh_seeds=1, rate_factors=(0.5,))
    pipeline.budget = budget(600.0)
    pipeline.store.put_note("notes", "search_seconds", 600.0)
    with one_core():
        pipeline.select(load_study(study_name="notes", storage=pipeline.store))
    assert repeats_of(pipeline) == []
    assert str(plan_of(pipeline)["reason"]).startswith("no training fits in the 0")


def test_the_settings_are_checked() -> None:
    for factors in ((1.0,), (2.0, 0.5), (0.5, 0.5), (0.01,), (32.0,)):
        with pytest.raises(ValueError, match="must rise from at least"):
            PlanConfig(rate_factors=factors)
    assert PlanConfig(rate_factors=(0.25, 0.5, 4.0)).rate_factors == (0.25, 0.5, 4.0)
    assert Finalist.model_validate(OLD).runs == ()
    assert Finalist.model_validate(OLD).trunk is None
    assert FinalistRun(seed=1).done is False


# as earlier versions noted it
OLD = {
    "trial": 3,
    "rung": 1,
    "train_bytes": 5000,
    "search_bits_per_byte": 2.0,
    "selection_bits_per_byte": 2.0,
    "predicted_bits_per_byte": 2.0,
    "half_width": 0.0,
    "cooled": True,
}

"""The checkpoints' share of the disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from archsmith.errors import StoreError
from archsmith.runtime import disk, events
from archsmith.runtime.folders import num_bytes
from archsmith.trial import TrialState
from helpers_study import Point, Toy, make_study

SIZE = 1000


def on_disk(folder: Path) -> set[str]:
    return {
        path.parent.parent.name + "/" + path.parent.name for path in folder.rglob("checkpoint*")
    }


def test_checkpoints_stay_within_their_budget(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    told: list[events.Event] = []
    toy = Toy(checkpoint_bytes=SIZE)
    study.optimize(
        toy, n_trials=12, executor="inline", checkpoint_bytes=8 * SIZE, on_event=told.append
    )
    live = study.store.checkpoints("toy")
    assert disk.used_bytes(study.store, "toy") <= 9 * SIZE
    assert num_bytes(study.checkpoint_root) == sum(entry.num_bytes for entry in live)
    (best,) = study.best_trials
    assert best.number in {entry.number for entry in live if entry.rung == best.rung}
    assert any("collected" in e.text for e in told if isinstance(e, events.Notice))
    rungs_done = {trial.number: trial.rung for trial in study.trials}
    superseded = [entry for entry in live if entry.rung < rungs_done[entry.number]]
    assert superseded == []


def test_a_collected_checkpoint_is_no_longer_offered(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(checkpoint_bytes=SIZE), n_trials=6, executor="inline")
    trials = {trial.number: trial for trial in study.trials}
    best = {trial.number for trial in study.best_trials}
    freed = disk.make_room(
        study.store,
        "toy",
        trials,
        objectives=["bits_per_byte"],
        best=best,
        last_rung=2,
        budget_bytes=0,
    )
    assert freed.num_bytes > 0
    kept = {entry.number for entry in study.store.checkpoints("toy")}
    assert best <= kept
    offered = {t.number for t in study.trials for job in t.jobs if job.checkpoint_out}
    assert offered == kept
    assert study.trials[0].jobs[0].metrics  # the results stay


def test_nobody_is_trained_again_for_a_checkpoint_that_was_deleted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = make_study(tmp_path)
    told: list[events.Event] = []
    study.optimize(
        Toy(checkpoint_bytes=SIZE, log=str(log)),
        n_trials=25,
        executor="inline",
        checkpoint_bytes=4 * SIZE,
        on_event=told.append,
    )
    steps = [line.split()[:2] for line in log.read_text().splitlines()]
    assert len(steps) == len({tuple(step) for step in steps})
    promotions = [job for trial in study.trials for job in trial.jobs if job.rung > 0]
    assert len(promotions) > 10
    assert all(job.checkpoint_in for job in promotions)
    assert not any(event.from_scratch for event in told if isinstance(event, events.Promoted))
    (text,) = {e.text for e in told if isinstance(e, events.Notice) and "trial 3" in e.text}
    assert "no longer promoted without theirs: trial 3" in text
    stays = study.trials[3]
    assert (stays.state, stays.rung, stays.eliminated_rung) == (TrialState.COMPLETE, 0, 0)


def test_an_evaluator_that_leaves_no_checkpoints_begins_each_rung_anew(tmp_path: Path) -> None:
    told: list[events.Event] = []
    study = make_study(tmp_path)
    study.optimize(Toy(checkpoints=False), n_trials=6, executor="inline", on_event=told.append)
    promotions = [event for event in told if isinstance(event, events.Promoted)]
    assert promotions
    assert all(event.from_scratch for event in promotions)


def test_what_is_not_decided_goes_last(tmp_path: Path) -> None:
    """Trials that wait at the first rung outlive those that were eliminated there."""
    study = make_study(tmp_path)
    study.optimize(Toy(checkpoint_bytes=SIZE), n_trials=8, executor="inline")
    trials = {trial.number: trial for trial in study.trials}
    live = {entry.number for entry in study.store.checkpoints("toy")}
    lost = [n for n, t in trials.items() if t.eliminated_rung is not None and n in live]
    waiting = replace(trials[lost[0]], eliminated_rung=None)
    settings = {"objectives": ["bits_per_byte"], "best": (), "last_rung": 2}
    trials[lost[0]] = waiting
    freed = disk.make_room(
        study.store,
        "toy",
        trials,
        budget_bytes=SIZE,
        **settings,  # type: ignore[arg-type]
    )
    assert {entry.number for entry in study.store.checkpoints("toy")} == {lost[0]}
    assert set(lost[1:]) <= set(freed.ended)
    freed = disk.make_room(
        study.store,
        "toy",
        trials,
        budget_bytes=0,
        **settings,  # type: ignore[arg-type]
    )
    assert freed == (SIZE, (lost[0],))


def test_a_full_budget_refuses_new_jobs(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=7, y=11)], rungs=())
    message = r"hold 1000 B of the 500 B they may.*checkpoint_bytes.*the search continues"
    with pytest.raises(StoreError, match=message):
        study.optimize(
            Toy(checkpoint_bytes=SIZE), n_trials=3, executor="inline", checkpoint_bytes=500
        )
    study.optimize(Toy(checkpoint_bytes=SIZE), n_trials=3, executor="inline")
    assert len(study.trials) == 3


def test_a_full_disk_refuses_new_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(StoreError, match=r"the disk of .* is full: .* free some space"):
        make_study(tmp_path).optimize(Toy(), n_trials=1, executor="inline")


def test_orphans_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(checkpoint_bytes=SIZE), n_trials=3, executor="inline")
    before = on_disk(study.checkpoint_root)
    orphan = study.checkpoint_root / "trial-00099" / "rung-0-seed-3"
    orphan.mkdir(parents=True)
    (orphan / "checkpoint.json").write_text("x" * 50)
    assert disk.collect_orphans(study.store, "toy") == 50
    assert on_disk(study.checkpoint_root) == before
    assert disk.collect_orphans(study.store, "toy") == 0

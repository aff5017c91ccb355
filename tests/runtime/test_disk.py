"""The checkpoints' share of the disk."""

from pathlib import Path

import pytest

from archsmith.errors import StoreError
from archsmith.runtime import disk, events
from archsmith.runtime.folders import num_bytes
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
        budget_bytes=0,
    )
    assert freed > 0
    kept = {entry.number for entry in study.store.checkpoints("toy")}
    assert best <= kept
    offered = {t.number for t in study.trials for job in t.jobs if job.checkpoint_out}
    assert offered == kept
    assert study.trials[0].jobs[0].metrics  # the results stay


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

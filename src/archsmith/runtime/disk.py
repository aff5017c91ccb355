"""The checkpoints' share of the disk: what may be deleted, in which order, and when to refuse.

Deleted first is what is superseded (the trial has a later checkpoint), then what failed or broke
a limit, then what was eliminated or climbed to the top, lowest rung and worst score first, and at
last what is not decided yet. A trial without its checkpoint is promoted no more: it would have to
begin again. Never deleted for room: the input of a queued or running job, the checkpoints of the
best trials, and everything that was extended or trained again.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from archsmith.errors import StoreError
from archsmith.halving.ranking import rank
from archsmith.runtime.folders import checkpoint_root, job_folder, num_bytes
from archsmith.store.records import BESIDE, CheckpointRecord, JobKind, TrialRecord
from archsmith.store.store import Store
from archsmith.trial import TrialState
from archsmith.units import format_bytes

# Below this much free space no job is begun: the store itself must still be able to write.
MIN_FREE_BYTES = 256 * 2**20
# Without a budget given, checkpoints may fill this share of what was free at the start.
DEFAULT_SHARE = 0.5


class Freed(NamedTuple):
    """Bytes that were deleted, and the trials that can no longer be promoted, by number."""

    num_bytes: int
    ended: tuple[int, ...]


def default_budget_bytes(store: Store, study: str) -> int:
    """Half of what is free, beside what the study's checkpoints hold already."""
    root = checkpoint_root(store, store.study(study))
    free = shutil.disk_usage(_existing(root)).free
    return used_bytes(store, study) + round(DEFAULT_SHARE * free)


def used_bytes(store: Store, study: str) -> int:
    """Bytes of all checkpoints that should be on disk."""
    return sum(checkpoint.num_bytes for checkpoint in store.checkpoints(study))


def make_room(
    store: Store,
    study: str,
    trials: Mapping[int, TrialRecord],
    *,
    objectives: Sequence[str],
    best: Collection[int],
    last_rung: int,
    budget_bytes: int,
) -> Freed:
    """Delete checkpoints until they fit the budget. From `last_rung` nobody is promoted."""
    live = store.checkpoints(study)
    used = sum(checkpoint.num_bytes for checkpoint in live)
    if used <= budget_bytes:
        return Freed(0, ())
    root = checkpoint_root(store, store.study(study))
    freed = 0
    ended: list[int] = []
    for checkpoint in _deletable(
        live, trials, objectives=objectives, best=best, last_rung=last_rung
    ):
        if used - freed <= budget_bytes:
            break
        # Forgotten first: a file without an entry is an orphan, an entry without a file a lie.
        store.forget_checkpoints(study, [checkpoint])
        _delete(root, checkpoint.path)
        freed += checkpoint.num_bytes
        trial = trials[checkpoint.number]
        if trial.state is TrialState.COMPLETE and trial.rung == checkpoint.rung < last_rung:
            ended.append(trial.number)
    return Freed(freed, tuple(sorted(ended)))


def check_space(store: Store, study: str, *, budget_bytes: int) -> None:
    """Raises StoreError if no further job may be begun."""
    root = checkpoint_root(store, store.study(study))
    used = used_bytes(store, study)
    if used > budget_bytes:
        raise StoreError(
            f"checkpoints of study '{study}' hold {format_bytes(used)} of the "
            f"{format_bytes(budget_bytes)} they may, and none can be deleted; give more with "
            "checkpoint_bytes and start again, the search continues"
        )
    free = shutil.disk_usage(_existing(root)).free
    if free < MIN_FREE_BYTES:
        raise StoreError(
            f"the disk of {root} is full: {format_bytes(free)} are free and "
            f"{format_bytes(MIN_FREE_BYTES)} are needed; free some space and start again, "
            "the search continues"
        )


def collect_orphans(store: Store, study: str) -> int:
    """Delete job folders that no checkpoint and no open job refers to; returns the bytes freed.

    Such folders are left by a process that was killed between writing and recording.
    """
    root = checkpoint_root(store, store.study(study))
    # Listed before the store is read: a folder made in between is not in the list.
    folders = sorted(root.glob("trial-*/*"))
    trials = store.changes(study, since=-1)[1]
    wanted = {
        job_folder(root, job)
        for trial in trials
        for job in trial.jobs
        if job.is_open or job.kind in BESIDE
    }
    wanted |= {_folder_of(root, entry.path) for entry in store.checkpoints(study)}
    wanted |= {
        _folder_of(root, job.checkpoint_in)
        for trial in trials
        for job in trial.jobs
        if job.is_open and job.checkpoint_in
    }
    freed = 0
    for folder in folders:
        if folder not in wanted:
            freed += num_bytes(folder)
            _remove(folder)
    return freed


def delete_repeats(store: Store, study: str, *, keep: Collection[str]) -> int:
    """Delete what trials trained again left, but for the checkpoints to `keep`, by their stored
    paths; returns the bytes freed. What they scored stays."""
    root = checkpoint_root(store, store.study(study))
    gone = [
        checkpoint
        for checkpoint in store.checkpoints(study)
        if checkpoint.kind is JobKind.REPEAT and checkpoint.path not in keep
    ]
    store.forget_checkpoints(study, gone)
    for checkpoint in gone:
        _delete(root, checkpoint.path)
    return sum(checkpoint.num_bytes for checkpoint in gone)


def remove_empty_folders(store: Store, study: str) -> None:
    """Delete the folders of jobs that wrote nothing and are not open."""
    root = checkpoint_root(store, store.study(study))
    in_use = {job_folder(root, job) for job in store.queue.leased(study)}
    for folder in [*root.glob("trial-*/*"), *root.glob("trial-*"), root, root.parent]:
        if folder not in in_use and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _deletable(
    live: Sequence[CheckpointRecord],
    trials: Mapping[int, TrialRecord],
    *,
    objectives: Sequence[str],
    best: Collection[int],
    last_rung: int,
) -> list[CheckpointRecord]:
    inputs = {job.checkpoint_in for t in trials.values() for job in t.jobs if job.is_open}
    places = _places(trials.values(), objectives)
    ordered: list[tuple[tuple[int, int, int], CheckpointRecord]] = []
    for entry in live:
        trial = trials[entry.number]
        superseded = entry.kind is JobKind.RUNG and entry.rung < trial.rung
        if entry.kind is not JobKind.RUNG or entry.path in inputs:
            continue
        if superseded:
            order = (0, entry.rung, 0)
        elif entry.number in best:
            continue
        elif trial.state in (TrialState.FAILED, TrialState.REJECTED):
            order = (1, entry.rung, 0)
        elif any(job.is_open and job.kind not in BESIDE for job in trial.jobs):
            continue
        else:
            decided = trial.eliminated_rung is not None or trial.rung >= last_rung
            order = (2 if decided else 3, entry.rung, -places.get(entry.number, 0))
        ordered.append((order, entry))
    return [entry for _, entry in sorted(ordered, key=lambda pair: (pair[0], pair[1].id))]


def _places(trials: Collection[TrialRecord], objectives: Sequence[str]) -> dict[int, int]:
    scored = [t for t in trials if all(name in t.metrics for name in objectives)]
    order = rank([[trial.metrics[name] for name in objectives] for trial in scored])
    return {scored[index].number: place for place, index in enumerate(order)}


def _folder_of(root: Path, path: str) -> Path:
    """The job folder a stored path lies in; the path itself outside of the root."""
    whole = root / path
    if not whole.is_relative_to(root):
        return whole
    parts = whole.relative_to(root).parts
    return root.joinpath(*parts[:2])


def _delete(root: Path, path: str) -> None:
    folder = _folder_of(root, path)
    if folder.is_relative_to(root):  # elsewhere it is not ours
        _remove(folder)


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)

"""What one worker may use of the machine's memory, and the limit on candidates it makes.

The limit is decided when a study is first optimized and kept with it, so that a continued search
rejects what it would have rejected before. What kills a worker is decided anew at every start.
"""

from collections.abc import Callable
from typing import NamedTuple

import psutil

from archsmith.runtime.events import Event, Notice
from archsmith.store.store import Store
from archsmith.trial import Limit
from archsmith.units import format_bytes

NOTE = "worker_memory_bytes"
METRIC = "train_memory_bytes"
_SHARE_OF_FREE = 0.9  # the rest is for the search itself and whoever else is there


class WorkerMemory(Limit):
    """The limit that nobody wrote down: a candidate's training has to fit into a worker."""

    def __str__(self) -> str:
        return f"{super().__str__()} (what a worker may use)"


class Memory(NamedTuple):
    """What one worker may use before it is stopped, and what its candidates may need."""

    allowed_bytes: int
    limit: WorkerMemory


def divide_memory(
    store: Store,
    study: str,
    *,
    num_workers: int,
    asked_bytes: int | None,
    on_event: Callable[[Event], None],
) -> Memory:
    """The memory of each worker at a start of a search; `asked_bytes`, or a share of what is free.

    Where that is less than the study began with, a notice says so.
    """
    allowed = asked_bytes or share_of_memory(num_workers)
    limit = worker_memory(store, study, allowed, asked=asked_bytes is not None)
    if limit.value > allowed:
        on_event(
            Notice(
                text=f"a worker may use {format_bytes(allowed)} now, and candidates are "
                f"admitted up to the {format_bytes(limit.value)} the study began with; those "
                "between are stopped when they use more. Fewer jobs leave each of them more"
            )
        )
    return Memory(allowed, limit)


def share_of_memory(num_workers: int) -> int:
    """Bytes one of so many workers may use of what is free now."""
    return round(_SHARE_OF_FREE * psutil.virtual_memory().available / num_workers)


def worker_memory(store: Store, study: str, allowed: int, *, asked: bool) -> WorkerMemory:
    """The limit of a study: the one it began with, unless the user asked for `allowed` bytes."""
    kept = store.notes(study).get(NOTE)
    if kept is None or asked:
        store.put_note(study, NOTE, allowed)
        kept = allowed
    return WorkerMemory(metric=METRIC, comparison="<=", value=float(kept))

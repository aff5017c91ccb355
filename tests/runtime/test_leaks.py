"""A worker after a thousand candidates is as large as after two hundred.

Beside that grow only caches of candidates' shapes, which have a largest size; here they are emptied
after every candidate, so that nothing hides behind them.
"""

import functools
import gc
import random
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from runtime_helpers import STUDY, add_trial, make_text, network, real_store

from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.runtime.worker import owner_name, work
from archsmith.store.records import JobState
from archsmith.trial import TrialState

WARM_TRIALS, TRIALS = 200, 1000
# Memory freed in pieces between others that are in use, which the C library cannot use again.
MAX_GROWTH_BYTES = 16 * 2**20
# Caches of fewer entries are not of candidates.
LARGE_CACHE = 1000


class Size(NamedTuple):
    """What a process holds."""

    memory_bytes: int
    files: int
    threads: int
    unbounded_entries: int


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_candidates_leave_nothing_behind(tmp_path: Path) -> None:
    evaluator = TrunkTraining(**make_text(tmp_path))
    store = real_store(tmp_path, evaluator)
    rng = random.Random(0)
    sizes: dict[int, Size] = {}
    caches: list[Any] = []
    for number in range(TRIALS):
        candidate = network(
            hidden_size=16 + 2 * (number % 17),
            layers=rng.randrange(1, 4),
            feed_forward=rng.choice(("gated_mlp", "mixture_of_experts")),
            intermediate_size=16 + 2 * (number // 17),
        )
        # two or three updates of 48 tokens
        add_trial(store, number, candidate, train_bytes=rng.choice((200, 300)))
        work(
            store,
            STUDY,
            evaluator,
            owner=owner_name(),
            threads=1,
            stop=lambda: False,
            stay=False,
        )
        caches = caches or our_caches()
        for cache in caches:
            if (cache.cache_info().maxsize or 0) >= LARGE_CACHE:
                cache.cache_clear()
        if (number + 1) % 100 == 0:
            sizes[number + 1] = size_now(caches)
            print(number + 1, sizes[number + 1], flush=True)  # noqa: T201 - shown where it fails
    trials = store.trials(STUDY)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {job.state for trial in trials for job in trial.jobs} == {JobState.DONE}
    assert {job.details["step"] for trial in trials for job in trial.jobs} == {2, 3}
    warm, end = sizes[WARM_TRIALS], sizes[TRIALS]
    assert end.files <= warm.files
    assert end.threads <= warm.threads
    assert end.unbounded_entries == warm.unbounded_entries
    assert end.memory_bytes - warm.memory_bytes < MAX_GROWTH_BYTES


def our_caches() -> list[Any]:
    """The caches of archsmith's functions."""
    kind = type(functools.cache(len))
    found = [each for each in gc.get_objects() if type(each) is kind]
    return [each for each in found if str(getattr(each, "__module__", "")).startswith("archsmith")]


def size_now(caches: list[Any]) -> Size:
    """Of this process."""
    gc.collect()
    process = psutil.Process()
    counts = [cache.cache_info() for cache in caches]
    return Size(
        memory_bytes=process.memory_info().rss,
        files=process.num_fds(),
        threads=process.num_threads(),
        unbounded_entries=sum(info.currsize for info in counts if info.maxsize is None),
    )

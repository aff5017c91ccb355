"""A worker after a thousand candidates is as large as after two hundred."""

import gc
import random
from pathlib import Path

import psutil
import pytest
from runtime_helpers import STUDY, add_trial, make_text, network, real_store

from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.runtime.worker import owner_name, work
from archsmith.store.records import JobState
from archsmith.trial import TrialState

WARM_TRIALS, TRIALS = 200, 1000
# Freed memory that the C library keeps; it stays below its share of one candidate's peak.
MAX_GROWTH_BYTES = 8 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_candidates_leave_nothing_behind(tmp_path: Path) -> None:
    evaluator = TrunkTraining(**make_text(tmp_path))
    store = real_store(tmp_path, evaluator)
    rng = random.Random(0)
    process = psutil.Process()
    sizes: dict[int, tuple[int, int, int]] = {}

    def look(done: int) -> None:
        gc.collect()
        sizes[done] = (
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
        )

    for number in range(TRIALS):
        candidate = network(
            hidden_size=16 + 2 * (number % 17),
            layers=rng.randrange(1, 4),
            feed_forward=rng.choice(("gated_mlp", "mixture_of_experts")),
            intermediate_size=16 + 2 * (number // 17),
        )
        # two or three updates of 48 tokens
        add_trial(store, number, candidate, train_bytes=rng.choice((300, 450)))
        work(
            store,
            STUDY,
            evaluator,
            owner=owner_name(),
            threads=1,
            stop=lambda: False,
            stay=False,
        )
        if number + 1 in (WARM_TRIALS, TRIALS) or (number + 1) % 100 == 0:
            look(number + 1)
            print(number + 1, sizes[number + 1], flush=True)  # noqa: T201 - shown where it fails
    trials = store.trials(STUDY)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {job.state for trial in trials for job in trial.jobs} == {JobState.DONE}
    steps = {job.details["step"] for trial in trials for job in trial.jobs}
    assert steps <= {2, 3}
    memory, files, threads = zip(sizes[WARM_TRIALS], sizes[TRIALS], strict=True)
    assert files[1] <= files[0]
    assert threads[1] <= threads[0]
    assert memory[1] - memory[0] < MAX_GROWTH_BYTES

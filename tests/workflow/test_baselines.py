"""Baselines cost what the ledger says the search cost, and one that fails does not end the job."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archsmith.errors import EvaluationError, InfeasibleError, SearchInterrupted
from archsmith.presets import scaled_llama
from archsmith.store.records import NewJob
from archsmith.store.store import Store, connect
from archsmith.train.recipe import Recipe
from archsmith.trial import Proposal
from archsmith.workflow import baselines
from archsmith.workflow.baselines import MAXIMIZER, train_baselines
from archsmith.workflow.fitting import fitted_at_each
from archsmith.workflow.study_notes import Spent, StudyNotes
from helpers_workflow import Recorder

LLAMA = baselines.BASELINES["llama_shape"]


def shape(vocab_size: int = 320) -> Any:
    return scaled_llama(32, vocab_size=vocab_size, context_tokens=32, quantization="Q8_0")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two jobs of 20 seconds that computed for 10 and 18 of them, and all other phases."""
    found = connect(tmp_path / "studies.db", create=True)
    found.create_study("notes", spec={}, seed=0)
    for number, (size, seconds) in enumerate(((320, 10.0), (288, 18.0))):
        found.add_trial(
            "notes", Proposal(architecture=shape(size), strategy="random"), number=number,
            static_metrics={}, rejected="",
            job=NewJob(number=number, rung=0, fraction=0.1, train_bytes=1000),
        )  # fmt: skip
        job = found.queue.claim("notes", owner="worker", lease_seconds=60)
        assert job is not None
        found.queue.finish(
            job, metrics={"bits_per_byte": 2.0}, cpu_seconds=seconds, wall_seconds=20.0,
            details={"flops": 100.0, "branch_flops": 20.0},
        )  # fmt: skip
    for phase in ("prepare", "export", "floors", "baselines"):
        found.spend("notes", phase, seconds=1000.0, flops=1e6)
    found.spend("notes", "suggest", seconds=3.0)
    found.spend("notes", "calibration", seconds=6.0)
    found.spend("notes", "select", seconds=1.0)
    found.spend("notes", "final training", seconds=50.0, flops=500.0)
    return found


class Arm:
    """Stands for an `ArmProcess`: ends as it is told."""

    ends: dict[str, BaseException] = {}  # noqa: RUF012 - emptied by the fixture
    started: list[Any] = []  # noqa: RUF012
    stopped: list[str] = []  # noqa: RUF012

    def __init__(self, task: Any, *, on_progress: Any) -> None:
        self.task = task
        self.started.append(task)

    def wait(self) -> None:
        if self.task.name in self.ends:
            raise self.ends[self.task.name]

    def stop(self) -> None:
        self.stopped.append(self.task.name)


@pytest.fixture
def train(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[str], Recorder]]:
    """`train_baselines` on two cores without a process; those done, and what the watcher heard."""
    for kept in (Arm.ends, Arm.started, Arm.stopped):
        kept.clear()
    monkeypatch.setattr(baselines, "ArmProcess", Arm)
    monkeypatch.setattr(baselines, "num_usable_cores", lambda: 2)
    monkeypatch.setattr(baselines, "fit", lambda workspace, kind: (shape(320), shape(288)))
    monkeypatch.setattr(
        baselines, "arm_task", lambda w, name, a, **options: SimpleNamespace(name=name, **options)
    )

    def call(
        *kinds: str, timeout: float | None = 600.0, n_jobs: int = 2, **options: Any
    ) -> tuple[list[str], Recorder]:
        config = SimpleNamespace(
            baselines=kinds or ("parameter_maximizer",),
            timeout=timeout,
            n_jobs=n_jobs,
            plan=SimpleNamespace(search_share=0.25),
        )
        watcher = Recorder()
        done = train_baselines(
            SimpleNamespace(config=config),  # type: ignore[arg-type]
            recipe=Recipe(),
            notes=StudyNotes(lambda: store, "notes"),
            watcher=watcher,
            num_cores=2,
            winner=SimpleNamespace(num_threads=2, train_bytes=7000),  # type: ignore[arg-type]
            begin=lambda seconds: watcher.phase("baselines", seconds),
            **options,
        )
        assert watcher.phases == ["baselines"]
        return done, watcher

    return call


@pytest.mark.parametrize(
    ("n_jobs", "options", "core_seconds"),
    [
        (2, {}, 3 + 6 + 1 + 20 + 20 + 2 * 50),  # jobs hold a core while they wait for it
        (4, {}, 3 + 6 + 1 + 10 + 18 + 2 * 50),  # four jobs on two cores: each holds half of one
        (2, {"in_one_process": True}, 3 + 6 + 1 + 10 + 18 + 2 * 50),
    ],
)
def test_a_baseline_gets_the_core_seconds_of_the_ledger(
    train: Callable[..., Any], n_jobs: int, options: dict[str, Any], core_seconds: float
) -> None:
    done, _ = train(n_jobs=n_jobs, **options)
    assert done == [MAXIMIZER]
    (task,) = Arm.started
    # alone it has both cores, like the winner
    assert (task.num_threads, task.max_seconds) == (2, core_seconds / 2)
    assert task.max_flops is None
    assert task.tuning.share == 0.25
    assert task.tuning.shapes == (shape(320), shape(288))
    Arm.started.clear()


def test_two_baselines_have_a_core_each(train: Callable[..., Any]) -> None:
    train("parameter_maximizer", "llama_shape")
    assert [(task.num_threads, task.max_seconds) for task in Arm.started] == [(1, 150.0)] * 2


def test_without_a_timeout_it_gets_the_flops_of_the_ledger(train: Callable[..., Any]) -> None:
    train(timeout=None)
    (task,) = Arm.started
    assert (task.max_flops, task.max_seconds) == (2 * 120.0 + 500.0, None)
    assert task.least_bytes == 7000


def test_what_was_decided_once_stays(train: Callable[..., Any], store: Store) -> None:
    """A second start finds its runs, and proposes a little more."""
    train()
    store.spend("notes", "propose", seconds=7.0)
    train()
    assert Arm.started[0].max_seconds == Arm.started[1].max_seconds


def test_a_baseline_that_fails_is_left_out(
    train: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Arm.ends[MAXIMIZER] = EvaluationError("out of memory\nmore of it")
    done, watcher = train("parameter_maximizer", "llama_shape")
    assert done == [LLAMA]
    assert watcher.notes == ["there will be no parameter maximizer to compare with: out of memory"]
    assert store.notes("notes")["baselines"][MAXIMIZER]["reason"] == "out of memory"

    def nothing(workspace: Any, kind: str) -> Any:
        raise InfeasibleError("takes more milliseconds")

    monkeypatch.setattr(baselines, "fit", nothing)
    done, watcher = train("phi3_shape", "llama_shape")
    assert done == [LLAMA]
    assert "takes more milliseconds" in watcher.notes[0]


def test_an_arm_that_was_stopped_ends_the_job(train: Callable[..., Any]) -> None:
    Arm.ends[MAXIMIZER] = SearchInterrupted("stopped")
    with pytest.raises(SearchInterrupted):
        train("parameter_maximizer", "llama_shape")
    assert Arm.stopped == [MAXIMIZER, LLAMA]


def test_a_training_is_entered_once(store: Store) -> None:
    notes = StudyNotes(lambda: store, "notes")

    def spent() -> Spent:
        return notes.search_spent(final_threads=1, of_job=lambda entry: 0.0)

    before = spent()
    for _ in range(2):
        notes.spend_once("final training", seconds=12.5, flops=30.0)
    assert spent() == (before.core_seconds + 12.5, before.flops + 30.0)
    notes.spend_once("final training", seconds=12.5, flops=31.0)  # another one
    assert spent().core_seconds == before.core_seconds + 25.0


def test_shapes_at_every_vocabulary_at_which_one_fits() -> None:
    problems: dict[int, Any] = {
        size: SimpleNamespace(limits=(), rng=lambda number: None, size=size)
        for size in (288, 320, 352, 384)
    }

    class Strategy:
        def propose(self, problem: Any, history: Any, rng: Any) -> Any:
            if problem.size == 288:
                raise InfeasibleError("nothing fits")
            return SimpleNamespace(architecture=shape(problem.size))

    found = fitted_at_each(problems, Strategy(), first=shape(352), target=None)  # type: ignore[arg-type]
    assert found == (shape(352), shape(320), shape(384))

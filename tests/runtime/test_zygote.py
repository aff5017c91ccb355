"""Workers that are forked: fit, warm, and as well looked after as fresh ones."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from runtime_evaluators import Spy
from runtime_helpers import STUDY, add_trial, make_text, network, real_store
from runtime_threaded import Threaded

from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.runtime import events, processes
from archsmith.runtime.parts import dump_evaluator
from archsmith.runtime.processes import FreshProcesses, Starter, WorkerProcess, fork_is_safe
from archsmith.runtime.supervisor import Supervisor
from archsmith.runtime.worker import owner_name, work
from archsmith.runtime.zygote import Zygote
from archsmith.runtime.zygote_main import unfit
from archsmith.store.records import JobState
from archsmith.store.store import Store
from archsmith.trial import TrialState
from helpers_study import Point, Toy, make_study

pytestmark = pytest.mark.skipif(not fork_is_safe(), reason="workers are not forked here")


@pytest.fixture
def life_line() -> Iterator[int]:
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


@pytest.fixture
def errors() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_text(tmp_path_factory.mktemp("text"))


Children = Callable[[], list[psutil.Process]]


def zygotes() -> list[psutil.Process]:
    """Of this process."""
    found = psutil.Process().children()
    return [child for child in found if "archsmith.runtime.zygote_main" in child.cmdline()]


def said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode()


def assert_fit(zygote: psutil.Process) -> None:
    """Warm, with one thread, and without a database."""
    assert any("libtorch" in entry.path for entry in zygote.memory_maps())
    assert zygote.num_threads() == 1
    assert not [file for file in zygote.open_files() if ".db" in file.path]
    assert zygote.net_connections("inet") == []


def supervise(store: Store, done: Callable[[], bool], **settings: Any) -> None:
    """Run the workers of the study until something holds."""
    supervisor = Supervisor(store, STUDY, num_slots=1, on_notice=lambda text: None, **settings)
    deadline = time.monotonic() + 120
    try:
        while not done():
            assert time.monotonic() < deadline, "it did not happen in time"
            supervisor.work()
    finally:
        supervisor.close(kill=not done())


def is_done(store: Store, *numbers: int) -> Callable[[], bool]:
    return lambda: all(not store.trial(STUDY, n).jobs[0].is_open for n in numbers)


@pytest.mark.parametrize("kind", ["forked", "fresh"])
def test_both_kinds_of_worker_end_and_say_why_alike(
    tmp_path: Path, life_line: int, errors: IO[bytes], kind: str, children: Children
) -> None:
    study = make_study(tmp_path)
    study.store.put_note("toy", "evaluator", dump_evaluator(Toy()))
    starter: Starter = FreshProcesses(life_line)
    if kind == "forked":
        note = dump_evaluator(Toy())
        starter = Zygote(note, life_line, threads=1, on_notice=lambda text: None)

    def start(*arguments: str) -> WorkerProcess:
        return starter.start(arguments, threads=1, errors=errors)

    try:
        absent = start(study.store.url, "toi", "--parent-pipe")
        patient, wanted, mistyped = (
            start(study.store.url, "toy", "--parent-pipe", *more)
            for more in (["--stay"], ["--stay"], ["--thread", "x"])
        )
        assert absent.wait(60) == 1
        assert mistyped.wait(60) == 2
        while len(children()) < 2:
            time.sleep(0.01)
        wanted.kill()
        assert (wanted.wait(60), wanted.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
        assert patient.poll() is None
        patient.terminate()
        assert patient.wait(60) in (0, -signal.SIGTERM)  # it may not have begun to listen
        assert "the store has no study 'toi'; did you mean 'toy'?\n" in said(errors)
        assert "--threads: invalid int value: 'x'" in said(errors)
    finally:
        starter.close()
    assert not children()


def test_a_candidates_process_imports_no_more_than_it_needs(
    tmp_path: Path, text: dict[str, Any]
) -> None:
    store = real_store(tmp_path, Spy(**text, log=tmp_path / "log"))
    add_trial(store, 0, network(), train_bytes=2000)
    looked: list[int] = []

    def done() -> bool:
        if not is_done(store, 0)():
            return False
        if not looked:
            (zygote,) = zygotes()
            assert_fit(zygote)
            looked.append(zygote.pid)
        return True

    supervise(store, done, threads=2)
    (job,) = store.trial(STUDY, 0).jobs
    assert (job.state, job.threads, job.error) == (JobState.DONE, 2, "")
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    loaded = {name.partition(".")[0] for name in last["modules"]}
    assert "torch" in loaded
    assert not loaded & {"transformers", "ray", "botorch", "gpytorch", "matplotlib", "pandas"}
    # two threads of its own although it was forked with one, beside those that keep its lease
    assert last["num_threads"] == 2
    assert last["tasks"] >= 2
    assert last["session"]
    assert last["parent"] == looked[0]
    assert last["product"] == 600.0


def test_a_killed_worker_is_forked_again_and_ends_in_the_same_bits(
    tmp_path: Path, text: dict[str, Any]
) -> None:
    (tmp_path / "whole").mkdir()
    whole = real_store(tmp_path / "whole", TrunkTraining(**text))
    often = {**text, "checkpoint_seconds": 1e-6}  # at every reading
    store = real_store(tmp_path, Spy(**often, log=tmp_path / "log", dies_at=30))
    for each in (whole, store):
        add_trial(each, 0, network(feed_forward="mixture_of_experts"), train_bytes=6000)
    work(
        whole,
        STUDY,
        TrunkTraining(**text),
        owner=owner_name(),
        threads=1,
        stop=lambda: False,
        stay=False,
    )
    supervise(store, is_done(store, 0), threads=1)
    (job,), (expected,) = (each.trial(STUDY, 0).jobs for each in (store, whole))
    assert (job.state, job.losses, job.attempt) == (JobState.DONE, 1, 2)
    assert job.metrics["bits_per_byte"] == expected.metrics["bits_per_byte"]
    assert job.details["step"] == expected.details["step"]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    first, second = dict.fromkeys(line["pid"] for line in lines)
    steps = {
        pid: [x["step"] for x in lines if x["pid"] == pid and "step" in x]
        for pid in (first, second)
    }
    assert steps[first] == [10, 20, 30]
    assert steps[second][0] == 30  # the checkpoint of step 20 was the last
    # one zygote has forked both: nothing was imported again
    assert len({line["parent"] for line in lines}) == 1


def test_a_search_survives_the_death_of_its_zygote(tmp_path: Path, children: Children) -> None:
    told: list[events.Event] = []
    killed: list[int] = []

    def listen(event: events.Event) -> None:
        told.append(event)
        if isinstance(event, events.Started) and not killed:
            (zygote,) = zygotes()
            zygote.kill()
            killed.append(zygote.pid)

    # column 3 then kills its worker, which nobody sees end
    toy = Toy(trouble={"3": "die"}, step_seconds=0.1, log=str(tmp_path / "log"))
    study = make_study(tmp_path, start=[Point(x=x, y=1) for x in (2, 3, 4)], rungs=())
    study.optimize(toy, n_trials=3, n_jobs=2, on_event=listen)
    assert killed
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert [job.losses for trial in study.trials for job in trial.jobs] == [0, 1, 0]
    (lost,) = [event for event in told if isinstance(event, events.Lost)]
    assert lost.reason in (
        "its worker died: unseen, after the process that forked it",
        "its worker died: killed by SIGKILL, perhaps for lack of memory",
    )
    # the neighbour's process went on: no step was done twice but the one that killed
    lines = [line.split()[:2] for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(lines) == sorted(
        [*map(list, dict.fromkeys(map(tuple, lines))), ["trial-00001", "0"]]
    )
    assert not children()


def test_what_cannot_be_forked_is_started_afresh(tmp_path: Path) -> None:
    told: list[events.Event] = []
    study = make_study(tmp_path, start=[Point(x=2, y=1)], rungs=())
    study.optimize(Threaded(), n_trials=1, on_event=told.append)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
    notices = [event.text for event in told if isinstance(event, events.Notice)]
    assert notices == ["workers are started one by one: the evaluator's imports started 1 threads"]


def test_where_forking_is_not_safe_workers_are_started_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    monkeypatch.setattr(processes, "fork_is_safe", lambda: False)
    toy = Toy(trouble={"3": "die"}, log=str(tmp_path / "log"))
    study = make_study(tmp_path, start=[Point(x=3, y=1)], rungs=())
    study.optimize(toy, n_trials=1)
    assert [job.losses for trial in study.trials for job in trial.jobs] == [1]
    assert not children()


def test_a_process_that_uses_a_gpu_or_has_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", lambda path: ["1"])
    assert unfit() == ""
    import torch

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert unfit() == "the evaluator's imports use the GPU"


@pytest.mark.parametrize(
    ("platform", "gpu", "safe"),
    [
        ("linux", False, True),
        ("linux", True, False),
        ("darwin", False, False),
        ("win32", False, False),
    ],
)
def test_forking_is_for_linux_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, gpu: bool, safe: bool
) -> None:
    monkeypatch.setattr(processes.sys, "platform", platform)
    monkeypatch.setattr(processes, "_GPU_DEVICES", (str(tmp_path if gpu else tmp_path / "none"),))
    assert fork_is_safe() is safe

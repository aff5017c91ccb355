"""Searches in processes of their own, killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from archsmith.errors import EvaluationError, SearchInterrupted
from archsmith.runtime import events
from archsmith.runtime.supervisor import Supervisor
from archsmith.store.records import JobState, NewJob
from archsmith.store.store import connect
from archsmith.trial import TrialState
from helpers_study import Point, Toy, make_study, summary

# in the environment of a search and of all it starts
MARK = "ARCHSMITH_TEST_SEARCH"
SCRIPT = """
import sys
from pathlib import Path
from helpers_study import Toy, make_study
parts = {"rungs": ()} if sys.argv[6:] == ["no-rungs"] else {}
study = make_study(Path(sys.argv[1]), **parts)
toy = Toy(step_seconds=float(sys.argv[3]), log=sys.argv[1] + "/log")
study.optimize(toy, n_trials=int(sys.argv[2]), n_jobs=int(sys.argv[4]), executor=sys.argv[5])
"""


def start_search(
    folder: Path,
    n_trials: int,
    *more: str,
    executor: str,
    step_seconds: float = 0.0,
    n_jobs: int = 1,
) -> subprocess.Popen[bytes]:
    """A search in a process of its own, as from a command line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    environment[MARK] = str(folder)
    arguments = [str(folder), str(n_trials), str(step_seconds), str(n_jobs), executor, *more]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], env=environment, start_new_session=True
    )


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def log_lines(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def steps_run(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((line.split()[0], line.split()[1]) for line in log_lines(folder))


@pytest.mark.slow
def test_processes_do_what_inline_does(tmp_path: Path) -> None:
    (tmp_path / "inline").mkdir()
    inline = make_study(tmp_path / "inline")
    inline.optimize(Toy(), n_trials=6, executor="inline")
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=6, n_jobs=1)
    assert summary(study) == summary(inline)


def test_a_killed_worker_loses_only_its_own_job(tmp_path: Path) -> None:
    told: list[events.Event] = []
    # column 3 kills its worker with SIGKILL on the first step of its first attempt
    toy = Toy(trouble={"3": "die"}, log=str(tmp_path / "log"))
    study = make_study(tmp_path, start=[Point(x=x, y=1) for x in (2, 3, 4, 5)], rungs=())
    study.optimize(toy, n_trials=4, n_jobs=2, on_event=told.append)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert [job.losses for trial in study.trials for job in trial.jobs] == [0, 1, 0, 0]
    (lost,) = [event for event in told if isinstance(event, events.Lost)]
    assert lost.reason == "its worker died: killed by SIGKILL, perhaps for lack of memory"
    assert max(steps_run(tmp_path).values()) <= 2


def test_a_candidate_that_kills_its_workers_is_put_aside(tmp_path: Path) -> None:
    toy = Toy(trouble={"3": "always_die"})
    study = make_study(tmp_path, start=[Point(x=3, y=1), Point(x=4, y=1)], rungs=())
    study.optimize(toy, n_trials=2, n_jobs=1)
    poison, fine = study.trials
    assert poison.state is TrialState.FAILED
    assert poison.reason.startswith(
        "put aside after 3 attempts: its worker died: killed by SIGKILL"
    )
    assert fine.state is TrialState.COMPLETE


def test_a_killed_worker_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    study = make_study(tmp_path, rungs=())
    # inline: the worker and its search are one process
    search = start_search(tmp_path, 1, "no-rungs", step_seconds=0.3, executor="inline")
    wait_for(lambda: len(log_lines(tmp_path)) >= 2)
    search.kill()
    search.wait()
    (job,) = connect(tmp_path / "studies.db", read_only=True).queue.leased("toy")
    study.optimize(Toy(log=str(tmp_path / "log")), n_trials=1, executor="inline")
    done = study.trials[0].jobs[0]
    assert (done.id, done.state, done.losses, done.attempt) == (job.id, JobState.DONE, 1, 2)
    # the step under way when it was killed is done again, the checkpointed one is not
    assert steps_run(tmp_path)[("trial-00000", "0")] == 1


@pytest.mark.parametrize("executor", ["inline", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_search_killed_at_any_time_equals_an_uninterrupted_one(
    tmp_path: Path, executor: str
) -> None:
    (tmp_path / "whole").mkdir()
    whole = make_study(tmp_path / "whole")
    whole.optimize(Toy(), n_trials=5, executor="inline")
    make_study(tmp_path)
    for kill_after in (1, 6, 13):
        search = start_search(tmp_path, 5, step_seconds=0.02, executor=executor)
        kill_when_logged(search, tmp_path, kill_after)
        wait_for(lambda: not left_running(tmp_path))
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=5, executor="inline")
    assert summary(study) == summary(whole)


def kill_when_logged(search: subprocess.Popen[bytes], folder: Path, lines: int) -> None:
    """Kill a search as soon as its log has so many lines."""
    wait_for(lambda: len(log_lines(folder)) >= lines or search.poll() is not None)
    search.kill()
    search.wait()


def left_running(folder: Path) -> list[int]:
    """Processes of the searches that were started in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(folder):
                found.append(process.pid)
    return found


def test_workers_notice_that_their_search_is_dead(tmp_path: Path) -> None:
    search = start_search(tmp_path, 50, step_seconds=0.3, n_jobs=2, executor="processes")
    wait_for(lambda: len(log_lines(tmp_path)) >= 4)
    assert len({line.split()[2] for line in log_lines(tmp_path)}) == 2
    search.kill()
    search.wait()
    assert left_running(tmp_path)
    wait_for(lambda: not left_running(tmp_path), 10)
    jobs = [job for trial in make_study(tmp_path).trials for job in trial.jobs]
    assert {job.state for job in jobs} <= {JobState.WAITING, JobState.DONE}
    assert {job.losses for job in jobs} == {0}


def test_ctrl_c_lets_workers_checkpoint(
    tmp_path: Path, children: Callable[[], list[psutil.Process]]
) -> None:
    study = make_study(tmp_path)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Started):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SearchInterrupted):
        study.optimize(Toy(step_seconds=0.3), n_trials=5, on_event=listen)
    (job,) = [job for trial in study.trials for job in trial.jobs]
    assert (job.state, job.losses) == (JobState.WAITING, 0)
    assert job.checkpoint_in
    assert not children()


@pytest.mark.slow
def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=1, y=1)])

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Started):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    begun = time.monotonic()
    with pytest.raises(SearchInterrupted):
        study.optimize(Toy(trouble={"1": "hang"}), n_trials=5, on_event=listen)
    assert time.monotonic() - begun < 20
    assert [(j.state, j.losses) for t in study.trials for j in t.jobs] == [(JobState.WAITING, 0)]


@pytest.mark.slow
def test_memory_and_silence_are_the_candidates_failure(tmp_path: Path) -> None:
    toy = Toy(trouble={"1": "memory", "2": "hang"})
    points = [Point(x=x, y=1) for x in (1, 2, 3)]
    study = make_study(tmp_path, start=points, rungs=())
    study.optimize(toy, n_trials=3, n_jobs=2, memory_bytes=512 * 2**20, stuck_seconds=2.0)
    greedy, silent, fine = study.trials
    assert greedy.reason.startswith("out of memory: used ")
    assert greedy.reason.endswith("of the 512.0 MiB a worker may use")
    assert silent.reason.startswith("stuck: no progress for 2.")
    assert fine.state is TrialState.COMPLETE


def test_a_second_search_helps(tmp_path: Path) -> None:
    make_study(tmp_path)
    searches = [
        start_search(tmp_path, 8, step_seconds=0.03, executor="processes") for _ in range(2)
    ]
    assert [search.wait(60) for search in searches] == [0, 0]
    study = make_study(tmp_path)
    assert [trial.number for trial in study.trials] == list(range(8))
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert max(steps_run(tmp_path).values()) == 1
    assert len({line.split()[2] for line in log_lines(tmp_path)}) == 2


@pytest.mark.slow
def test_a_worker_by_hand_works_off_the_queue(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=1, executor="inline")
    study.store.queue.enqueue(
        "toy", NewJob(number=0, rung=0, train_bytes=300, fraction=0.03, seed=9)
    )
    command = [sys.executable, "-m", "archsmith.runtime.worker", study.store.url, "toy"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [job.state for job in study.trials[0].jobs if job.seed == 9] == [JobState.DONE]
    ran = subprocess.run(
        [*command[:-1], "toi"], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr == "the store has no study 'toi'; did you mean 'toy'?\n"


@pytest.mark.slow
def test_workers_that_cannot_start_are_an_error(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.store.put_note("toy", "evaluator", {"class": "no_such_module:Toy", "settings": {}})
    supervisor = Supervisor(study.store, "toy", num_slots=1, threads=1, on_notice=lambda text: None)
    try:
        with pytest.raises(
            EvaluationError, match=r"cannot start \(exit code 1\)(.|\n)*no_such_module"
        ):
            wait_for(supervisor.work)
    finally:
        supervisor.close(kill=True)

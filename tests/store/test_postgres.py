"""The same store on PostgreSQL; set ARCHSMITH_TEST_POSTGRES to the URL of an empty database."""

import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from archsmith.errors import StoreError
from archsmith.store.records import NewJob
from archsmith.store.store import connect
from archsmith.trial import Proposal, TrialState
from helpers_study import Toy, make_study

URL = os.environ.get("ARCHSMITH_TEST_POSTGRES", "")
pytestmark = pytest.mark.skipif(not URL, reason="set ARCHSMITH_TEST_POSTGRES to run it")

RACER = (
    "import sys; from archsmith.store.store import connect\n"
    "store = connect(sys.argv[1])\n"
    "while job := store.queue.claim(sys.argv[2], owner=sys.argv[3], lease_seconds=1e6):\n"
    "    print(job.number)\n"
    "    assert store.queue.finish(job, metrics={'bits_per_byte': job.number})\n"
)


def test_a_search_on_a_server(tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    study = make_study(tmp_path, storage=URL, study_name=name, checkpoint_dir=tmp_path / "c")
    study.optimize(Toy(), n_trials=5, n_jobs=2)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    reader = connect(URL, read_only=True)
    assert len(reader.trials(name)) == 5
    with pytest.raises(StoreError, match="cannot be written: it was opened for reading"):
        reader.put_note(name, "key", 1)
    reader.close()
    study.store.close()


def test_eight_processes_do_every_job_once_on_a_server() -> None:
    name = uuid.uuid4().hex
    store = connect(URL, create=True)
    store.create_study(name, spec={}, seed=0)
    for number in range(40):
        proposal = Proposal(architecture=number, strategy="toy")
        job = NewJob(number=number, rung=0)
        assert store.add_trial(name, proposal, number=number, static_metrics={}, job=job)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, URL, name, f"racer-{index}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(8)
    ]
    claimed = Counter[str]()
    for racer in racers:
        claimed.update(racer.communicate(timeout=120)[0].split())
        assert racer.returncode == 0
    assert claimed == Counter(str(number) for number in range(40))
    store.close()


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(StoreError, match=r"postgresql\S+://me:\*\*\*@127\.0\.0\.1:1/x cannot be"):
        connect("postgresql://me:secret@127.0.0.1:1/x")

"""A whole small search whose finalists are trained again: killed in the middle, the same winner."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archsmith.store.records import JobKind, JobRecord, JobState
from archsmith.store.store import Store, connect
from helpers_workflow import make_search, one_core

# From the search file to the trained winner; killed at a reading of the second repeat if told so.
SCRIPT = """\
import os
import signal
import sys
from pathlib import Path

from archsmith.runtime import events
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from archsmith.workflow.watcher import Watcher


class Killer(Watcher):
    finished = 0

    def event(self, event):
        if getattr(event, "kind", "") != "repeat":
            return
        self.finished += isinstance(event, events.Finished)
        if self.finished and isinstance(event, events.Progressed) and event.fraction_done > 0.4:
            os.kill(os.getpid(), signal.SIGKILL)


config, root = load_search_config(Path(sys.argv[1]))
watcher = Killer() if sys.argv[2] == "killed" else Watcher()
pipeline = Pipeline(config, root=root, watcher=watcher, in_one_process=True)
pipeline.prepare()
suggestion = pipeline.suggestion()
study = pipeline.study(suggestion)
recipe = pipeline.calibrated_recipe(suggestion)
pipeline.search(study, recipe)
if sys.argv[2] == "search":
    sys.exit()
winner = pipeline.select(study)
model = pipeline.train(study, winner, recipe, num_threads=1)
print(model.record.model_dump_json())
"""


def start(config_file: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(config_file), how]
    with one_core():
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def repeats_of(store: Store) -> list[JobRecord]:
    trials = store.trials("notes")
    return [job for trial in trials for job in trial.jobs if job.kind is JobKind.REPEAT]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_selection_comes_to_the_same_winner(tmp_path: Path) -> None:
    settings = {"fresh_seeds": "1", "rate_factors": "[0.5]", "n_trials": "3", "finalists": "2"}
    whole = make_search(tmp_path / "whole", **settings)
    searched = start(whole.config_file, "search")
    assert searched.returncode == 0, searched.stderr
    killed = whole.copy(tmp_path / "killed")
    done = start(whole.config_file, "to the end")
    assert done.returncode == 0, done.stderr
    assert start(killed.config_file, "killed").returncode == -9
    store = connect(killed.folder / "archsmith.db")
    states = [job.state for job in repeats_of(store)]
    assert states.count(JobState.DONE) == 1
    assert states.count(JobState.LEASED) == 1
    assert not store.notes("notes").get("finalists")
    again = start(killed.config_file, "to the end")
    assert again.returncode == 0, again.stderr

    stores = [connect(search.folder / "archsmith.db") for search in (whole, killed)]
    first, second = (one.notes("notes")["finalists"] for one in stores)
    assert first == second
    assert {len(one["runs"]) for one in first} == {3}
    for store in stores:
        jobs = repeats_of(store)
        assert len(jobs) == 2 * len(first)
        assert {job.state for job in jobs} == {JobState.DONE}
        flops = sum(entry.flops for entry in store.ledger("notes") if entry.phase == "repeat")
        told = sum(job.details["flops"] + job.details["branch_flops"] for job in jobs)
        assert flops == pytest.approx(told)
    ends = [json.loads(one.stdout.splitlines()[-1]) for one in (done, again)]
    assert ends[0]["curve"][-1][2] == ends[1]["curve"][-1][2]
    assert ends[0]["recipe"] == ends[1]["recipe"]
    noise = stores[0].notes("notes")["repeats"]["seed_noise"]
    assert 0.0 < noise < 0.1

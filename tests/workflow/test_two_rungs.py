"""A whole job with two rungs and two objectives: promotions go on from stored trunks, the front is
cooled down and scored as files, and the best by bits per byte is trained to the end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archsmith.halving.ranking import first_front
from archsmith.report.as_json import report_json
from archsmith.report.finalists import finalists_sentence
from archsmith.report.load import load_study
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.workflow import finalist_jobs
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from helpers_workflow import FinishedSearch, make_search, one_core

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# The first rung ends after a little more than 200 updates, of one window each.
PLAN = {"train_bytes": "120000", "rungs": "[0.3, 0.5]", "finalists": "3", "batch_tokens": "48"}


def done(trial: TrialRecord, kind: JobKind) -> list[JobRecord]:
    jobs = [job for job in trial.jobs if job.kind is kind and job.state is JobState.DONE]
    return sorted(jobs, key=lambda job: job.rung)


class TwoRungs:
    """The job, run once, and the sizes of the files its finalists were written to."""

    def __init__(self, search: FinishedSearch) -> None:
        text = search.config_file.read_text()
        objectives = 'objectives = ["bits_per_byte", "file_bytes"]\n'
        ladder = text.replace("[plan]\n", "[plan]\nreduction_factor = 2\n")
        search.config_file.write_text(objectives + ladder)
        config, root = load_search_config(search.config_file)
        self.pipeline = Pipeline(config, root=root)
        self.written: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(finalist_jobs, "score_gguf", self._score)
            self.pipeline.run()
        self.store = self.pipeline.store
        self.trials = {trial.number: trial for trial in self.store.trials("notes")}
        self.noted: Sequence[Mapping[str, Any]] = self.store.notes("notes")["finalists"]

    def _score(self, path: Path, *arguments: Any) -> Any:
        self.written.append(path.stat().st_size)
        return score_gguf(path, *arguments)


score_gguf = finalist_jobs.score_gguf


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TwoRungs:
    made = make_search(tmp_path_factory.mktemp("two") / "rungs", n_trials="6", **PLAN)
    with one_core():
        return TwoRungs(made)


def test_a_promotion_goes_on_from_the_stored_trunk(job: TwoRungs) -> None:
    first, second = (rung.train_bytes for rung in job.pipeline.rungs(job.pipeline.suggestion()))
    assert (first, second) == (36_000, 60_000)
    promoted = [trial for trial in job.trials.values() if trial.rung == 1]
    assert 2 <= len(promoted) < len([t for t in job.trials.values() if t.rung >= 0])
    for trial in promoted:
        below, above = done(trial, JobKind.RUNG)
        assert below.checkpoint_out
        assert above.checkpoint_in == below.checkpoint_out
        assert below.details["train_bytes"] >= first
        assert above.details["train_bytes"] >= second
        ratio = second / first
        # the same trunk: steps, seconds and FLOPs are those of both rungs together
        assert above.details["step"] == pytest.approx(ratio * below.details["step"], rel=0.02)
        assert above.metrics["train_seconds"] > below.metrics["train_seconds"]
        assert above.details["flops"] == pytest.approx(ratio * below.details["flops"], rel=0.02)
        # what the ledger has of the second is what came on top
        (entered,) = [
            entry
            for entry in job.store.ledger("notes")
            if (entry.phase, entry.number) == ("rung 1", trial.number)
        ]
        on_top = above.details["flops"] - below.details["flops"]
        assert entered.flops == pytest.approx(on_top, rel=0.02)


def test_the_front_is_cooled_down_and_scored_as_files(job: TwoRungs) -> None:
    numbers = [one["trial"] for one in job.noted]
    usable = {n: trial for n, trial in job.trials.items() if trial.rung >= 0}
    assert len(numbers) >= min(3, len(usable))
    sizes = [int(job.trials[number].metrics["file_bytes"]) for number in numbers]
    assert sorted(job.written) == sorted(sizes)
    assert len(set(sizes)) > 1
    for one in job.noted:
        assert one["cooled"]
        (cooled,) = done(job.trials[one["trial"]], JobKind.EXTEND)
        assert cooled.details["cooled_down"]
        last = done(job.trials[one["trial"]], JobKind.RUNG)[-1]
        assert cooled.checkpoint_in == last.checkpoint_out
        assert one["selection_bits_per_byte"] == one["runs"][0]["selection_bits_per_byte"]
    predicted = [one["predicted_bits_per_byte"] for one in job.noted if one["trial"] != 0]
    assert predicted[0] == min(predicted)


def test_the_report_has_the_objectives_of_each_and_the_front(job: TwoRungs) -> None:
    report = load_study(job.store, "notes")
    rows = json.loads(json.dumps(report_json(report)))["finalists"]
    scores = [tuple(row["objectives"].values()) for row in rows]
    for row, one in zip(rows, job.noted, strict=True):
        assert row["objectives"] == {
            "bits_per_byte": one["predicted_bits_per_byte"],
            "file_bytes": job.trials[one["trial"]].metrics["file_bytes"],
        }
    front = [index for index, row in enumerate(rows) if row["on_front"]]
    assert front == first_front(scores)
    assert len(front) > 1
    assert "On the front of bits_per_byte and file_bytes" in finalists_sentence(report)


def test_the_best_by_bits_per_byte_is_trained_to_the_end(job: TwoRungs) -> None:
    winner = job.noted[0]["trial"]
    (arm,) = [arm for arm in job.store.notes("notes")["arms"] if arm["kind"] == "search"]
    assert arm["trial"] == winner
    folder = job.pipeline.workspace.output_dir / "winner" / f"trial-{winner}"
    model = load_model_folder(folder)
    assert model.record.train_bytes >= 120_000
    (entered,) = [e for e in job.store.ledger("notes") if e.phase == "final training"]
    trunk = done(job.trials[winner], JobKind.RUNG)[-1]
    on_top = model.record.flops - trunk.details["flops"]
    assert entered.flops == pytest.approx(on_top, rel=0.02)
    assert arm["metrics"]["file_bytes"] == job.trials[winner].metrics["file_bytes"]

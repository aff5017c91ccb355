"""Asynchronous halving with several objectives under limits, in a whole study."""

from pathlib import Path
from typing import Any

from rich.console import Console

from archsmith.evaluators.base import Request, Result
from archsmith.halving.settings import Halving
from archsmith.report.load import load_study
from archsmith.report.tables import audit_sentence
from archsmith.report.terminal import status_view
from archsmith.store.records import JobKind
from archsmith.trial import TrialState
from helpers_study import Toy, make_study


class Timed(Toy):
    """The toy, which also tells seconds: columns far to the right are slow."""

    type: Any = "timed_toy"

    def metrics(self) -> tuple[str, ...]:
        return ("bits_per_byte", "train_seconds")

    def evaluate(self, request: Request) -> Result:
        found = super().evaluate(request)
        assert request.rung is not None
        seconds = (1.0 + request.architecture.x) * (request.rung.index + 1)
        metrics = {**found.metrics, "train_seconds": seconds}
        return Result(metrics=metrics, checkpoint=found.checkpoint, details=found.details)


def rungs_of(study: Any) -> dict[int, int]:
    return {
        trial.number: max((job.rung for job in trial.jobs if job.kind is JobKind.RUNG), default=-1)
        for trial in study.trials
    }


def test_fronts_climb_and_what_breaks_a_measured_limit_never_does(tmp_path: Path) -> None:
    study = make_study(
        tmp_path,
        objectives=["bits_per_byte", "file_bytes"],
        limits=["file_bytes <= 1500", "train_seconds <= 12"],
        halving=Halving(audit_share=0.0),
    )
    study.optimize(Timed(), n_trials=30, executor="inline")
    reached = rungs_of(study)
    slow = {t.number for t in study.trials if t.metrics_at(0).get("train_seconds", 0) > 12}
    assert slow
    assert all(reached[number] == 0 for number in slow)
    top = [trial for trial in study.trials if reached[trial.number] == 2]
    assert 2 <= len(top) < len(study.trials) // 2
    # of the kept at the top, none was dominated at the rung below by another that meets the limits
    fair = [t for t in study.trials if t.rung >= 1 and t.number not in slow]
    best = min(fair, key=lambda t: t.metrics_at(1)["bits_per_byte"])
    assert reached[best.number] == 2
    assert all(trial.state is TrialState.COMPLETE for trial in top)


def test_the_audit_is_told_with_its_false_eliminations(tmp_path: Path) -> None:
    study = make_study(tmp_path, halving=Halving(audit_share=1.0, margin=0.0))
    study.optimize(Toy(), n_trials=20, executor="inline")
    found = study.audit()
    report = load_study(study.store, study.study_name)
    assert found.audited
    assert report.audited == found.audited
    assert report.false_eliminations == found.false_eliminations
    assert set(found.false_eliminations) <= set(found.audited)
    assert f"{len(found.false_eliminations)} should have been kept" in audit_sentence(report)


def test_a_short_study_audits_at_least_one_of_its_eliminated(tmp_path: Path) -> None:
    study = make_study(tmp_path, halving=Halving())
    study.optimize(Toy(), n_trials=5, executor="inline")
    (audited,) = study.audit().audited
    assert study.trials[audited].rung == 2
    report = load_study(study.store, study.study_name)
    assert "of 1 trial that ran on, 0 should have been kept" in audit_sentence(report)


def test_a_study_without_audits_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path, halving=Halving(audit_share=0.0))
    study.optimize(Toy(), n_trials=5, executor="inline")
    report = load_study(study.store, study.study_name)
    told = audit_sentence(report)
    assert "none of the 3 trials that stopped below the last rung was audited" in told
    console = Console(width=200)
    with console.capture() as shown:
        console.print(status_view(report))
    assert told in shown.get()


def test_a_study_halves_by_what_it_foresees(tmp_path: Path) -> None:
    """Many trials at the second rung: who goes on is who is predicted best, not who scored best."""
    quiet = {"audit_share": 0.0}
    for name, halving in (
        ("seen", Halving(**quiet)), ("foreseen", Halving(**quiet, horizon_seconds=1e4)),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        study = make_study(tmp_path / name, halving=halving, limits=[])
        study.optimize(Timed(), n_trials=30, executor="inline")
        if name == "seen":
            seen = {number for number, rung in rungs_of(study).items() if rung == 2}
    foreseen = {number for number, rung in rungs_of(study).items() if rung == 2}
    assert seen
    assert foreseen
    assert seen != foreseen
    report = load_study(study.store, study.study_name)
    assert report.settings["halving"]["horizon_seconds"] == 1e4

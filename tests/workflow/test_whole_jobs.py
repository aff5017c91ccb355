"""Whole jobs beyond the plain one: calibrated rates, baselines, a task of the user's own."""

import json
from pathlib import Path

import pytest

from archsmith.report.as_json import report_json
from archsmith.report.load import load_study
from archsmith.workflow.baselines import MAXIMIZER
from archsmith.workflow.calibration import FACTORS, Calibration, calibrate
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from helpers_workflow import SEARCH_FILE, FinishedSearch, make_search, write_notes

pytestmark = pytest.mark.slow


def run(folder: Path, *, lines: str) -> Pipeline:
    write_notes(folder / "notes")
    (folder / "search.toml").write_text(lines + SEARCH_FILE)
    config, root = load_search_config(folder / "search.toml")
    pipeline = Pipeline(config, root=root)
    pipeline.run()
    return pipeline


def test_calibration_takes_the_best_of_the_rates_it_tried(finished: FinishedSearch) -> None:
    pipeline = finished.pipeline()
    evaluator = pipeline.evaluator(pipeline.config.training)
    trial = pipeline.store.trials("notes")[0]
    told = []
    found = calibrate(
        evaluator,
        trial.architecture,
        train_bytes=20_000,
        n_jobs=2,
        num_threads=1,
        seed=0,
        on_run=told.append,
    )
    assert len(found.runs) == len(told) == 5
    best = min(found.runs, key=lambda one: one.bits_per_byte or 99.0)
    assert found.learning_rate == best.learning_rate
    assert found.embedding_learning_rate == best.embedding_learning_rate
    tried = {one.learning_rate for one in found.runs}
    assert tried == {evaluator.recipe.learning_rate * factor for factor in FACTORS}
    changes = Calibration.of([found]).recipe_changes()
    assert changes == {
        "learning_rate": best.learning_rate,
        "embedding_learning_rate": best.embedding_learning_rate,
    }


def test_a_baseline_costs_the_flops_of_the_search_without_a_timeout(tmp_path: Path) -> None:
    made = make_search(tmp_path / "search", baselines='["parameter_maximizer"]')
    pipeline = made.pipeline()
    pipeline.run()
    arms = {arm["name"]: arm for arm in pipeline.store.notes("notes")["arms"]}
    winner, baseline = arms["search winner"], arms[MAXIMIZER]
    assert baseline["details"]["role"] == "maximizer"
    flops = {"search": 0.0, "baselines": 0.0}
    for entry in pipeline.store.ledger("notes"):
        flops["baselines" if entry.phase == "baselines" else "search"] += entry.flops
    assert flops["baselines"] == pytest.approx(flops["search"], rel=0.02)
    assert baseline["details"]["train_flops"] > 2 * winner["details"]["train_flops"]
    assert baseline["details"]["train_bytes"] >= winner["details"]["train_bytes"]
    assert len(baseline["block_nats"]) == len(winner["block_nats"])
    report = report_json(load_study(pipeline.store, "notes"))
    (told,) = [arm["details"] for arm in report["arms"] if arm["name"] == MAXIMIZER]
    # two vocabularies and two more rates, for which so small a search has no room
    assert told["tuning"]["reason"].startswith("4 runs in 25% of the budget would have fewer than")
    assert told["last_readings_fell"] in (True, False)
    assert report["verdict"]["primary"]["baseline"] == MAXIMIZER


def test_a_task_decides_among_the_finalists_and_is_reported(tmp_path: Path) -> None:
    items = [{"good": "Ka ro mi.", "bad": "q#z )("}, {"good": "Sol ba.", "bad": "%% 77"}]
    (tmp_path / "task.jsonl").write_text("\n".join(json.dumps(item) for item in items))
    pipeline = run(tmp_path, lines='objectives = ["task:task.jsonl"]\n')
    notes = pipeline.store.notes("notes")
    assert set(notes["finalists"][0]["task_errors"]) == {"task:task.jsonl"}
    errors = [sum(one["task_errors"].values()) for one in notes["finalists"]]
    assert errors == sorted(errors)
    assert 0.0 <= notes["arms"][0]["metrics"]["task:task.jsonl"] <= 1.0

"""What the report says of the finalists and their trainings."""

import json
from dataclasses import replace

import pytest
from example_study import example_study, finalists
from test_terminal import printed

from archsmith.report.as_json import report_json
from archsmith.report.finalists import (
    finalist_cells,
    finalists_json,
    finalists_sentence,
    read_finalists,
)
from archsmith.report.html import render_html
from archsmith.report.study_report import RunRow, StudyReport, TrialRow
from archsmith.report.terminal import report_view


def test_a_finalist_shows_every_training() -> None:
    first, second, third = map(finalist_cells, finalists())
    assert first == (
        *("12", "2", "1.9512, 1.9534", "x0.5: 1.9321", "1.9332"),
        "1.8402 \u00b1 0.0121",
    )
    assert second[3] == "x0.5: failed"
    assert third[2:4] == ("2.0200", "\u2013")


def test_the_sentence_says_what_decided() -> None:
    study = example_study()
    told = finalists_sentence(study)
    assert told == (
        "2 finalists trained again from the beginning; up to 2 seeds, whose mean decides; one "
        "training's standard deviation over seeds: 0.0189 bits per byte; the final training has "
        "0.5 times the recipe's learning rates."
    )
    _, second, third = finalists()
    kept = finalists_sentence(replace(study, finalists=(second, third)))
    assert "no other learning rate gained more than chance" in kept
    once = replace(study, finalists=(third,), repeats={"planned": [], "reason": "no training fits"})
    assert finalists_sentence(once) == "Finalists were trained once: no training fits."
    assert finalists_sentence(replace(study, repeats={})) == ""


def test_page_and_terminal_show_them() -> None:
    study = StudyReport(name="few", finalists=finalists(), repeats=example_study().repeats)
    without = StudyReport(name="few")
    page, text = render_html(study), printed(report_view(study))
    for shown in (page, text):
        assert "x0.5: 1.9321" in shown
        assert "standard deviation" in shown
    assert "<h3>Finalists</h3>" in page
    assert "<h3>Finalists</h3>" not in render_html(without)
    assert "finalists" not in printed(report_view(without))


def test_the_json_has_every_reading() -> None:
    found = json.loads(json.dumps(report_json(example_study())))
    first, second, third = found["finalists"]
    assert first["runs"][2] == {
        "seed": 0,
        "rate_factor": 0.5,
        "bits_per_byte": 1.9321,
        "reason": "",
    }
    assert first["rate_factor"] == 0.5
    assert first["seed_mean"] == pytest.approx(1.9523)
    assert second["seed_spread"] == pytest.approx(0.0204)
    assert second["runs"][2]["reason"] == "diverged"
    assert (third["seed_mean"], third["seed_spread"], third["runs"]) == (None, None, [])
    assert found["repeats"] == {
        "planned": 4,
        "room_seconds": 900.0,
        "reason": "",
        "seed_noise": 0.0189,
    }


def several(study: StudyReport, **files: float) -> StudyReport:
    """The same with bytes as the second objective, of trials by number, and every file scored."""
    bits = [TrialRow(number=int(n[1:]), state="complete", metrics={"file_bytes": size})
            for n, size in files.items()]  # fmt: skip
    scored = tuple(
        replace(row, runs=row.runs or (RunRow(0, 1.0, row.bits_per_byte),))
        for row in study.finalists
    )
    objectives = ("bits_per_byte", "file_bytes")
    return replace(study, objectives=objectives, trials=tuple(bits), finalists=scored)


def test_with_several_objectives_the_front_is_marked() -> None:
    """Trial 31 is dominated; the suggestion has the smallest file."""
    study = several(example_study(), t12=3e6, t31=4e6, t0=1e6)
    rows = finalists_json(study)["finalists"]
    assert [row["on_front"] for row in rows] == [True, False, True]
    assert rows[0]["objectives"] == {"bits_per_byte": 1.8402, "file_bytes": 3e6}
    assert finalists_sentence(study).startswith(
        "On the front of bits_per_byte and file_bytes among the finalists: trials 12, 0; handed "
        "over is the best by bits per byte, trial 12. 2 finalists trained again"
    )
    asked = replace(
        study,
        finalists=tuple(
            replace(row, task_errors={"task:a.jsonl": error})
            for row, error in zip(study.finalists, (0.1, 0.1, 0.2), strict=True)
        ),
        settings={"settings": {"objectives": ["task:a.jsonl", "file_bytes"]}},
    )
    assert finalists_json(asked)["finalists"][2]["objectives"] == {
        "task:a.jsonl": 0.2,
        "file_bytes": 1e6,
    }
    assert "trials 12, 0; handed over is the best by errors on tasks" in finalists_sentence(asked)


def test_no_front_is_told_of_one_objective_or_one_scored_file() -> None:
    study = several(example_study(), t12=3e6, t31=4e6, t0=1e6)
    one = replace(study, objectives=("bits_per_byte",))
    unscored = replace(study, finalists=finalists()[2:])
    for told in (one, unscored, replace(study, trials=study.trials[:1])):
        assert "front" not in finalists_sentence(told)
        assert {row["on_front"] for row in finalists_json(told)["finalists"]} == {None}
    assert finalists_json(one)["finalists"][0]["objectives"] == {}


def test_notes_of_earlier_versions_are_read() -> None:
    noted = {
        "trial": 3,
        "rung": 1,
        "train_bytes": 5000,
        "search_bits_per_byte": 2.1,
        "selection_bits_per_byte": 2.0,
        "predicted_bits_per_byte": 1.9,
        "half_width": 0.1,
        "cooled": True,
    }
    (row,) = read_finalists([noted], {3: "a shape"})
    assert (row.trial, row.summary, row.runs, row.rate_factor) == (3, "a shape", (), 1.0)
    run = {"seed": 1, "rate_factor": 1.0, "selection_bits_per_byte": 2.5, "task_errors": {}}
    (row,) = read_finalists([{**noted, "runs": [run], "rate_factor": 1.0}], {})
    assert (row.seed_scores, row.summary) == ((2.5,), "")
    assert read_finalists(None, {}) == ()

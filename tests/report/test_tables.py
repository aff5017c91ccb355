"""Figures, fronts and orders that every view shares."""

from dataclasses import replace

import pytest
from example_study import example_study

from archsmith.report.figures import show, show_difference, show_flops
from archsmith.report.plots import curves_plot, front_plot, ladder_plot, spending_plot
from archsmith.report.study_report import RungRow, StudyReport, TrialRow
from archsmith.report.tables import (
    arm_lines,
    audit_sentence,
    front,
    rejections,
    top_trials,
    total_spending,
)
from archsmith.report.verdict import judge


def test_a_front_holds_what_nothing_dominates() -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (4.0, 1.0), (0.5, 6.0)]
    assert front(points) == [(0.5, 6.0), (1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]
    assert front([]) == []


def test_the_winner_leads_and_floors_close_the_comparison() -> None:
    study = example_study()
    lines = arm_lines(study, judge(study))
    assert [line.arm.kind for line in lines] == ["search"] + ["baseline"] * 3 + ["floor"] * 2
    scores = [line.bits_per_byte for line in lines[1:4]]
    assert scores == sorted(scores, key=lambda score: score or 0.0)
    assert [line.is_primary for line in lines].count(True) == 1


def test_seeds_of_one_arm_are_one_line() -> None:
    study = example_study()
    again = replace(study.arms[0], seed=1, metrics={"bits_per_byte": 1.8321})
    lines = arm_lines(study := replace(study, arms=(again, *study.arms)), judge(study))
    assert lines[0].num_seeds == 2
    assert lines[0].bits_per_byte == pytest.approx((1.8321 + 1.8421) / 2)


def test_a_trial_that_breaks_two_limits_counts_under_both() -> None:
    rows = (
        TrialRow(number=0, state="rejected", broken_limits=("file_bytes", "cache_bytes")),
        TrialRow(number=1, state="rejected", broken_limits=("file_bytes",)),
        TrialRow(number=2, state="rejected", reason="no carrier"),
    )
    found = rejections(StudyReport(name="s", trials=rows))
    assert found == {"file_bytes": 2, "cache_bytes": 1, "no carrier": 1}


def test_unscored_and_failed_trials_are_never_best() -> None:
    rows = (
        TrialRow(number=0, state="failed", metrics={"bits_per_byte": 0.1}, rung=0),
        TrialRow(number=1, state="complete", metrics={"bits_per_byte": 2.0}, rung=0),
        TrialRow(number=2, state="complete", metrics={"bits_per_byte": 2.5}, rung=1),
        TrialRow(number=3, state="pending", metrics={"file_bytes": 1.0}),
    )
    assert [t.number for t in top_trials(StudyReport(name="s", trials=rows))] == [2, 1]


def test_totals_count_everything() -> None:
    total = total_spending(example_study().ledger)
    assert (total.seconds, total.failed_jobs, total.planned_seconds) == (9845, 4, 10260)
    assert total_spending(()).planned_seconds is None


def test_numbers_carry_their_units() -> None:
    assert show("file_bytes", 2**20) == "1.0 MiB"
    assert show("decode_ms_per_token", 1.234) == "1.23 ms"
    assert show("train_seconds", 75) == "1m15s"
    assert show("train_bits_per_byte", 1.5) == "1.5000"
    assert show("copied_share", 0.012) == "1.2 %"
    assert show("num_params", None) == "\u2013"
    assert show_flops(2.2e15) == "2.2e15 FLOPs"
    assert show_difference(-0.01) == "\u22120.0100"


def test_plots_with_nothing_to_show_are_empty() -> None:
    empty = StudyReport(name="s")
    assert front_plot(empty, "file_bytes") == ""
    assert curves_plot(empty, "seconds") == ""
    assert ladder_plot(empty) == ""
    assert spending_plot(empty) == ""


def test_a_plot_of_a_single_point_is_drawn() -> None:
    row = TrialRow(
        number=0, state="complete", rung=0, metrics={"bits_per_byte": 2.0, "file_bytes": 1e6}
    )
    svg = front_plot(StudyReport(name="s", trials=(row,)), "file_bytes")
    assert svg.startswith('<svg class="plot"')
    assert "MiB" in svg or "KiB" in svg


def test_limits_are_drawn_as_lines() -> None:
    assert "limit 12 MiB" in front_plot(example_study(), "file_bytes")
    assert "limit 1.5 ms" in front_plot(example_study(), "decode_ms_per_token")


def test_floors_are_named_in_the_curves() -> None:
    svg = curves_plot(example_study(), "train_bytes")
    assert "5-gram" in svg
    assert ">xz<" in svg


def test_the_same_study_makes_the_same_picture() -> None:
    assert spending_plot(example_study()) == spending_plot(example_study())


def test_the_audit_is_told_where_trials_were_stopped() -> None:
    rungs = tuple(RungRow(index=n, fraction=0.1 + n, train_bytes=100) for n in range(2))
    trials = (
        *(TrialRow(number=n, state="complete", rung=n == 0) for n in range(3)),
        TrialRow(number=3, state="failed"),
    )
    study = StudyReport(name="s", rungs=rungs, trials=trials)
    assert "none of the 2 trials that stopped below the last rung" in audit_sentence(study)
    audited = replace(study, audited=(1,))
    assert "of 1 trial that ran on, 0 should have been kept." in audit_sentence(audited)
    assert audit_sentence(replace(study, rungs=rungs[:1])) == ""
    assert "none of the one trial" in audit_sentence(replace(study, trials=trials[:2]))

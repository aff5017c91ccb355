"""How far and how fast training went, and the arms at equal bytes of text."""

import io
from dataclasses import replace

import pytest
from example_study import example_study
from rich.console import Console

from archsmith.report.as_json import report_json
from archsmith.report.horizon import equal_bytes, horizon, horizon_sentence, latency_ties
from archsmith.report.html import render_html
from archsmith.report.study_report import ArmRow, CurvePoint, RungRow, StudyReport, TrialRow
from archsmith.report.terminal import report_view, status_view

MIB = 2**20


def curve(*points: tuple[float, float, float]) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(round(size * MIB), seconds, bits) for size, seconds, bits in points)


def arm(name: str, read: float, *points: tuple[float, float, float], **details: float) -> ArmRow:
    metrics = {"bits_per_byte": points[-1][2], "train_seconds": 60.0, "train_bytes": read * MIB}
    kind = "search" if name == "winner" else "baseline"
    return ArmRow(name=name, kind=kind, metrics=metrics, curve=curve(*points), details=details)


@pytest.fixture
def report() -> StudyReport:
    """A shallow arm that read 8 MiB and a deep one that read 4.8 MiB in the same minute."""
    shallow = ((1.0, 10.0, 3.0), (2.0, 20.0, 2.8), (4.0, 40.0, 2.6), (8.0, 60.0, 2.3))
    deep = ((2.0, 30.0, 2.7), (4.0, 50.0, 2.4), (4.8, 60.0, 2.2))
    return StudyReport(name="s", arms=(arm("winner", 8, *shallow), arm("deep", 4.8, *deep)))


def printed(view: object) -> str:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_horizon_is_told_in_bytes_and_seconds(report: StudyReport) -> None:
    found = horizon(report)
    assert found is not None
    assert found.train_bytes == (4.8 * MIB, 8 * MIB)
    assert found.train_seconds == (60.0, 60.0)
    sentence = horizon_sentence(report)
    assert "4.8 MiB to 8.0 MiB of text for 1m00s" in sentence
    assert "shallow, wide" in sentence
    assert "equal bytes" in sentence


def test_arms_meet_at_the_largest_common_bytes_before_cooldown(report: StudyReport) -> None:
    found = equal_bytes(report)
    assert found is not None
    assert found.train_bytes == 4 * MIB
    assert found.rows == (("winner", 2.6, 40.0), ("deep", 2.4, 50.0))


def test_between_readings_the_logarithm_of_bytes_is_followed(report: StudyReport) -> None:
    winner, deep = report.arms
    shorter = replace(deep, curve=curve((1.0, 15.0, 3.0), (2.0**1.5, 40.0, 2.5), (4.8, 60.0, 2.2)))
    found = equal_bytes(replace(report, arms=(winner, shorter)))
    assert found is not None
    name, bits, _ = found.rows[0]
    assert name == "winner"
    assert bits == pytest.approx(2.7, abs=1e-6)


def test_seeds_of_an_arm_are_averaged(report: StudyReport) -> None:
    winner, deep = report.arms
    again = replace(deep, seed=1, curve=curve((2.0, 30.0, 2.8), (4.0, 50.0, 2.5), (4.8, 60.0, 2.3)))
    found = equal_bytes(replace(report, arms=(winner, deep, again)))
    assert found is not None
    assert found.rows[1] == ("deep", pytest.approx(2.45), 50.0)


def test_equal_texts_need_no_second_table(report: StudyReport) -> None:
    winner = report.arms[0]
    twins = replace(report, arms=(winner, replace(winner, name="twin", kind="baseline")))
    assert equal_bytes(twins) is None
    assert "shallow" not in horizon_sentence(twins)


def test_curves_that_do_not_meet_are_not_compared(report: StudyReport) -> None:
    winner, deep = report.arms
    early = replace(deep, curve=curve((0.2, 1.0, 4.0), (0.5, 2.0, 3.5), (4.8, 60.0, 2.2)))
    apart = replace(report, arms=(winner, early))
    assert equal_bytes(apart) is None
    assert "equal bytes" not in horizon_sentence(apart)


def test_every_view_shows_horizon_throughput_and_equal_bytes(report: StudyReport) -> None:
    fast, slow = report.arms
    report = replace(
        report,
        arms=(
            replace(fast, details={"tokens_per_second": 4321.0}),
            replace(slow, details={"tokens_per_second": 2345.0}),
        ),
    )
    for text in (printed(report_view(report)), render_html(report)):
        words = " ".join(text.split())
        assert "Horizon: every arm was trained on 4.8 MiB to 8.0 MiB" in words
        assert "4,321" in text
        assert "2,345" in text
        assert "4.0 MiB" in text
        assert "2.6000" in text
    found = report_json(report)["horizon"]
    assert found["train_bytes"] == [4.8 * MIB, 8 * MIB]
    assert found["equal_bytes"]["arms"][1] == {
        "name": "deep", "bits_per_byte": 2.4, "train_seconds": 50.0,
    }  # fmt: skip


def test_before_the_arms_the_rung_is_the_horizon() -> None:
    trials = (TrialRow(number=0, state="pending", rung=1, metrics={"bits_per_byte": 2.0}),)
    report = StudyReport(name="s", trials=trials, rungs=(RungRow(1, 0.5, 3 * MIB),))
    assert "rung 1" in horizon_sentence(report)
    assert "3.0 MiB" in " ".join(printed(status_view(report)).split())
    assert horizon_sentence(StudyReport(name="empty")) == ""


def test_milliseconds_that_repeats_cannot_tell_apart_are_marked(report: StudyReport) -> None:
    def timed(one: ArmRow, low: float, middle: float, high: float) -> ArmRow:
        metrics = {**one.metrics, "decode_ms_per_token": middle}
        return replace(one, metrics=metrics, details={"decode_ms_min": low, "decode_ms_max": high})

    first, second = report.arms
    close = (timed(first, 0.9, 1.0, 1.1), timed(second, 1.05, 1.2, 1.3))
    apart = (timed(first, 0.9, 1.0, 1.1), timed(second, 1.15, 1.2, 1.3))
    assert latency_ties(close) == {"winner": "~", "deep": "~"}
    assert latency_ties(apart) == latency_ties(report.arms) == {}
    tied = replace(report, arms=close)
    assert "~1.2" in printed(report_view(tied))
    assert "~1.2 ms" in render_html(tied)
    assert "~" not in render_html(replace(report, arms=apart)).partition("<main>")[2]


def test_imbalance_of_experts_stands_beside_their_trials() -> None:
    study = example_study()
    assert "imbalance" not in printed(report_view(study))
    scored = [trial for trial in study.trials if trial.rung >= 0]
    mixed = replace(
        study,
        trials=tuple(
            replace(trial, expert_imbalance=1.37, tokens_per_second=777.0)
            if trial in scored
            else trial
            for trial in study.trials
        ),
    )
    for text in (printed(report_view(mixed)), render_html(mixed)):
        assert "imbalance" in text
        assert "1.37" in text
        assert "777" in text
    assert max(map(len, printed(report_view(mixed)).splitlines())) <= 80
    trial = next(one for one in report_json(mixed)["all_trials"] if one["rung"] >= 0)
    assert (trial["expert_imbalance"], trial["tokens_per_second"]) == (1.37, 777.0)


def test_predicted_milliseconds_are_labelled_in_every_view(report: StudyReport) -> None:
    assert "predicted" not in printed(report_view(report)) + render_html(report)
    settings = {"settings": {"device": {"target": "phone.json"}}}
    searching = replace(report, settings=settings, arms=())
    told = replace(
        report,
        arms=tuple(
            replace(one, details={"decode_ms_predicted_for": "Abacus 9000"}) for one in report.arms
        ),
    )
    for study, name in ((searching, "the device of phone.json"), (told, "Abacus 9000")):
        for text in (printed(report_view(study)), printed(status_view(study)), render_html(study)):
            assert f"predicted for {name}, not measured" in " ".join(text.split())
        assert report_json(study)["latency"] == {"predicted_for": name}
    assert "ms per token, predicted" in render_html(told)

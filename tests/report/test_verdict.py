"""The claim of a study: what is compared, what is said of it, and when nothing is claimed."""

import random
from dataclasses import replace

import pytest
from example_study import example_study
from test_comparison import arm
from test_terminal import printed

from archsmith.data.noise import USUAL_NOISE
from archsmith.report.as_json import report_json
from archsmith.report.comparison import Outcome
from archsmith.report.html import render_html
from archsmith.report.study_report import (
    AnytimeCurve,
    AnytimePoint,
    ArmRow,
    CurvePoint,
    LimitRow,
    StudyReport,
)
from archsmith.report.terminal import report_view
from archsmith.report.training_noise import USUAL, training_noise
from archsmith.report.verdict import judge


def compared(*rows: ArmRow) -> StudyReport:
    """Arms that cost the same, `b` among them as the primary baseline."""
    curve = (CurvePoint(10, 1.0, 1.8),)
    names = dict.fromkeys(row.name for row in rows)
    return StudyReport(
        name="s",
        arms=tuple(replace(row, curve=curve) for row in rows),
        primary_baseline="b",
        anytime=tuple(AnytimeCurve(name, (AnytimePoint(100.0, 8e12, 1.9),)) for name in names),
    )


def judged(winner: float, baseline: float, *, noise: float = 0.001) -> Outcome:
    rng = random.Random(1)
    return judge(
        compared(
            arm(winner, rng, name="w", kind="search", noise=noise),
            arm(baseline, rng, name="b", noise=noise),
        )
    ).outcome


def test_judging_sees_clear_cases() -> None:
    assert judged(1.80, 1.95) is Outcome.BEAT
    assert judged(1.95, 1.80) is Outcome.LOST
    assert judged(1.84, 1.85, noise=0.05) is Outcome.UNDECIDED


def test_what_two_seeds_may_differ_by_decides_nothing() -> None:
    assert judged(1.840, 1.910) is Outcome.UNDECIDED
    assert judged(1.910, 1.840) is Outcome.UNDECIDED


def test_equal_arms_with_several_seeds_are_tied() -> None:
    rng = random.Random(1)
    winners = [arm(1.8 + d, rng, name="w", kind="search", noise=0.001) for d in (0.001, 0, -0.001)]
    baselines = [arm(1.8 + d, rng, name="b", noise=0.001) for d in (0.0, 0.001, -0.001)]
    verdict = judge(compared(*winners, *baselines))
    assert verdict.outcome is Outcome.TIED
    assert verdict.sentence.startswith("Tied:")
    assert "one training" not in verdict.sentence
    assert "3 training seeds" in verdict.caveat


def test_the_caveat_tells_the_noise_of_a_training() -> None:
    study = example_study()
    measured = judge(study)
    assert "One search and one training stand behind each arm." in measured.caveat
    assert (
        "0.0189 bits per byte over seeds (measured by training finalists again, together with "
        "what is usual; 6 degrees of freedom), not that of the search." in measured.caveat
    )
    assert (
        "; one search and one training per arm, whose noise of 0.0189 is measured on finalists "
        "with 6 degrees of freedom)" in measured.sentence
    )
    assert measured.primary is not None
    assert measured.primary.training_noise == pytest.approx(0.0189, abs=5e-5)
    usual = judge(replace(study, finalists=()))
    assert (
        "0.0220 bits per byte over seeds (what is usual, from networks of other studies; none was "
        "measured here; 4 degrees of freedom)" in usual.caveat
    )
    assert "whose noise of 0.0220 is taken from other studies with 4 degrees" in usual.sentence


def test_noise_is_measured_where_a_finalist_has_two_seeds() -> None:
    """Whatever an earlier version noted, from the scores and what is usual now."""
    study = example_study()
    squares = (1.9534 - 1.9512) ** 2 / 2 + (1.9702 - 1.9498) ** 2 / 2
    deviation = ((squares + 4 * USUAL_NOISE**2) / 6) ** 0.5
    assert training_noise(study) == (pytest.approx(deviation), 6)
    assert training_noise(replace(study, repeats={})) == training_noise(study)
    rates = [
        replace(one, runs=tuple(run for run in one.runs if run.seed == 0))
        for one in study.finalists
    ]
    assert training_noise(replace(study, finalists=tuple(rates))) == USUAL
    assert training_noise(replace(study, finalists=())) == USUAL


def costing(
    ours: tuple[float, float], theirs: tuple[float, float], *, curve: bool = True
) -> StudyReport:
    """A winner and a baseline that took so many CPU seconds and FLOPs."""
    rng = random.Random(1)
    points = (CurvePoint(10, 1.0, 1.8),) if curve else ()
    rows = (
        replace(arm(1.80, rng, name="w", kind="search"), curve=points),
        replace(arm(1.95, rng, name="b"), curve=points),
    )
    curves = tuple(
        AnytimeCurve(name, (AnytimePoint(0.1, 1.0, 2.0), AnytimePoint(*spent, 1.9)))
        for name, spent in (("w", ours), ("b", theirs))
    )
    return StudyReport(name="s", arms=rows, primary_baseline="b", anytime=curves)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason", "told"),
    [
        (
            (129.0, 8e12), (100.0, 8e12), "costs differ",
            "at 1.29 times the b's CPU seconds and 1.00 times the b's FLOPs.",
        ),
        (
            (100.0, 8e12), (100.0, 1e12), "",
            "at 1.00 times the b's CPU seconds and 8.00 times the b's FLOPs.",
        ),
        (
            (50.0, 4e12), (100.0, 8e12), "",
            "at 0.50 times the b's CPU seconds and 0.50 times the b's FLOPs.",
        ),
        ((104.0, 8.3e12), (100.0, 8e12), "", ""),
        (
            (104.0, 0.0), (100.0, 8e12), "",
            "at 1.04 times the b's CPU seconds and the b's FLOPs not known.",
        ),
        (
            (0.0, 8e12), (100.0, 4e12), "costs differ",
            "at the b's CPU seconds not known and 2.00 times the b's FLOPs.",
        ),
        ((0.0, 0.0), (100.0, 8e12), "costs not known", "cost not known."),
    ],
)  # fmt: skip
def test_a_search_claims_only_what_it_reached_at_no_more_than_equal_cost(
    ours: tuple[float, float], theirs: tuple[float, float], reason: str, told: str
) -> None:
    study = costing(ours, theirs)
    verdict = judge(study)
    assert verdict.outcome is (Outcome.UNDECIDED if reason else Outcome.BEAT)
    assert verdict.recommended == ("b" if reason else "w")
    assert verdict.sentence.startswith(f"Undecided, {reason}: the w" if reason else "Beat: the w")
    if told:
        assert told in verdict.caveat
    else:
        assert "ost" not in verdict.caveat
    assert ("no more than its rival's cost" in verdict.caveat) == bool(reason)


@pytest.mark.parametrize("cost", [(129.0, 8e12), (100.0, 8e12)])
def test_what_costs_allow_stands_in_every_view_with_both_ratios(cost: tuple[float, float]) -> None:
    study = costing(cost, (100.0, 8e12))
    verdict = judge(study)
    ratio = f"{cost[0] / 100:.2f}"
    told = f"at {ratio} times its CPU seconds and 1.00 times its FLOPs"
    assert told in verdict.sentence
    terminal, page = " ".join(printed(report_view(study)).split()), render_html(study)
    assert told in terminal
    assert f"CPU {ratio}" in terminal
    assert told in page
    assert f"<td>{ratio}</td><td>1.00</td>" in page
    primary = report_json(study)["verdict"]["primary"]
    assert (primary["cpu_ratio"], primary["flops_ratio"]) == (pytest.approx(cost[0] / 100), 1.0)
    assert (primary["outcome"], primary["reason"]) == (
        ("beat", "") if cost[0] == 100.0 else ("undecided", "costs differ")
    )


def test_a_cost_without_the_final_training_is_not_known() -> None:
    """Its curve holds what an arm cost only where it holds a reading of that."""
    study = costing((100.0, 8e12), (100.0, 8e12), curve=False)
    assert judge(study).sentence.startswith("Undecided, costs not known: the w measured")
    assert report_json(study)["verdict"]["primary"]["cpu_ratio"] is None


def test_a_secondary_comparison_is_held_to_equal_cost_too() -> None:
    study = costing((100.0, 8e12), (100.0, 8e12))
    other = replace(arm(1.95, random.Random(2), name="c"), curve=study.arms[0].curve)
    cheap = AnytimeCurve("c", (AnytimePoint(50.0, 8e12, 1.9),))
    verdict = judge(replace(study, arms=(*study.arms, other), anytime=(*study.anytime, cheap)))
    assert verdict.outcome is Outcome.BEAT
    assert verdict.secondary[0].reason == "costs differ"
    assert verdict.secondary[0].outcome is Outcome.UNDECIDED


def searching(**settings: object) -> StudyReport:
    rows = (arm(1.80, random.Random(1), name="w", kind="search"),)
    return StudyReport(
        name="s",
        arms=rows,
        primary_baseline="parameter maximizer",
        settings={"strategy": {}, "settings": settings},
    )


def test_a_baseline_is_missing_only_where_one_was_asked_for() -> None:
    assert judge(searching(baselines=[])).sentence == "No verdict: no baseline was asked for."
    asked = judge(searching(baselines=["parameter_maximizer"])).sentence
    assert asked == (
        "No verdict: the primary baseline 'parameter maximizer' has no score on the same text yet."
    )
    other = judge(searching(baselines=["llama_shape"])).sentence
    assert other == "No verdict: the primary baseline 'parameter maximizer' was not asked for."
    # a study that was made without a search file does not say
    assert "has no score on the same text yet" in judge(searching()).sentence


def test_the_primary_comparison_is_not_corrected() -> None:
    verdict = judge(example_study())
    assert verdict.primary is not None
    assert verdict.primary.adjusted_p_value == verdict.primary.p_value
    assert {c.baseline for c in verdict.secondary} == {"fitted Llama shape", "fitted Phi-3 shape"}


def test_without_a_verdict_the_baseline_is_recommended_if_it_fits() -> None:
    rng = random.Random(1)
    limit = LimitRow("file_bytes", "<=", 100.0)
    rows = [
        replace(arm(1.8, rng, name=name, kind=kind), metrics={"file_bytes": size})
        for name, kind, size in (("w", "search", 50.0), ("b", "baseline", 200.0))
    ]
    study = StudyReport(name="s", arms=tuple(rows), primary_baseline="b", limits=(limit,))
    assert judge(study).sentence.endswith("misses file_bytes <= 100 B. Recommended: the w.")
    fits = replace(study, limits=(), arms=(replace(rows[0], block_nats=()), rows[1]))
    assert judge(fits).recommended == "b"
    alone = judge(StudyReport(name="s", arms=(rows[0],)))
    assert alone.recommended is None
    assert "Recommended" not in alone.sentence


@pytest.mark.parametrize(
    ("outcome", "word"),
    [((1.80, 1.95), "Beat:"), ((1.95, 1.80), "Recommended: the b."), ((1.85, 1.85), "Undecided:")],
)
def test_the_sentence_tells_the_outcome(outcome: tuple[float, float], word: str) -> None:
    rng = random.Random(1)
    rows = (
        arm(outcome[0], rng, name="w", kind="search", noise=0.001),
        arm(outcome[1], rng, name="b", noise=0.001),
    )
    text = judge(compared(*rows)).sentence
    assert word in text
    assert "95 % interval" in text
    assert "one training per arm" in text


def test_an_undecided_sentence_claims_nothing() -> None:
    rng = random.Random(1)
    rows = (arm(1.84, rng, name="w", kind="search", noise=0.05), arm(1.85, rng, name="b"))
    text = judge(StudyReport(name="s", arms=rows, primary_baseline="b")).sentence
    assert text.startswith("Undecided:")
    assert "less than" not in text


def test_what_cannot_be_compared_is_said() -> None:
    study = example_study()
    assert "no finished model" in judge(StudyReport(name="s")).sentence
    alone = StudyReport(name="s", arms=study.arms[:1])
    assert "no baseline was trained" in judge(alone).sentence
    other_text = replace(study.arms[1], block_bytes=(8192,) * len(study.arms[1].block_bytes))
    mixed = replace(study, arms=(study.arms[0], other_text))
    assert "no score on the same text" in judge(mixed).sentence
    floors = replace(study, arms=(study.arms[0], study.arms[4]), primary_baseline="5-gram")
    assert judge(floors).primary is None


@pytest.mark.parametrize("row", [0, 1])
def test_a_file_beyond_its_limits_wins_nothing(row: int) -> None:
    study = example_study()
    arms = list(study.arms)
    arms[row] = replace(arms[row], metrics={**arms[row].metrics, "decode_ms_per_token": 1.6})
    verdict = judge(replace(study, arms=tuple(arms)))
    assert verdict.outcome is Outcome.UNDECIDED
    assert f"the {arms[row].name} misses decode_ms_per_token <= 1.5 ms" in verdict.sentence

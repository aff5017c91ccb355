"""The claims of a report, on simulated data whose truth is known."""

import math
import random
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from example_study import BLOCK_BYTES, example_study

from archsmith.report.study_report import ArmRow, LimitRow, StudyReport
from archsmith.report.verdict import (
    Comparison,
    Outcome,
    bits_per_byte_interval,
    compare,
    decide,
    holm,
    judge,
    t_quantile,
)

MARGIN = 0.005


def arm(
    score: float, rng: random.Random, *, name: str, kind: str = "baseline", noise: float = 0.01
) -> ArmRow:
    """Blocks around a true score; blocks of one index are equally hard in every arm."""
    hard = [1 + 0.2 * math.sin(i) for i in range(60)]
    mean = sum(hard) / len(hard)
    nats = [score * h / mean * BLOCK_BYTES * math.log(2) * rng.gauss(1, noise) for h in hard]
    return ArmRow(
        name=name, kind=kind, block_nats=tuple(nats), block_bytes=(BLOCK_BYTES,) * len(nats)
    )


def judged(winner: float, baseline: float, *, noise: float = 0.001) -> Outcome:
    rng = random.Random(1)
    rows = (
        arm(winner, rng, name="w", kind="search", noise=noise),
        arm(baseline, rng, name="b", noise=noise),
    )
    return judge(StudyReport(name="s", arms=rows, primary_baseline="b")).outcome


@pytest.mark.parametrize(
    ("difference", "low", "high", "expected"),
    [
        (-0.02, -0.03, -0.01, Outcome.BEAT),
        (0.02, 0.01, 0.03, Outcome.LOST),
        (-0.001, -0.004, 0.002, Outcome.TIED),
        (-0.003, -0.0049, -0.0011, Outcome.TIED),
        (-0.02, -0.05, 0.01, Outcome.UNDECIDED),
        (-0.004, -0.007, -0.001, Outcome.UNDECIDED),
        (0.004, -0.001, 0.009, Outcome.UNDECIDED),
    ],
)
def test_outcomes_follow_the_interval(
    difference: float, low: float, high: float, expected: Outcome
) -> None:
    assert decide(difference, low, high, margin=MARGIN) is expected


def test_judging_sees_clear_cases() -> None:
    assert judged(1.80, 1.85) is Outcome.BEAT
    assert judged(1.85, 1.80) is Outcome.LOST
    assert judged(1.85, 1.85) is Outcome.TIED
    assert judged(1.84, 1.85, noise=0.05) is Outcome.UNDECIDED


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    num_blocks, num_simulations, truth = 80, 150, -0.01
    covered = 0
    for _ in range(num_simulations):
        second = 1.8 * rng.lognormal(0, 0.2, num_blocks)
        first = second + truth + rng.normal(0, 0.02, num_blocks)
        rows = [
            ArmRow(
                name=name,
                kind="baseline",
                block_nats=tuple((scores * 1000 * math.log(2)).tolist()),
                block_bytes=(1000,) * num_blocks,
            )
            for name, scores in (("w", first), ("b", second))
        ]
        found = compare(rows[:1], rows[1:], margin=MARGIN)
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / num_simulations <= 0.99


def test_equal_arms_are_rarely_called_different() -> None:
    outcomes = []
    for seed in range(60):
        rng = random.Random(seed)
        rows = [arm(1.8, rng, name="w", noise=0.02)], [arm(1.8, rng, name="b", noise=0.02)]
        outcomes.append(compare(*rows, margin=MARGIN).outcome)
    wrong = sum(outcome in (Outcome.BEAT, Outcome.LOST) for outcome in outcomes)
    assert wrong <= 8


def test_pairing_removes_the_difficulty_of_the_text() -> None:
    rng = random.Random(0)
    first = arm(1.80, rng, name="w", noise=0.002)
    second = arm(1.85, rng, name="b", noise=0.002)
    own = bits_per_byte_interval(first)
    found = compare([first], [second], margin=MARGIN)
    assert own is not None
    assert found.high - found.low < 0.1 * (own[1] - own[0])


def test_seeds_widen_the_interval_and_the_caveat_tells() -> None:
    rng = random.Random(0)
    winners = [arm(1.80 + d, rng, name="w", kind="search", noise=0.002) for d in (-0.02, 0.0, 0.02)]
    baselines = [arm(1.83 - d, rng, name="b", noise=0.002) for d in (-0.02, 0.0, 0.02)]
    one = compare(winners[1:2], baselines[1:2], margin=MARGIN)
    three = compare(winners, baselines, margin=MARGIN)
    assert three.num_seeds == 3
    assert three.high - three.low > 5 * (one.high - one.low)
    assert (one.outcome, three.outcome) == (Outcome.BEAT, Outcome.UNDECIDED)
    rows = (winners[1], baselines[1])
    single = judge(StudyReport(name="s", arms=rows, primary_baseline="b"))
    assert "not training seeds" in single.caveat
    several = judge(StudyReport(name="s", arms=(*winners, *baselines), primary_baseline="b"))
    assert "3 training seeds" in several.caveat
    assert "not training seeds" not in several.caveat


def test_a_true_difference_of_the_detectable_size_is_mostly_seen() -> None:
    rng = random.Random(5)
    pilot = compare([arm(1.8, rng, name="w")], [arm(1.8, rng, name="b")], margin=0.0)
    seen = sum(
        compare(
            [arm(1.8 - pilot.detectable, rng, name="w")], [arm(1.8, rng, name="b")], margin=0.0
        ).high
        < 0
        for _ in range(60)
    )
    assert 0.6 <= seen / 60 <= 0.95


def comparison(p_value: float, difference: float = -0.02) -> Comparison:
    return Comparison(
        winner="w", baseline=f"b{p_value}", difference=difference, low=-0.03, high=-0.01,
        p_value=p_value, adjusted_p_value=p_value, num_blocks=10, num_bytes=100, num_seeds=1,
        detectable=0.01, outcome=Outcome.BEAT,
    )  # fmt: skip


def test_holm_corrects_and_takes_claims_back() -> None:
    found = holm([comparison(0.04), comparison(0.01), comparison(0.03)], margin=MARGIN)
    assert [c.adjusted_p_value for c in found] == pytest.approx([0.06, 0.03, 0.06])
    assert [c.outcome for c in found] == [Outcome.UNDECIDED, Outcome.BEAT, Outcome.UNDECIDED]
    assert holm([], margin=MARGIN) == []


def test_the_primary_comparison_is_not_corrected() -> None:
    verdict = judge(example_study())
    assert verdict.primary is not None
    assert verdict.primary.adjusted_p_value == verdict.primary.p_value
    assert {c.baseline for c in verdict.secondary} == {"fitted Llama shape", "fitted Phi-3 shape"}


def test_t_quantiles_are_those_of_the_tables() -> None:
    assert t_quantile(1) == pytest.approx(12.706)
    assert t_quantile(7) == pytest.approx(2.365, abs=0.01)
    assert t_quantile(40) == pytest.approx(2.021, abs=0.005)
    assert t_quantile(1e9) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-4)
    assert t_quantile(0.5) == t_quantile(1)


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
    [((1.80, 1.85), "Beat:"), ((1.85, 1.80), "Recommended: the b."), ((1.85, 1.85), "Tied:")],
)
def test_the_sentence_tells_the_outcome(outcome: tuple[float, float], word: str) -> None:
    rng = random.Random(1)
    rows = (
        arm(outcome[0], rng, name="w", kind="search", noise=0.001),
        arm(outcome[1], rng, name="b", noise=0.001),
    )
    text = judge(StudyReport(name="s", arms=rows, primary_baseline="b")).sentence
    assert word in text
    assert "95 % interval" in text


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

"""Two arms on the same text: intervals and p-values, on simulated data whose truth is known."""

import csv
import functools
import itertools
import math
import random
from dataclasses import replace
from pathlib import Path
from statistics import stdev, variance

import numpy as np
import pytest
from example_study import BLOCK_BYTES
from scipy.stats import ttest_1samp

from archsmith.data import intervals
from archsmith.data.noise import USUAL_DEGREES, USUAL_NOISE
from archsmith.report.comparison import Comparison, Outcome, compare, corrected, decide
from archsmith.report.study_report import ArmRow
from archsmith.report.training_noise import TrainingNoise
from archsmith.report.verdict import bits_per_byte_interval

MARGIN = 0.005
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STEADY = TrainingNoise(1e-9)  # of trainings that do not depend on their seed


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


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that hundreds of comparisons can afford."""
    cheap = functools.partial(intervals.paired_interval, resamples=100)
    monkeypatch.setattr(intervals, "paired_interval", cheap)


def exact_arm(score: float, *, name: str) -> ArmRow:
    """An arm whose blocks all have its score: the choice of text makes no difference."""
    nats = (score * 1000 * math.log(2),) * 20
    return ArmRow(name=name, kind="baseline", block_nats=nats, block_bytes=(1000,) * 20)


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


@pytest.mark.usefixtures("few_resamples")
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Text and training both vary; the noise of a training was measured with six degrees."""
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
                block_nats=tuple(((scores + rng.normal(0, 0.003)) * 1000 * math.log(2)).tolist()),
                block_bytes=(1000,) * num_blocks,
            )
            for name, scores in (("w", first), ("b", second))
        ]
        measured = TrainingNoise(0.003 * math.sqrt(rng.chisquare(6) / 6), 6)
        found = compare(rows[:1], rows[1:], margin=MARGIN, noise=measured)
        covered += found.low <= truth <= found.high
    assert 0.9 <= covered / num_simulations <= 0.99


@pytest.mark.parametrize("degrees", [4, 6])
@pytest.mark.usefixtures("few_resamples")
def test_equal_arms_trained_once_are_rarely_called_different(degrees: int) -> None:
    """Trainings that vary by 0.006: without that in the interval half of these were decided."""
    rng, count = np.random.default_rng(7), 300
    wrong = 0
    for index in range(count):
        scores = rng.normal(1.8, 0.006, 2)
        chance = random.Random(index)
        rows = [[arm(score, chance, name="wb"[i], noise=0.001)] for i, score in enumerate(scores)]
        factor = math.sqrt(rng.chisquare(degrees) / degrees)
        found = compare(*rows, margin=MARGIN, noise=TrainingNoise(0.006 * factor, degrees))
        wrong += found.outcome in (Outcome.BEAT, Outcome.LOST)
    assert 0.02 <= wrong / count <= 0.07


def kept_runs() -> dict[str, list[float]]:
    """By corpus, bits per byte of one network that was trained with several seeds."""
    with (EXPERIMENTS / "2026-11-22-live" / "runs.csv").open(newline="") as file:
        runs = [run for run in csv.DictReader(file) if run["arm"] == "law_guided"]
    found: dict[str, list[float]] = {}
    for run in runs:
        if run["architecture"].startswith("3x96 "):
            found.setdefault(run["corpus"], []).append(float(run["bits_per_byte"]))
    return found


def test_the_usual_noise_is_that_of_the_kept_runs() -> None:
    """The mean variance over the corpora, with Satterthwaite's degrees of freedom."""
    runs = kept_runs()
    assert {corpus: len(scores) for corpus, scores in runs.items()} == {"wikitext2": 4, "stdlib": 5}
    variances = {corpus: variance(scores) for corpus, scores in runs.items()}
    total = sum(variances.values())
    uncertain = sum(one**2 / (len(runs[corpus]) - 1) for corpus, one in variances.items())
    assert pytest.approx(math.sqrt(total / 2), abs=5e-4) == USUAL_NOISE
    assert math.floor(total**2 / uncertain) == USUAL_DEGREES


def test_two_kept_runs_of_one_network_are_never_told_apart() -> None:
    for scores in kept_runs().values():
        for ours, theirs in itertools.permutations(scores, 2):
            found = compare(
                [exact_arm(ours, name="w")], [exact_arm(theirs, name="b")], margin=MARGIN
            )
            assert found.outcome is Outcome.UNDECIDED
            assert found.p_value > 0.05


@pytest.mark.parametrize("corpus", ["wikitext2", pytest.param("stdlib", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("few_resamples")
def test_identical_networks_that_vary_like_the_kept_runs_seldom_beat_each_other(
    corpus: str,
) -> None:
    """At most the 2.5 % of one side of the interval, and what 1,000 draws add by chance."""
    rng, count = np.random.default_rng(11), 1000
    deviation = stdev(kept_runs()[corpus])
    beats = 0
    for ours, theirs in rng.normal(1.8, deviation, (count, 2)):
        rows = [exact_arm(ours, name="w")], [exact_arm(theirs, name="b")]
        beats += compare(*rows, margin=MARGIN).outcome is Outcome.BEAT
    assert beats / count <= 0.025 + 2 * math.sqrt(0.025 * 0.975 / count)


def test_one_training_per_arm_adds_its_noise_with_few_degrees_of_freedom() -> None:
    rows = [exact_arm(1.80, name="w")], [exact_arm(1.85, name="b")]
    usual = compare(*rows, margin=MARGIN)
    assert usual.standard_error == pytest.approx(math.sqrt(2) * USUAL_NOISE)
    assert usual.high - usual.low == pytest.approx(
        2 * 2.7764 * math.sqrt(2) * USUAL_NOISE, rel=1e-4
    )
    assert (usual.training_noise, usual.noise_degrees_of_freedom) == (USUAL_NOISE, 4)
    assert usual.degrees_of_freedom == pytest.approx(4)
    assert usual.outcome is Outcome.UNDECIDED
    far = compare(rows[0], [exact_arm(1.95, name="b")], margin=MARGIN)
    assert far.outcome is Outcome.BEAT
    measured = compare(*rows, margin=MARGIN, noise=TrainingNoise(0.004, 6))
    assert measured.degrees_of_freedom == pytest.approx(6)
    assert measured.high - measured.low == pytest.approx(
        2 * 2.4469 * math.sqrt(2) * 0.004, rel=1e-4
    )
    assert (measured.training_noise, measured.noise_degrees_of_freedom) == (0.004, 6)


def test_several_seeds_bring_their_own_noise() -> None:
    rng = random.Random(0)
    winners = [arm(1.80 + d, rng, name="w", kind="search", noise=0.002) for d in (-0.02, 0.0, 0.02)]
    baselines = [arm(1.83 - d, rng, name="b", noise=0.002) for d in (-0.02, 0.0, 0.02)]
    one = compare(winners[1:2], baselines[1:2], margin=MARGIN, noise=TrainingNoise(0.003, 20))
    three = compare(winners, baselines, margin=MARGIN)
    assert three.num_seeds == 3
    assert three.training_noise is None
    assert three.high - three.low > 5 * (one.high - one.low)
    assert (one.outcome, three.outcome) == (Outcome.BEAT, Outcome.UNDECIDED)


@pytest.mark.parametrize("num_seeds", [2, 3, 8])
def test_without_variance_from_text_seeds_are_compared_by_the_paired_t_test(num_seeds: int) -> None:
    rng = random.Random(num_seeds)
    ours = [1.80 + rng.gauss(0, 0.01) for _ in range(num_seeds)]
    theirs = [1.81 + rng.gauss(0, 0.01) for _ in range(num_seeds)]
    found = compare(
        [exact_arm(score, name="w") for score in ours],
        [exact_arm(score, name="b") for score in theirs],
        margin=MARGIN,
    )
    expected = ttest_1samp([a - b for a, b in zip(ours, theirs, strict=True)], 0.0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.degrees_of_freedom == pytest.approx(num_seeds - 1)
    span = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((span.low, span.high), rel=1e-6)


def test_seeds_that_differ_by_rounding_leave_the_choice_of_text() -> None:
    rng = random.Random(0)
    ours, theirs = arm(1.80, rng, name="w"), arm(1.83, rng, name="b")
    again = replace(ours, block_nats=tuple(nats * (1 + 1e-15) for nats in ours.block_nats))
    found = compare([ours, again], [theirs, theirs], margin=MARGIN)
    text = compare([ours], [theirs], margin=MARGIN, noise=STEADY)
    assert found.degrees_of_freedom is None
    assert (found.low, found.high) == pytest.approx((text.low, text.high))


def test_equal_seeds_are_certain() -> None:
    rows = [exact_arm(1.8, name="w")] * 2, [exact_arm(1.8, name="b")] * 2
    assert compare(*rows, margin=MARGIN).p_value == 1.0
    worse = [exact_arm(1.9, name="b")] * 2
    found = compare(rows[0], worse, margin=MARGIN)
    assert (found.p_value, found.outcome, found.detectable) == (0.0, Outcome.BEAT, MARGIN)


def test_pairing_removes_the_difficulty_of_the_text() -> None:
    rng = random.Random(0)
    first = arm(1.80, rng, name="w", noise=0.002)
    second = arm(1.85, rng, name="b", noise=0.002)
    own = bits_per_byte_interval(first)
    found = compare([first], [second], margin=MARGIN, noise=STEADY)
    assert own is not None
    assert found.high - found.low < 0.1 * (own[1] - own[0])


@pytest.mark.parametrize("spread", [0.0, 0.004])
@pytest.mark.parametrize("noise", [TrainingNoise(0.0002), TrainingNoise(0.006)])
@pytest.mark.usefixtures("few_resamples")
def test_a_true_gain_of_the_detectable_size_is_called_beat_in_four_cases_of_five(
    spread: float, noise: TrainingNoise
) -> None:
    rng = random.Random(5)
    gain = compare(
        [arm(1.8, rng, name="w", noise=spread)], [arm(1.8, rng, name="b", noise=spread)],
        margin=MARGIN, noise=noise,
    ).detectable  # fmt: skip
    assert gain > MARGIN
    seen = 0
    for _ in range(200):
        better, usual = (rng.gauss(score, noise.deviation) for score in (1.8 - gain, 1.8))
        rows = [arm(better, rng, name="w", noise=spread)], [arm(usual, rng, name="b", noise=spread)]
        seen += compare(*rows, margin=MARGIN, noise=noise).outcome is Outcome.BEAT
    assert 0.72 <= seen / 200 <= 0.88


def comparison(p_value: float, difference: float = -0.02) -> Comparison:
    return Comparison(
        winner="w", baseline=f"b{p_value}", difference=difference, low=-0.03, high=-0.01,
        standard_error=0.005, degrees_of_freedom=None, p_value=p_value, adjusted_p_value=p_value,
        num_blocks=10, num_bytes=100, num_seeds=1, training_noise=0.003,
        noise_degrees_of_freedom=None, detectable=0.01, outcome=Outcome.BEAT,
    )  # fmt: skip


def test_holm_corrects_and_takes_claims_back() -> None:
    found = corrected([comparison(0.04), comparison(0.01), comparison(0.03)], margin=MARGIN)
    assert [c.adjusted_p_value for c in found] == pytest.approx([0.06, 0.03, 0.06])
    assert [c.outcome for c in found] == [Outcome.UNDECIDED, Outcome.BEAT, Outcome.UNDECIDED]
    assert corrected([], margin=MARGIN) == []


def test_what_is_shown_at_five_percent_is_shown_at_exactly_five_percent() -> None:
    (found,) = corrected([comparison(0.05)], margin=MARGIN)
    assert found.outcome is Outcome.BEAT


def test_a_corrected_comparison_detects_less() -> None:
    alone = corrected([comparison(0.01)], margin=MARGIN)[0].detectable
    among = corrected([comparison(0.01), comparison(0.5), comparison(0.6)], margin=MARGIN)
    assert alone == pytest.approx((1.95996 + 0.84162) * 0.005, rel=1e-4)
    # three hypotheses, none of the others shown: 5 % / 3, two-sided
    assert among[0].detectable == pytest.approx((2.39398 + 0.84162) * 0.005, rel=1e-4)
    # the first is shown, so that two remain
    assert among[1].detectable == pytest.approx((2.24140 + 0.84162) * 0.005, rel=1e-4)

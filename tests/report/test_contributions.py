"""What groups of choices contributed, on trials whose law is known."""

import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from example_study import WINNER, llama

from archsmith.architecture.tree import Architecture
from archsmith.report.contributions import (
    Contribution,
    contributions,
    pooled_contributions,
)
from archsmith.report.explained_variance import cross_validated_r2, shapley, subset_r2
from archsmith.report.study_report import ArmRow, StudyReport, TrialRow


def study(
    count: int,
    law: Callable[[Architecture], float],
    *,
    noise: float = 0.02,
    seed: int = 0,
    vocabularies: Sequence[int] = (1024, 2048, 4096, 8192),
) -> StudyReport:
    rng = random.Random(seed)
    trials = []
    for number in range(count):
        width = rng.choice([128, 192, 256, 384])
        tree = llama(
            depth=rng.choice([4, 6, 8, 12]), width=width, heads=width // 32, groups=1,
            ffn=512, vocab=rng.choice(vocabularies),
        )  # fmt: skip
        metrics = {"bits_per_byte": law(tree) + rng.gauss(0, noise)}
        trials.append(
            TrialRow(
                number=number,
                state="complete",
                rung=0,
                metrics=metrics,
                rung_metrics={0: metrics},
                architecture=tree.model_dump(mode="json"),
            )
        )
    best = ArmRow(name="winner", kind="search", architecture=WINNER.model_dump(mode="json"))
    return StudyReport(name="s", trials=tuple(trials), arms=(best,))


def by_name(report: StudyReport) -> Mapping[str, Contribution]:
    return {one.group: one for one in contributions(report).groups}


def test_a_vocabulary_that_decides_is_told_and_the_rest_is_not() -> None:
    report = study(40, lambda tree: 2 - 0.08 * math.log(tree.vocab_size))
    found = contributions(report)
    groups = by_name(report)
    assert found.r2_low > 0.3
    assert groups["vocabulary"].told
    assert groups["vocabulary"].alone > 0.5
    assert not groups["operators"].varied
    assert abs(groups["size"].share) < 0.2
    assert found.sentence.startswith("Of the variance between 40 trials at rung 0, ")
    assert "vocabulary" in found.sentence
    # the winner's 4,096 against the mean of the logarithms
    truth = -0.08 * (math.log(4096) - np.mean([math.log(v) for v in (1024, 2048, 4096, 8192)]))
    one = groups["vocabulary"]
    assert one.gain == pytest.approx(truth, abs=0.03)
    assert one.gain_low is not None
    assert one.gain_high is not None
    assert one.gain_low < one.gain < one.gain_high < 0


def test_noise_is_said_to_be_untellable() -> None:
    for seed in range(4):
        found = contributions(study(30, lambda tree: 2.0, seed=seed))
        assert "cannot be told from 30 trials" in found.sentence


def test_few_trials_and_other_points_are_no_study() -> None:
    few = contributions(study(8, lambda tree: 2.0))
    assert few.sentence == (
        "What each group of choices contributed cannot be told: 8 scored trials, and at least 12 "
        "are needed."
    )
    rows = tuple(
        TrialRow(number=n, state="complete", rung=0, rung_metrics={0: {"bits_per_byte": 1.0 + n}})
        for n in range(20)
    )
    assert contributions(StudyReport(name="table", trials=rows)).reason.startswith("0 scored")


def test_equal_scores_and_missing_ones() -> None:
    assert (
        contributions(study(15, lambda tree: 2.0, noise=0.0)).reason == "all trials scored the same"
    )
    report = study(15, lambda tree: 2.0)
    broken = [
        TrialRow(
            number=99,
            state="failed",
            rung=0,
            rung_metrics={0: {"bits_per_byte": math.nan}},
            architecture=report.trials[0].architecture,
        )
    ]
    assert contributions(StudyReport(name="s", trials=(*report.trials, *broken))).num_trials == 15


def vocabulary_law(tree: Architecture) -> float:
    return 2 - 0.08 * math.log(tree.vocab_size)


def test_studies_too_small_alone_tell_together() -> None:
    """Each on a corpus of its own, half a bit per byte apart: the means are no choice."""
    reports = [
        study(9, lambda tree, place=place: vocabulary_law(tree) + 0.5 * place, seed=place)
        for place in range(5)
    ]
    assert "cannot be told: 9 scored trials" in contributions(reports[0]).sentence
    found = pooled_contributions(reports)
    assert (found.num_trials, found.num_studies) == (45, 5)
    assert found.sentence.startswith(
        "Of the variance between 45 trials at rung 0 of 5 studies, each about its own mean, "
    )
    groups = {one.group: one for one in found.groups}
    assert groups["vocabulary"].told
    assert groups["vocabulary"].alone > 0.4
    assert found.spread < 0.1
    low, gain, high = (groups["vocabulary"].gain_low, groups["vocabulary"].gain,
                       groups["vocabulary"].gain_high)  # fmt: skip
    assert low is not None
    assert gain is not None
    assert high is not None
    assert low < gain < high < 0.02
    unclaimed = pooled_contributions(reports, claims=[False] * 5)
    assert {one.gain for one in unclaimed.groups} == {None}
    assert unclaimed.r2 == found.r2


def test_what_differs_between_studies_alone_is_no_evidence() -> None:
    reports = [
        study(12, vocabulary_law, seed=place, vocabularies=(1024 * 2**place,)) for place in range(3)
    ]
    found = pooled_contributions(reports)
    groups = {one.group: one for one in found.groups}
    assert not groups["vocabulary"].varied
    assert "cannot be told from 36 trials at rung 0 of 3 studies" in found.sentence


def test_a_pool_that_is_too_small_says_so() -> None:
    reports = [study(4, vocabulary_law, seed=place) for place in range(3)]
    assert pooled_contributions([*reports, study(1, vocabulary_law)]).sentence == (
        "What each group of choices contributed cannot be told: 12 scored trials in 3 studies, and "
        "at least 14 are needed."
    )
    assert pooled_contributions([StudyReport(name="a"), StudyReport(name="b")]).reason == (
        "0 scored trials, and at least 12 are needed"
    )


def test_shares_are_the_mean_over_all_orders() -> None:
    values = {
        frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0,
    }  # fmt: skip
    assert shapley(values, ["a", "b"]) == {"a": 2.0, "b": 3.0}


def test_shares_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    groups = {name: rng.normal(size=(30, 2)) for name in "abc"}
    y = groups["a"][:, 0] + 0.5 * groups["b"][:, 1] + 0.1 * rng.normal(size=30)
    values = subset_r2(groups, y)
    shares = shapley(values, list(groups))
    assert sum(shares.values()) == pytest.approx(values[frozenset("abc")])
    assert shares["a"] > shares["b"] > shares["c"]


def test_left_out_errors_are_those_of_fits_without_the_trial() -> None:
    """The shortcut by leverage, against fitting again without each trial."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(15, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = x @ [0.5, -1.0] + 0.3 * rng.normal(size=15)
    best = math.inf
    for penalty in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        errors = []
        for left in range(15):
            kept = np.arange(15) != left
            design = np.column_stack([np.ones(14), x[kept]])
            system = design.T @ design + np.diag([0, penalty, penalty])
            slopes = np.linalg.solve(system, design.T @ y[kept])
            errors.append(y[left] - slopes @ [1, *x[left]])
        best = min(best, float(np.sum(np.square(errors))))
    baseline = float(np.sum(((y - y.mean()) * 15 / 14) ** 2))
    assert cross_validated_r2(x, y) == pytest.approx(1 - best / baseline, abs=1e-9)


def test_left_out_errors_of_several_studies_are_those_of_fits_with_a_mean_each() -> None:
    rng = np.random.default_rng(2)
    studies = np.repeat([0, 1, 2, 3], [4, 5, 6, 1])  # the last can be predicted from nothing
    x, y = rng.normal(size=(16, 2)), rng.normal(size=16) + 3.0 * studies
    told = studies < 3
    means = np.eye(4)[studies][told][:, :3]
    inside = x[told] - means @ np.linalg.lstsq(means, x[told], rcond=None)[0]
    inside, target = inside / inside.std(axis=0), y[told] + 0.7 * inside[:, 0]
    y[told] = target

    def left_out(design: np.ndarray, penalties: list[float]) -> float:
        total = 0.0
        for left in range(15):
            kept = np.arange(15) != left
            system = design[kept].T @ design[kept] + np.diag(penalties)
            slopes = np.linalg.solve(system, design[kept].T @ target[kept])
            total += float(target[left] - design[left] @ slopes) ** 2
        return total

    both = np.column_stack([means, inside])
    best = min(left_out(both, [0.0] * 3 + [one] * 2) for one in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0))
    expected = 1 - best / left_out(means, [0.0] * 3)
    assert expected > 0
    assert cross_validated_r2(x, y, studies) == pytest.approx(expected, abs=1e-9)

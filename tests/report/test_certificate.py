"""What a certificate over several seeds may claim."""

import json
import math
import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from archsmith.errors import ConfigError
from archsmith.report.certificate import ArmRun, Certificate, Opening, certify
from archsmith.report.certificate_page import render_certificate
from archsmith.report.comparison import Outcome
from archsmith.report.detectable import detectable_by_t
from archsmith.report.paired import paired

PRIMARY = ("law_guided", "parameter maximizer")


def runs(
    gains: list[float], *, corpus: str = "notes", other: float | None = None, cost: float = 700.0
) -> list[ArmRun]:
    """A search that gains so much on each seed, the maximizer, and a random search on two seeds."""
    rng = random.Random(len(gains))
    found = []
    for seed, gain in enumerate(gains):
        base = rng.gauss(1.8, 0.02)
        found.append(ArmRun("parameter maximizer", seed, base, 700.0, 8e12, corpus))
        found.append(ArmRun("law_guided", seed, base - gain, cost, 8e12, corpus))
        if other is not None and seed < 2:
            found.append(ArmRun("random", seed, base - gain + other, 700.0, 7e12, corpus))
    return found


def made(*parts: list[ArmRun], **options: object) -> Certificate:
    return certify([run for part in parts for run in part], primary=PRIMARY, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gains", "outcome", "first_word"),
    [
        ([0.02, 0.03, 0.025, 0.01, 0.015], Outcome.BEAT, "Beat: law_guided needs 0.0200"),
        ([-0.02, -0.03, -0.025, -0.01, -0.015], Outcome.LOST, "Lost: law_guided needs 0.0200"),
        ([0.001, -0.002, 0.003, 0.0, 0.004], Outcome.TIED, "Tied within the margin of 0.005"),
        ([0.02, 0.03, -0.025, 0.01, 0.015], Outcome.UNDECIDED, "Undecided: law_guided measured"),
    ],
)
def test_the_four_verdicts(gains: list[float], outcome: Outcome, first_word: str) -> None:
    found = made(runs(gains))
    assert found.outcome is outcome
    assert found.sentence.startswith(first_word)
    assert "5 paired seeds, exact 94 % interval" in found.sentence
    assert "p = 0." in found.sentence
    assert "minimal detectable difference 0." in found.sentence
    chosen = "law_guided" if outcome is Outcome.BEAT else "parameter maximizer"
    assert found.recommended == (("notes", chosen),)
    assert f"Recommended: {chosen}'s model." in found.sentence


def test_too_few_seeds_decide_nothing_however_large_the_gain() -> None:
    found = made(runs([0.5, 0.51, 0.49, 0.5]))
    assert found.outcome is Outcome.UNDECIDED
    assert "no difference could be shown: so few seeds give no p below 0.0625" in found.sentence
    assert found.recommended == (("notes", "parameter maximizer"),)


def test_a_claim_holds_where_it_holds_on_every_corpus() -> None:
    gains = [0.02, 0.03, 0.025, 0.01, 0.015]
    both = made(runs(gains), runs(gains, corpus="code"))
    assert both.outcome is Outcome.BEAT
    mixed = made(runs(gains), runs([-gain for gain in gains], corpus="code"))
    assert mixed.outcome is Outcome.UNDECIDED
    assert "beat on notes" in mixed.sentence
    assert "lost on code" in mixed.sentence
    assert dict(mixed.recommended) == {"notes": "law_guided", "code": "parameter maximizer"}
    assert "Recommended: law_guided's model." in mixed.text()


def test_exploratory_comparisons_are_corrected_together() -> None:
    rng = random.Random(0)
    base = runs([0.02, 0.03, 0.025, 0.01, 0.015])
    others = [
        ArmRun(name, seed, 1.83 + rng.gauss(0, 0.001), 700, 8e12, "notes")
        for name in ("a", "b", "c")
        for seed in range(5)
    ]
    found = made(base, others)
    first, *exploratory = found.comparisons
    assert first.primary
    assert first.adjusted_p_value == 1 / 32
    assert len(exploratory) == 3
    for one in exploratory:
        assert one.adjusted_p_value >= one.statistics.p_t
    smallest = min(exploratory, key=lambda one: one.statistics.p_t)
    assert smallest.adjusted_p_value == pytest.approx(3 * smallest.statistics.p_t)


def test_holm_takes_back_what_chance_would_show() -> None:
    base = runs([0.02, 0.03, 0.025, 0.01, 0.015])
    ours = {run.seed: run.bits_per_byte for run in base if run.arm == "law_guided"}
    shifts = [0.02, 0.01, 0.03, 0.002, 0.025]  # p of the paired t about 0.03
    others = [
        ArmRun(f"arm {index}", seed, ours[seed] + shift, 700, 8e12, "notes")
        for index in range(4)
        for seed, shift in enumerate(shifts)
    ]
    alone = made(base, [run for run in others if run.arm == "arm 0"])
    assert alone.comparisons[1].outcome is Outcome.BEAT
    assert {one.outcome for one in made(base, others).comparisons[1:]} == {Outcome.UNDECIDED}


def test_unequal_costs_and_missing_seeds_are_said() -> None:
    found = made(runs([0.02, 0.03, 0.025, 0.01, 0.015], cost=900.0))
    assert "at 1.29 times its CPU seconds and 1.00 times its FLOPs" in found.sentence
    assert any("costs were not equal" in remark for remark in found.remarks)
    partial = runs([0.02, 0.03, 0.025, 0.01, 0.015, 0.02])
    partial.remove(next(run for run in partial if run.arm == "law_guided" and run.seed == 2))
    found = made(partial)
    assert found.comparisons[0].seeds == (0, 1, 3, 4, 5)
    assert any("lacks seed 2, left out" in remark for remark in found.remarks)


GAINS = [0.02, 0.03, 0.025, 0.01, 0.015]


@pytest.mark.parametrize(
    ("kept", "reason", "recommended"),
    [
        ({"law_guided": range(5)}, "only law_guided has a run there", None),
        (
            {"parameter maximizer": range(5)},
            "only parameter maximizer has a run there",
            "parameter maximizer",
        ),
        (
            {"law_guided": (0, 1), "parameter maximizer": (2, 3, 4)},
            "no seed has both",
            "parameter maximizer",
        ),
        ({"random": range(5)}, "neither has a run there", None),
    ],
)
def test_a_corpus_without_a_pair_leaves_the_claim_undecided(
    kept: dict[str, Sequence[int]], reason: str, recommended: str | None
) -> None:
    code = [
        run
        for run in runs(GAINS, corpus="code", other=0.01)
        + [ArmRun("random", seed, 1.8, 700.0, 7e12, "code") for seed in (2, 3, 4)]
        if run.seed in kept.get(run.arm, ())
    ]
    assert made(runs(GAINS)).outcome is Outcome.BEAT
    found = made(runs(GAINS), code)
    assert found.outcome is Outcome.UNDECIDED
    assert found.sentence.startswith("Undecided over the corpora tried: law_guided against")
    assert "beat on notes" in found.sentence
    assert f"not compared on code ({reason})" in found.sentence
    assert any("not compared on code" in remark and reason in remark for remark in found.remarks)
    assert dict(found.recommended) == {"notes": "law_guided"} | (
        {"code": recommended} if recommended else {}
    )


def test_no_pair_anywhere_is_undecided_with_the_reason() -> None:
    seeds = [run for run in runs(GAINS) if (run.arm == "law_guided") == (run.seed < 2)]
    found = made(seeds)
    assert found.outcome is Outcome.UNDECIDED
    assert found.sentence.startswith("Undecided: no seed has both law_guided and the parameter")
    assert found.recommended == (("notes", "parameter maximizer"),)
    assert any("no seed has both" in remark for remark in found.remarks)


def test_costs_that_nobody_told_are_not_equal() -> None:
    free = [
        run._replace(cpu_seconds=0.0) if run.arm == "law_guided" else run for run in runs(GAINS)
    ]
    found = made(free)
    # FLOPs count where CPU seconds are not known of both
    assert found.outcome is Outcome.BEAT
    assert "at its CPU seconds not known and 1.00 times its FLOPs" in found.sentence
    told = "law_guided against parameter maximizer on notes: cost not known (CPU seconds)."
    assert told in found.remarks
    assert found.as_json()["arms"][0]["cpu_seconds"] is None
    # one seed of five is enough for the mean to be unknown
    one = made([run._replace(flops=0.0) if run.seed == 3 else run for run in runs(GAINS)])
    assert one.outcome is Outcome.BEAT
    assert any("cost not known (FLOPs)." in remark for remark in one.remarks)
    assert not any("cost not known" in remark for remark in made(runs(GAINS)).remarks)


def spent(ours: tuple[float, float], theirs: tuple[float, float]) -> list[ArmRun]:
    """The search gains on each seed, at so many CPU seconds and FLOPs against so many."""
    return [
        run._replace(cpu_seconds=cost[0], flops=cost[1])
        for run in runs(GAINS)
        for cost in [ours if run.arm == "law_guided" else theirs]
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "reason", "ratios"),
    [
        ((2100.0, 9e12), (700.0, 1e12), "costs differ", ("3.00", "9.00")),
        ((740.0, 8e12), (700.0, 8e12), "costs differ", ("1.06", "1.00")),
        ((0.0, 9e12), (700.0, 1e12), "costs differ", ("\u2013", "9.00")),
        ((0.0, 0.0), (0.0, 0.0), "costs not known", ("\u2013", "\u2013")),
        ((700.0, 9e12), (0.0, 0.0), "costs not known", ("\u2013", "\u2013")),
        ((730.0, 8e12), (700.0, 8e12), "", ("1.04", "1.00")),
        ((700.0, 9e12), (700.0, 1e12), "", ("1.00", "9.00")),
        ((350.0, 4e12), (700.0, 8e12), "", ("0.50", "0.50")),
        ((0.0, 8e12), (700.0, 8e12), "", ("\u2013", "1.00")),
    ],
)
def test_a_search_claims_only_what_it_reached_at_no_more_than_equal_cost(
    ours: tuple[float, float], theirs: tuple[float, float], reason: str, ratios: tuple[str, str]
) -> None:
    found = made(spent(ours, theirs))
    outcome = Outcome.UNDECIDED if reason else Outcome.BEAT
    chosen = PRIMARY[1] if reason else PRIMARY[0]
    assert found.outcome is found.comparisons[0].outcome is outcome
    assert found.recommended == (("notes", chosen),)
    begins = f"Undecided, {reason}: law_guided measured" if reason else "Beat: law_guided needs"
    assert found.sentence.startswith(begins)
    assert found.sentence.endswith(f"Recommended: {chosen}'s model.")
    assert any("no more than its rival's cost" in remark for remark in found.remarks) == bool(
        reason
    )
    cells = (*ratios, f"undecided: {reason}" if reason else "beat")
    assert f"| {' | '.join(cells)} |" in found.markdown()
    page = render_certificate(found)
    assert begins in page
    assert "FLOPs ratio" in page
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (told["outcome"], told["comparisons"][0]["reason"]) == (str(outcome), reason)
    for cost, ratio in zip(("cpu_ratio", "flops_ratio"), ratios, strict=True):
        known = told["comparisons"][0][cost]
        assert known == (None if ratio == "\u2013" else pytest.approx(float(ratio), abs=0.005))


def test_plain_numbers_cannot_tell_what_the_choices_contributed() -> None:
    found = made(runs(GAINS))
    told = "cannot be told: the trials behind the runs were not given."
    for view in (found.markdown(), found.text(), render_certificate(found)):
        assert told in view
    assert found.as_json()["contributions"]["reason"] == "the trials behind the runs were not given"


def test_both_ratios_are_told_whatever_they_are() -> None:
    equal = made(runs(GAINS))
    assert "at 1.00 times its CPU seconds and 1.00 times its FLOPs" in equal.sentence
    more = made(spent((700.0, 9e12), (700.0, 1e12)))
    told = "costs were not equal, 1.00 times the CPU seconds and 9.00 times the FLOPs."
    assert any(told in remark for remark in more.remarks)


def test_a_search_that_lost_at_more_cost_has_lost() -> None:
    assert made(runs([-gain for gain in GAINS], cost=2100.0)).outcome is Outcome.LOST


def test_exploratory_comparisons_and_other_corpora_are_held_to_equal_cost_too() -> None:
    others = [ArmRun("random", seed, 1.9 + seed / 500, 100.0, 1e12, "notes") for seed in range(5)]
    found = made(runs(GAINS), runs(GAINS, corpus="code", cost=2100.0), others)
    assert found.outcome is Outcome.UNDECIDED
    assert "beat on notes (" in found.sentence
    assert "undecided on code, costs differ (" in found.sentence
    assert dict(found.recommended) == {"notes": "law_guided", "code": "parameter maximizer"}
    random_arm = found.comparisons[2]
    assert (random_arm.second, random_arm.reason) == ("random", "costs differ")
    assert random_arm.outcome is Outcome.UNDECIDED


def test_exploratory_comparisons_say_what_they_could_detect_themselves() -> None:
    base = runs(GAINS)
    ours = {run.seed: run.bits_per_byte for run in base if run.arm == "law_guided"}
    shifts = {0: 0.01, 1: 0.03, 2: 0.02}  # standard deviation 0.01
    others = [
        ArmRun("random", seed, ours[seed] + shift, 700.0, 7e12, "notes")
        for seed, shift in shifts.items()
    ]
    found = made(base, others).comparisons[1].statistics.detectable
    # three pairs, which the exact test never decides: Student's t with two degrees of freedom
    assert found == pytest.approx(
        detectable_by_t(0.01 / 3**0.5, degrees_of_freedom=2, level=0.05, margin=0.005)
    )
    assert paired([-shift for shift in shifts.values()], margin=0.005).detectable == math.inf


def curved(gain: float, *, corpus: str = "notes", ends: float = 800.0) -> list[ArmRun]:
    found = []
    for run in runs([gain] * 3, corpus=corpus):
        late = run.bits_per_byte + 0.1 * (run.seed + 1)
        points = ((ends / 4, late), (ends / 2, late + 1.0), (ends, run.bits_per_byte))
        found.append(run._replace(curve=points))
    return found


def test_anytime_curves_are_means_of_the_best_so_far() -> None:
    found = made(curved(0.02), curved(0.02, corpus="code", ends=80.0))
    ours, theirs, *_ = sorted(found.anytime, key=lambda one: (one.corpus != "notes", one.arm))
    assert (ours.arm, theirs.arm) == PRIMARY
    assert ours.num_seeds == 3
    assert ours.cpu_seconds[-1] == 800.0
    assert math.isnan(ours.bits_per_byte[3])  # an eighth: none has a reading
    mean = fmean(run.bits_per_byte for run in curved(0.02) if run.arm == "law_guided")
    assert ours.bits_per_byte[7] == ours.bits_per_byte[30] == pytest.approx(mean + 0.2)
    assert ours.bits_per_byte[31] == pytest.approx(mean)
    assert ours.bits_per_byte[31] == pytest.approx(theirs.bits_per_byte[31] - 0.02)
    page = found.markdown()
    assert "| corpus | arm | seeds | 1/8 | 1/4 | 1/2 | 3/4 | 1 | CPU at 1 |" in page
    shown = f"| {mean + 0.2:.4f} | {mean + 0.2:.4f} | {mean + 0.2:.4f} | {mean:.4f} | 13m20s |"
    assert f"| notes | law_guided | 3 | \u2013 {shown}" in page
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text)["anytime"][0]["bits_per_byte"][0] is None


def test_the_page_draws_the_curves_of_each_corpus() -> None:
    page = render_certificate(made(curved(0.02), curved(0.02, corpus="code")))
    assert page.count("<svg") == 2
    assert "What each arm had reached when on code, mean over seeds." in page
    assert 'id="anytime-0-' in page
    assert 'id="anytime-1-' in page
    plain = made(runs(GAINS))
    assert plain.anytime == ()
    assert "CPU at 1" not in plain.markdown()
    assert "<svg" not in render_certificate(plain)


def test_a_curve_must_be_numbers() -> None:
    bad = [run._replace(curve=((1.0, float("nan")),)) for run in runs(GAINS)]
    with pytest.raises(ConfigError, match="a point of its curve"):
        made(bad)


def test_the_openings_of_the_test_split_are_printed() -> None:
    once = made(runs([0.1] * 5), openings=[Opening(0.0, "search", "a")])
    assert "The sealed test split of a was opened once: 1970-01-01 00:00:00 UTC" in once.text()
    twice = made(
        runs([0.1] * 5), openings=[Opening(9.0, "score", "a"), Opening(0.0, "search", "a")]
    )
    assert "opened 2 times, so it is no longer sealed" in twice.text()
    assert [opening.what for opening in twice.openings] == ["search", "score"]


def test_json_has_no_infinite_numbers_and_markdown_has_every_arm() -> None:
    found = made(runs([0.5, 0.51], other=0.1))
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text)["comparisons"][0]["statistics"]["low"] is None
    page = found.markdown()
    assert page.startswith(f"**{found.sentence}**")
    for arm in ("law_guided", "parameter maximizer", "random"):
        assert f"| {arm} |" in page
    assert "law_guided against parameter maximizer (primary)" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[1:2], "no run of an arm 'parameter maximizer'"),
        (lambda found: [*found, found[0]], "2 runs, where one is expected"),
        (lambda found: [found[0]._replace(bits_per_byte=float("nan")), *found[1:]], "above 0"),
        (lambda found: [found[0]._replace(flops=-1.0), *found[1:]], "costs must be 0 or more"),
    ],
)
def test_bad_numbers_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        certify(change(runs([0.1] * 5)), primary=PRIMARY)


def test_an_arm_is_not_compared_with_itself() -> None:
    with pytest.raises(ConfigError, match="cannot be compared with itself"):
        certify(runs([0.1] * 5), primary=("law_guided", "law_guided"))
    with pytest.raises(ConfigError, match="margin"):
        certify(runs([0.1] * 5), primary=PRIMARY, margin=0.0)

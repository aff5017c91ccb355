"""The words of a study's verdict: its sentence, what the interval covers, what it cost."""

import math

from archsmith.data.noise import USUAL_DEGREES
from archsmith.report.comparison import Comparison, Outcome
from archsmith.report.figures import plural, show_difference, show_span
from archsmith.report.study_report import StudyReport
from archsmith.units import format_bytes

EQUAL_COST = 0.05  # arms whose costs differ by more are said not to have cost the same


def sentence(comparison: Comparison, *, margin: float, recommended: str) -> str:
    """The headline: the outcome with its evidence and whose model to take, in plain words."""
    return f"{_claim(comparison, margin)} Recommended: the {recommended}."


def _claim(comparison: Comparison, margin: float) -> str:
    winner, baseline = comparison.winner, comparison.baseline
    size = f"{abs(comparison.difference):.4f} bits per byte"
    evidence = (
        f"95 % interval {show_span(comparison.low, comparison.high, signed=True)}, "
        f"p {show_p(comparison.p_value)}, minimal detectable {comparison.detectable:.4f}"
        f"{_rests_on(comparison)}"
    )
    match comparison.outcome:
        case Outcome.BEAT:
            return f"Beat: the {winner} needs {size} less than the {baseline} ({evidence})."
        case Outcome.LOST:
            return f"Lost: the {winner} needs {size} more than the {baseline} ({evidence})."
        case Outcome.TIED:
            return (
                f"Tied: the {winner} and the {baseline} differ by less than the margin of "
                f"{margin:g} bits per byte ({show_difference(comparison.difference)}, {evidence})."
            )
    return (
        f"Undecided: the {winner} measured {show_difference(comparison.difference)} bits per byte "
        f"against the {baseline} ({evidence}), too little to tell it from the margin of {margin:g}."
    )


def _rests_on(comparison: Comparison) -> str:
    """What stands in for further seeds, where each arm was trained once."""
    if comparison.training_noise is None:
        return ""
    source = "measured on finalists" if _is_measured(comparison) else "taken from other studies"
    return (
        f"; one search and one training per arm, whose noise of {comparison.training_noise:.4f} is "
        f"{source} with {comparison.noise_degrees_of_freedom} degrees of freedom"
    )


def _is_measured(comparison: Comparison) -> bool:
    """Whether the study's own trainings entered the noise of one."""
    return (comparison.noise_degrees_of_freedom or 0) > USUAL_DEGREES


def caveat(comparison: Comparison) -> str:
    """What the interval covers and what it could have seen."""
    text = f"{plural(comparison.num_blocks, 'block')}, {format_bytes(comparison.num_bytes)}"
    detectable = (
        "The smallest true gain it would call beat in four cases of five is "
        f"{comparison.detectable:.4f} bits per byte."
    )
    if comparison.training_noise is None:
        return (
            f"The interval covers the choice of held-out text ({text}) and "
            f"{comparison.num_seeds} training seeds per arm. {detectable}"
        )
    source = (
        "measured by training finalists again, together with what is usual"
        if _is_measured(comparison)
        else "what is usual, from networks of other studies; none was measured here"
    )
    return (
        "One search and one training stand behind each arm. The interval covers the choice of "
        f"held-out text ({text}) and the noise of one training, a standard deviation of "
        f"{comparison.training_noise:.4f} bits per byte over seeds ({source}; "
        f"{comparison.noise_degrees_of_freedom} degrees of freedom), not that of the search. "
        f"{detectable}"
    )


def cost_words(report: StudyReport, comparison: Comparison) -> str:
    """What the winner cost against the baseline, where both are known and differ; else empty."""
    ours, theirs = report.spent(comparison.winner), report.spent(comparison.baseline)
    if ours is None or theirs is None:
        return ""
    pairs = (
        (ours.cpu_seconds, theirs.cpu_seconds, "CPU seconds"),
        (ours.flops, theirs.flops, "training FLOPs"),
    )
    told = [
        f"{own / other:.2f} times the {what}"
        for own, other, what in pairs
        if own > 0 and other > 0 and not is_equal_cost(own / other)
    ]
    if not told:
        return ""
    return (
        f"Costs were not equal: the {comparison.winner} took {' and '.join(told)} of the "
        f"{comparison.baseline}."
    )


def is_equal_cost(ratio: float) -> bool:
    """Whether two costs of this ratio count as equal; an unknown one (not a number) does not."""
    return not math.isnan(ratio) and abs(ratio - 1) <= EQUAL_COST


def show_p(value: float) -> str:
    """A p-value with its relation; never zero."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"

"""The words of a study's verdict: its sentence, what the interval covers, what it cost."""

import math

from archsmith.data.noise import USUAL_DEGREES
from archsmith.report.comparison import Comparison, Outcome
from archsmith.report.equal_cost import RULE, costs_differ, ratio_words
from archsmith.report.figures import plural, show_difference, show_span
from archsmith.units import format_bytes


def sentence(comparison: Comparison, *, margin: float, recommended: str) -> str:
    """The headline: the outcome with its evidence and whose model to take, in plain words."""
    return f"{_claim(comparison, margin)} Recommended: the {recommended}."


def _claim(comparison: Comparison, margin: float) -> str:
    winner, baseline = comparison.winner, comparison.baseline
    size = f"{abs(comparison.difference):.4f} bits per byte"
    evidence = (
        f"95 % interval {show_span(comparison.low, comparison.high, signed=True)}, "
        f"p {show_p(comparison.p_value)}, minimal detectable {comparison.detectable:.4f}, "
        f"{ratio_words(comparison.cpu_ratio, comparison.flops_ratio)}{_rests_on(comparison)}"
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
    measured = (
        f"the {winner} measured {show_difference(comparison.difference)} bits per byte against the "
        f"{baseline} ({evidence})"
    )
    if comparison.reason:
        return f"Undecided, {comparison.reason}: {measured}."
    return f"Undecided: {measured}, too little to tell it from the margin of {margin:g}."


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


def cost_words(comparison: Comparison) -> str:
    """What the winner cost against the baseline where that is not equal or not known, and what it
    means; else empty."""
    ratios = comparison.cpu_ratio, comparison.flops_ratio
    winner, baseline = comparison.winner, comparison.baseline
    words = ratio_words(*ratios, whose=f"the {baseline}'s")
    if any(map(math.isnan, ratios)):
        told = f"What the {winner} cost is not known in full: {words}."
    elif any(map(costs_differ, ratios)):
        told = f"Costs were not equal: the {winner} was trained {words}."
    else:
        return ""
    return f"{told} {RULE}" if comparison.reason else told


def show_p(value: float) -> str:
    """A p-value with its relation; never zero."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"

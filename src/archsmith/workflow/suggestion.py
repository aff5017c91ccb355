"""An answer in seconds, without training: the architecture the shipped prior likes best.

The prior predicts bits per byte from parameters, text and the corpus's own difficulty; training
speed is measured for a moment on this machine. The search starts from this answer.
"""

import random
from collections.abc import Callable, Mapping

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.errors import InfeasibleError
from archsmith.prior import Prediction, predict
from archsmith.space.feasible import sample_feasible
from archsmith.strategies.llama_shape import LlamaShape
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.trial import Problem

SUGGESTED = "suggested"
# names of the row that is the best of the other kind, where the space has both
DENSE, WITH_EXPERTS = "best dense", "best with experts"
_SAMPLES = 150
_CLIMBERS = 4
_CLIMB_STEPS = 30
# Shapes of equal FLOPs train at different speeds on one machine (efficiency of small products,
# shared cores): an allowance, not a measured spread.
_SPEED_SPREAD = 0.35


class Row(Spec):
    """One architecture with everything that is known of it before training.

    Attributes:
        train_seconds, train_seconds_low, train_seconds_high: to train on `train_bytes`.
        bits_per_byte, bits_per_byte_low, bits_per_byte_high: predicted, held out, 90 % interval.
    """

    name: str
    architecture: Architecture
    metrics: Mapping[str, float]
    train_bytes: int
    train_seconds: float
    train_seconds_low: float
    train_seconds_high: float
    bits_per_byte: float
    bits_per_byte_low: float
    bits_per_byte_high: float


class Suggestion(Spec):
    """The suggested architecture first, then the hand-drawn shapes beside it.

    `corpus_bits_per_byte` is the n-gram model's on a sample: the corpus's difficulty.
    """

    rows: tuple[Row, ...]
    corpus_bits_per_byte: float
    flops_per_second: float
    log10_space_size: float

    @property
    def architecture(self) -> Architecture:
        """What is suggested."""
        return self.rows[0].architecture

    def of_each_kind(self) -> tuple[Architecture, ...]:
        """The first row of each kind of network, dense and with experts."""
        first: dict[bool, Architecture] = {}
        for row in self.rows:
            first.setdefault(row.architecture.has_experts, row.architecture)
        return tuple(first.values())


class Speed(Spec):
    """Training speed of this machine for small models: FLOPs per second through the loop."""

    flops_per_second: float
    num_threads: int

    def seconds(self, architecture: Architecture, num_tokens: float) -> float:
        """Seconds to train on so many tokens."""
        return 3.0 * architecture.flops_per_token() * num_tokens / self.flops_per_second


def measure_speed(
    architecture: Architecture, *, tokens_per_second: Callable[[Architecture], float], threads: int
) -> Speed:
    """Speed from one architecture's measured tokens per second."""
    rate = tokens_per_second(architecture)
    return Speed(flops_per_second=3.0 * architecture.flops_per_token() * rate, num_threads=threads)


def suggest(
    problem: Problem,
    *,
    bytes_per_token: Mapping[int, float],
    corpus_bits_per_byte: float,
    speed: Speed,
    corpus_train_bytes: int,
    seconds: float | None = None,
    train_bytes: int | None = None,
) -> Suggestion:
    """Search the space by the prior alone; exact limits hold, nothing is trained.

    Args:
        bytes_per_token: mean bytes of text per token, by vocabulary size.
        corpus_bits_per_byte: of an n-gram model on the corpus.
        corpus_train_bytes: text there is; more training means more epochs.
        seconds: training time the plan is made for, or
        train_bytes: text it is made for; exactly one of the two.

    Raises:
        InfeasibleError: nothing meets the limits; says which one binds and what comes nearest.
    """
    plan_bytes = text_of_plan(
        speed, bytes_per_token=bytes_per_token, seconds=seconds, train_bytes=train_bytes
    )

    def predicted(architecture: Architecture) -> Prediction:
        return predict(
            architecture,
            train_bytes=plan_bytes(architecture),
            corpus_bits_per_byte=corpus_bits_per_byte,
            corpus_train_bytes=corpus_train_bytes,
        )

    def row(name: str, architecture: Architecture) -> Row:
        text = plan_bytes(architecture)
        needed = speed.seconds(architecture, text / bytes_per_token[architecture.vocab_size])
        found = predicted(architecture)
        return Row(
            name=name,
            architecture=architecture,
            metrics=problem.static_metrics(architecture),
            train_bytes=text,
            train_seconds=needed,
            train_seconds_low=needed * (1.0 - _SPEED_SPREAD),
            train_seconds_high=needed * (1.0 + _SPEED_SPREAD),
            bits_per_byte=found.mean,
            bits_per_byte_low=found.low,
            bits_per_byte_high=found.high,
        )

    bests = _search(problem, lambda architecture: predicted(architecture).mean)
    best = bests[0]
    rows = [row(SUGGESTED, best)]
    rows += [row(WITH_EXPERTS if one.has_experts else DENSE, one) for one in bests[1:]]
    rows += [
        row(name, architecture)
        for name, architecture in hand_drawn(problem).items()
        if architecture not in bests
    ]
    return Suggestion(
        rows=tuple(rows),
        corpus_bits_per_byte=corpus_bits_per_byte,
        flops_per_second=speed.flops_per_second,
        log10_space_size=problem.space.log10_size(),
    )


def text_of_plan(
    speed: Speed,
    *,
    bytes_per_token: Mapping[int, float],
    seconds: float | None,
    train_bytes: int | None,
) -> Callable[[Architecture], int]:
    """The bytes of text a network is trained on by a plan: in seconds the fast ones read more.

    Exactly one of `seconds` and `train_bytes` is given.
    """
    assert (seconds is None) != (train_bytes is None)

    def plan_bytes(architecture: Architecture) -> int:
        if train_bytes is not None:
            return train_bytes
        assert seconds is not None
        tokens = seconds / speed.seconds(architecture, 1.0)
        return max(1, round(tokens * bytes_per_token[architecture.vocab_size]))

    return plan_bytes


def text_after_search(
    suggestion: Suggestion, *, bytes_per_token: Mapping[int, float], in_bytes: bool
) -> Callable[[Architecture], int]:
    """The same for the final training, by the suggestion alone: what was noted once stays so.

    Args:
        in_bytes: whether the plan is made for an amount of text, the same for all.
    """
    first = suggestion.rows[0]
    return text_of_plan(
        Speed(flops_per_second=suggestion.flops_per_second, num_threads=1),
        bytes_per_token=bytes_per_token,
        seconds=None if in_bytes else first.train_seconds,
        train_bytes=first.train_bytes if in_bytes else None,
    )


def require_feasible(problem: Problem) -> None:
    """Raises InfeasibleError, before anything is measured, where nothing meets the limits."""
    try:
        sample_feasible(problem, random.Random(f"{problem.seed}:suggestion"))
    except InfeasibleError:
        if not hand_drawn(problem):
            raise


def hand_drawn(problem: Problem) -> dict[str, Architecture]:
    """What a careful person would copy: fitted Llama and Qwen3 shapes and the maximizer.

    Shapes whose family the space does not hold are left out.
    """
    found: dict[str, Architecture] = {}
    rng = random.Random(0)
    for name, strategy in (
        ("Llama shape", LlamaShape()),
        ("parameter maximizer", ParameterMaximizer()),
    ):
        try:
            found[name] = strategy.propose(_without_start(problem), (), rng).architecture
        except InfeasibleError:
            continue
    qwen = _as_qwen3(found["Llama shape"], problem) if "Llama shape" in found else None
    if qwen is not None:
        found["Qwen3 shape"] = qwen
    return found


def _as_qwen3(shape: Architecture, problem: Problem) -> Architecture | None:
    """The same shape in the Qwen3 family, with half the key-value heads, if it fits."""
    values = registry.find("families", "llama").values(shape)
    if values is None:
        return None
    halved = 2 if shape.layers[0].mixer.num_attention_heads % 2 == 0 else 1
    made: Architecture = registry.find("families", "qwen3").build(
        {**values, "heads_per_kv_head": halved}
    )
    return made if problem.space.contains(made) and problem.feasible(made) else None


def _without_start(problem: Problem) -> Problem:
    return Problem(
        space=problem.space,
        objectives=problem.objectives,
        limits=problem.limits,
        rungs=problem.rungs,
        static_metrics=problem.static_metrics,
        seed=problem.seed,
    )


def _search(problem: Problem, value: Callable[[Architecture], float]) -> list[Architecture]:
    """Feasible samples, then steepest descent over neighbours from the best few.

    The best of each kind of network that was met, dense and with experts, the better one first.
    """
    rng = random.Random(f"{problem.seed}:suggestion")
    drawn = set(hand_drawn(problem).values())
    try:
        drawn |= {sample_feasible(problem, rng) for _ in range(_SAMPLES)}
    except InfeasibleError:
        if not drawn:
            raise
    ranked = sorted((value(point), point.hash, point) for point in drawn)
    bests = []
    for experts in sorted({point.has_experts for point in drawn}):
        kind = [entry for entry in ranked if entry[2].has_experts == experts]
        best_value, _, best = kind[0]
        for start_value, _, start in kind[:_CLIMBERS]:
            found_value, found = _descend(problem, value, start, start_value)
            if found_value < best_value:
                best_value, best = found_value, found
        bests.append((best_value, best.hash, best))
    return [best for _, _, best in sorted(bests)]


def _descend(
    problem: Problem,
    value: Callable[[Architecture], float],
    point: Architecture,
    point_value: float,
) -> tuple[float, Architecture]:
    for _ in range(_CLIMB_STEPS):
        experts = point.has_experts
        near = [one for one in problem.space.neighbours(point) if one.has_experts == experts]
        values = [(value(one), one.hash, one) for one in near]
        better = sorted(entry for entry in values if entry[0] < point_value)
        step = next((entry for entry in better if problem.feasible(entry[2])), None)
        if step is None:
            break
        point_value, _, point = step
    return point_value, point

"""Measure how training computes fastest on a device: kernels, number format, threads.

Rivals take turns, so that a slow moment of the machine falls on all of them alike, and a default is
left only for what the repeats can tell from it.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from archsmith.architecture.tree import Architecture
from archsmith.device.environment import num_usable_cores
from archsmith.device.probe import clock_of, num_threads_set
from archsmith.device.spread import Spread, quartiles
from archsmith.device.training_choice import (
    CompileMode,
    KernelChoice,
    KernelTiming,
    NumberFormat,
    TrainingChoice,
)
from archsmith.model.kernels.blocked_attention import BlockedAttention
from archsmith.model.kernels.head import HeadLoss, chunk_rows
from archsmith.model.kernels.plain import attend
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe

Call = Callable[[], object]
Way = int | str  # how something is computed: a number of rows, or a word

_DEFAULT = KernelChoice()
_TORCH = "torch's own"
_LEAST_SECONDS = 0.01  # of one reading
# Compiling is found on the disk the second time: it never counts as less than the first time takes
# on an idle machine. And it must be earned back: the gain differs between networks.
_LEAST_COMPILING_SECONDS = 30.0
_COMPILING_MUST_EARN = 3.0
_SECOND_THREAD_MUST_GAIN = 1.15  # less is lost again to the next neighbour


class Effort(NamedTuple):
    """What is tried, and on what sizes. The defaults are for processors."""

    repeats: int = 7
    lengths: Sequence[int] = (128, 256, 512, 1024)
    query_blocks: Sequence[int] = (64, 128, 256)
    vocab_sizes: Sequence[int] = (1024, 2048, 4096)
    head_rows: Sequence[int] = (128, 256, 512)
    tokens: int = 1024  # of an update
    width: int = 256


def tune(
    device: torch.device,
    effort: Effort = Effort(),  # noqa: B008 (a frozen value)
    *,
    on_progress: Callable[[str], None] = lambda what: None,
) -> tuple[TrainingChoice, tuple[KernelTiming, ...]]:
    """The device's choice, and the timings it follows from; half a minute, on GPUs minutes."""
    timings: list[KernelTiming] = []
    chosen: dict[NumberFormat, KernelChoice] = {}
    formats: tuple[NumberFormat, ...] = ("float32", "bfloat16")
    with num_threads_set(1):
        for dtype in formats:
            on_progress(f"attention and head in {dtype}")
            choice = _kernels(device, dtype, effort, timings)
            if device.type == "cuda":
                on_progress(f"compiled updates in {dtype}")
                choice = _compiled(device, dtype, choice, effort, timings)
            chosen[dtype] = choice
        on_progress("number formats")
        best_dtype = _number_format(device, chosen, effort, timings)
    on_progress("threads")
    threads, compiled_from = 1, None
    if device.type == "cpu":
        threads = _lone_threads(best_dtype, chosen[best_dtype], effort, timings)
        on_progress("a compiled update, for long trainings")
        with num_threads_set(1):
            compiled_from = _compiled_from(best_dtype, chosen[best_dtype], effort, timings)
    choice_of_all = TrainingChoice(
        dtype=best_dtype,
        float32=chosen["float32"],
        bfloat16=chosen["bfloat16"],
        lone_threads=threads,
        candidates_per_device=1 if device.type == "cpu" else _candidates(device, effort),
        compiled_from_seconds=compiled_from,
    )
    return choice_of_all, tuple(timings)


def race(
    calls: Mapping[Way, Call], *, repeats: int, clock: Callable[[], float]
) -> dict[Way, list[float]]:
    """Seconds of each call, `repeats` readings of every one in turn."""
    counts = {}
    for way, call in calls.items():
        call()  # memory and caches
        started = clock()
        call()
        counts[way] = max(1, math.ceil(_LEAST_SECONDS / max(clock() - started, 1e-6)))
    found: dict[Way, list[float]] = {way: [] for way in calls}
    for _ in range(repeats):
        for way, call in calls.items():
            started = clock()
            for _ in range(counts[way]):
                call()
            found[way].append((clock() - started) / counts[way])
    return found


def clear_winner(figures: Mapping[Way, Spread], default: Way) -> Way:
    """The smallest figure's way, if the default's repeats lie apart from it; else the default."""
    best = min(figures, key=lambda way: figures[way].middle)
    return default if figures[best].overlaps(figures[default]) else best


def longest_held(rivals: Sequence[tuple[int, Spread, Spread]]) -> int:
    """The longest size at which the first rival does not lose clearly; 0 where it always does."""
    return max((size for size, first, second in rivals if first.low <= second.high), default=0)


def smallest_won(rivals: Sequence[tuple[int, Spread, Spread]], default: int) -> int:
    """The smallest size from which on the first rival wins clearly, at most `default`."""
    smallest = default
    for size, first, second in sorted(rivals, reverse=True):
        if size < default and first.high >= second.low:
            break
        smallest = min(size, default)
    return smallest


def _kernels(
    device: torch.device, dtype: NumberFormat, effort: Effort, timings: list[KernelTiming]
) -> KernelChoice:
    choice = _DEFAULT
    if device.type == "cpu":
        choice = _attention(dtype, effort, timings)
    else:
        choice = choice.model_copy(update={"longest_blocked": 0})  # flash attention has no rival
    rows, rows_from = _head(device, dtype, effort, timings)
    return choice.model_copy(update={"head_rows": rows, "head_rows_from": rows_from})


def _attention(dtype: NumberFormat, effort: Effort, timings: list[KernelTiming]) -> KernelChoice:
    device = torch.device("cpu")
    clock = clock_of(device, 1)
    logs: dict[Way, list[float]] = {block: [0.0] * effort.repeats for block in effort.query_blocks}
    found: dict[int, dict[Way, list[float]]] = {}
    for length in effort.lengths:
        calls: dict[Way, Call] = {_TORCH: _attention_call(dtype, length, effort, None)}
        for block in effort.query_blocks:
            calls[block] = _attention_call(dtype, length, effort, block)
        found[length] = race(calls, repeats=effort.repeats, clock=clock)
        _note(timings, f"attention, {length} tokens", dtype, found[length], "queries")
        for block in effort.query_blocks:
            for index, seconds in enumerate(found[length][block]):
                logs[block][index] += math.log(seconds)
    best = clear_winner(
        {way: quartiles(values) for way, values in logs.items()}, _DEFAULT.query_block
    )
    assert isinstance(best, int)
    rivals = [
        (length, quartiles(times[best]), quartiles(times[_TORCH]))
        for length, times in found.items()
    ]
    longest = min(longest_held(rivals), _DEFAULT.longest_blocked)
    return _DEFAULT.model_copy(update={"query_block": best, "longest_blocked": longest})


def _attention_call(
    dtype: NumberFormat, length: int, effort: Effort, query_block: int | None
) -> Call:
    heads, features = max(effort.width // 64, 1), min(effort.width, 64)
    shape = (max(effort.tokens // length, 1), heads, length, features)
    q, k, v = (_random(shape, dtype).requires_grad_() for _ in range(3))
    direction, scale = _random(shape, dtype), features**-0.5

    def call() -> object:
        if query_block is None:
            out = attend(q, k, v, None, scale)
        else:
            out = BlockedAttention.apply(q, k, v, None, scale, query_block)
        return torch.autograd.grad(out, (q, k, v), direction)

    return call


def _head(
    device: torch.device, dtype: NumberFormat, effort: Effort, timings: list[KernelTiming]
) -> tuple[int, int]:
    clock = clock_of(device, 1)
    largest = max(effort.vocab_sizes)
    default = _DEFAULT.head_rows
    found = race(
        {rows: _head_call(device, dtype, largest, rows, effort) for rows in effort.head_rows},
        repeats=effort.repeats,
        clock=clock,
    )
    _note(timings, f"head, {largest} entries", dtype, found, "rows")
    rows = clear_winner({way: quartiles(times) for way, times in found.items()}, default)
    assert isinstance(rows, int)
    rivals = []
    for vocab_size in effort.vocab_sizes:
        whole = chunk_rows(vocab_size, KernelChoice(head_rows_from=vocab_size + 1))
        if whole == rows:
            continue
        pair: dict[Way, Call] = {
            count: _head_call(device, dtype, vocab_size, count, effort) for count in (rows, whole)
        }
        times = race(pair, repeats=effort.repeats, clock=clock)
        if vocab_size != largest:
            _note(timings, f"head, {vocab_size} entries", dtype, times, "rows")
        rivals.append((vocab_size, quartiles(times[rows]), quartiles(times[whole])))
    return rows, smallest_won(rivals, _DEFAULT.head_rows_from)


def _head_call(
    device: torch.device, dtype: NumberFormat, vocab_size: int, rows: int, effort: Effort
) -> Call:
    hidden = _random((effort.tokens, effort.width), dtype, device).requires_grad_()
    weight = (_random((vocab_size, effort.width), dtype, device) * 0.02).requires_grad_()
    targets = torch.randint(vocab_size, (effort.tokens,), device=device)

    def call() -> object:
        loss = HeadLoss.apply(hidden, weight, None, targets, rows)
        return torch.autograd.grad(loss, (hidden, weight))

    return call


def _compiled(
    device: torch.device,
    dtype: NumberFormat,
    choice: KernelChoice,
    effort: Effort,
    timings: list[KernelTiming],
) -> KernelChoice:
    modes: tuple[CompileMode, ...] = ("no", "default", "reduce-overhead")
    choices = {mode: choice.model_copy(update={"compile": mode}) for mode in modes}
    calls: dict[Way, Call] = {mode: _update(device, dtype, choices[mode], effort) for mode in modes}
    found = race(calls, repeats=effort.repeats, clock=clock_of(device, 1))
    _note(timings, "update, compiled or not", dtype, found, "")
    best = clear_winner({way: quartiles(times) for way, times in found.items()}, "no")
    return next(one for mode, one in choices.items() if mode == best)


def _number_format(
    device: torch.device,
    chosen: Mapping[NumberFormat, KernelChoice],
    effort: Effort,
    timings: list[KernelTiming],
) -> NumberFormat:
    calls: dict[Way, Call] = {
        dtype: _update(device, dtype, choice, effort) for dtype, choice in chosen.items()
    }
    found = race(calls, repeats=effort.repeats, clock=clock_of(device, 1))
    _note(timings, "update by one thread", None, found, "")
    figures = {way: quartiles(times) for way, times in found.items()}
    return "bfloat16" if clear_winner(figures, "float32") == "bfloat16" else "float32"


def _lone_threads(
    dtype: NumberFormat, choice: KernelChoice, effort: Effort, timings: list[KernelTiming]
) -> int:
    """One, or all cores where they are clearly faster, by the wall clock."""
    cores = num_usable_cores()
    if cores == 1:
        return 1
    update = _update(torch.device("cpu"), dtype, choice, effort)

    def with_threads(count: int) -> Call:
        def call() -> object:
            with num_threads_set(count):
                return update()

        return call

    found = race(
        {1: with_threads(1), cores: with_threads(cores)},
        repeats=effort.repeats,
        clock=time.perf_counter,
    )
    _note(timings, "update, by the wall clock", dtype, found, "threads")
    one, all_cores = quartiles(found[1]), quartiles(found[cores])
    return cores if all_cores.high * _SECOND_THREAD_MUST_GAIN < one.low else 1


def _compiled_from(
    dtype: NumberFormat, choice: KernelChoice, effort: Effort, timings: list[KernelTiming]
) -> float | None:
    """Seconds from which on a training on the processor earns its compiling back several times."""
    device = torch.device("cpu")
    compiled = _update(device, dtype, choice.model_copy(update={"compile": "default"}), effort)
    started = time.perf_counter()
    try:
        compiled()
    except Exception:  # torch has many kinds; most often there is no C++ compiler
        return None
    seconds = max(time.perf_counter() - started, _LEAST_COMPILING_SECONDS)
    calls: dict[Way, Call] = {
        "not compiled": _update(device, dtype, choice, effort),
        "compiled": compiled,
    }
    found = race(calls, repeats=effort.repeats, clock=clock_of(device, 1))
    _note(timings, "update, compiled or not", dtype, found, "")
    figures = {way: quartiles(times) for way, times in found.items()}
    if clear_winner(figures, "not compiled") != "compiled":
        return None
    gain = 1.0 - figures["compiled"].middle / figures["not compiled"].middle
    return _COMPILING_MUST_EARN * seconds / gain


def _candidates(device: torch.device, effort: Effort) -> int:
    """Trainings that one GPU keeps busy: how much of an update the GPU waits for its host.

    Eager updates of small networks are launched more slowly than they are computed; the share of
    time that kernels run says how many launchers it takes. Their memory fits many times over.
    """
    update = _update(device, "bfloat16", _DEFAULT.model_copy(update={"longest_blocked": 0}), effort)
    update()
    torch.cuda.synchronize(device)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    started = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profiler:
        update()
        torch.cuda.synchronize(device)
    wall = time.perf_counter() - started
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) * 1e-6
    return max(1, min(round(wall / max(busy, 1e-9)), num_usable_cores()))


def _update(
    device: torch.device, dtype: NumberFormat, choice: KernelChoice, effort: Effort
) -> Call:
    """One update of a small decoder, optimizer and all."""
    width, length = effort.width, min(256, max(effort.lengths))
    head_dim = min(64, width)
    architecture = Architecture.model_validate(
        {
            "hidden_size": width,
            "vocab_size": max(effort.vocab_sizes),
            "max_position_embeddings": length,
            "layers": [
                {
                    "mixer": {
                        "type": "attention",
                        "num_attention_heads": width // head_dim,
                        "num_key_value_heads": width // head_dim,
                        "head_dim": head_dim,
                    },
                    "feed_forward": {"type": "gated_mlp", "intermediate_size": 3 * width},
                }
            ]
            * 2,
        }
    )
    learner = Learner(
        architecture,
        recipe=Recipe(dtype=dtype),
        seed=0,
        device=device,
        dtype=torch.float32 if dtype == "float32" else torch.bfloat16,
        kernels=choice,
    )
    shape = (max(effort.tokens // length, 1), length + 1)
    batch = np.random.default_rng(0).integers(0, architecture.vocab_size, shape)
    return lambda: learner.update(batch, number=0, factor=0.0)


def _random(
    shape: Sequence[int], dtype: NumberFormat, device: torch.device | None = None
) -> torch.Tensor:
    return torch.randn(tuple(shape), device=device).to(getattr(torch, dtype))


def _note(
    timings: list[KernelTiming],
    what: str,
    dtype: NumberFormat | None,
    found: Mapping[Way, Sequence[float]],
    unit: str,
) -> None:
    for way, seconds in found.items():
        low, middle, high = (1e3 * figure for figure in quartiles(seconds))
        plural = unit.removesuffix("s") if way == 1 else unit
        name = f"{way} {plural}" if isinstance(way, int) else way
        timings.append(
            KernelTiming(
                what=what, dtype=dtype, way=name, ms=middle, ms_low=low, ms_high=high,
                repeats=len(seconds),
            )
        )  # fmt: skip

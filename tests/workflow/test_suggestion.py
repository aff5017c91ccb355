"""The suggestion: feasible, at least as good as what one would draw by hand, the same twice."""

import random
from functools import partial
from typing import Any

import pytest

from archsmith import prior
from archsmith.errors import InfeasibleError
from archsmith.prior import Coefficients, Prior
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import portable
from archsmith.trial import Limit, Problem
from archsmith.workflow import suggestion as module
from archsmith.workflow.suggestion import SUGGESTED, Speed, Suggestion, measure_speed, suggest

BYTES_PER_TOKEN = {512: 2.5, 1024: 3.0}
MADE_UP = Prior(
    coefficients=Coefficients(
        irreducible=0.5,
        size_factor=0.4,
        size_exponent=0.4,
        text_factor=0.9,
        text_exponent=0.5,
        aspect_factor=0.02,
        aspect=40.0,
        vocabulary_factor=0.01,
        vocabulary_constant=0.3,
        difficulty_exponent=0.8,
    ),
    log_error=0.05,
    log_error_per_doubling=0.02,
    size_range=(1e5, 1e7),
    text_range=(1e6, 1e8),
    num_runs=100,
    corpora=("a",),
)


@pytest.fixture(autouse=True)
def made_up_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "predict", partial(prior.predict, prior=MADE_UP))


def problem(*limits: str) -> Problem:
    space = portable(
        hidden_sizes=(64, 96, 128, 192),
        depths=(2, 3, 4, 6),
        head_dims=(32,),
        vocabularies=(Vocabulary(512, 128), Vocabulary(1024, 96)),
        quantizations=("Q8_0", "Q4_0"),
    )
    return Problem(
        space=space,
        objectives=("bits_per_byte",),
        limits=[Limit.parse(limit) for limit in limits],
        static_metrics=lambda point: {
            "num_params": float(point.num_params),
            "file_bytes": 1.1 * point.num_params * (1 if point.quantization == "Q8_0" else 0.55),
        },
        seed=5,
    )


def ask(task: Problem, **changes: Any) -> Suggestion:
    given: dict[str, Any] = {
        "bytes_per_token": BYTES_PER_TOKEN,
        "corpus_bits_per_byte": 2.1,
        "speed": Speed(flops_per_second=2e10, num_threads=1),
        "corpus_train_bytes": 5_000_000,
        "seconds": 600.0,
        **changes,
    }
    return suggest(task, **given)


def test_every_row_meets_the_limits_and_the_first_is_best() -> None:
    task = problem("file_bytes <= 400KiB", "num_params <= 500000")
    found = ask(task)
    names = [row.name for row in found.rows]
    assert names[0] == SUGGESTED
    assert set(names[1:]) <= {"Llama shape", "Qwen3 shape", "parameter maximizer"}
    assert len(names) >= 3
    for row in found.rows:
        assert task.space.contains(row.architecture)
        assert task.feasible(row.architecture)
        assert row.bits_per_byte_low < row.bits_per_byte < row.bits_per_byte_high
        assert row.train_seconds_low < row.train_seconds < row.train_seconds_high
        assert row.train_seconds == pytest.approx(600.0, rel=1e-3)
        assert found.rows[0].bits_per_byte <= row.bits_per_byte


def test_no_neighbour_of_the_suggestion_is_better() -> None:
    task = problem("num_params <= 400000")
    best = ask(task).rows[0]
    for point in task.space.neighbours(best.architecture):
        if task.feasible(point):
            row = prior.predict(
                point,
                train_bytes=round(
                    600.0 * 2e10 / (3 * point.flops_per_token()) * BYTES_PER_TOKEN[point.vocab_size]
                ),
                corpus_bits_per_byte=2.1,
                corpus_train_bytes=5_000_000,
                prior=MADE_UP,
            )
            assert row.mean >= best.bits_per_byte - 1e-9


def test_more_time_suggests_no_worse_and_a_seed_repeats() -> None:
    task = problem("num_params <= 1000000")
    short, long = ask(task, seconds=60.0), ask(task, seconds=3600.0)
    assert long.rows[0].bits_per_byte < short.rows[0].bits_per_byte
    assert long.architecture.num_params >= short.architecture.num_params
    random.seed(99)
    assert ask(task, seconds=60.0) == short


def test_a_plan_in_bytes_gives_the_time_it_takes() -> None:
    task = problem("num_params <= 400000")
    small, large = (ask(task, seconds=None, train_bytes=size) for size in (10**6, 4 * 10**6))
    assert {row.train_bytes for row in small.rows} == {10**6}
    hand_drawn = small.rows[1].architecture
    twin = next(row for row in large.rows if row.architecture == hand_drawn)
    assert twin.train_seconds == pytest.approx(4 * small.rows[1].train_seconds)


def test_what_cannot_be_met_is_said_with_the_nearest() -> None:
    with pytest.raises(
        InfeasibleError, match=r"num_params <= 1K'.*the nearest found.*num_params ="
    ):
        ask(problem("num_params <= 1000"))


def test_speed_is_that_of_the_measured_architecture() -> None:
    point = problem().space.sample(random.Random(0))
    speed = measure_speed(point, tokens_per_second=lambda architecture: 1234.0, threads=2)
    assert speed.num_threads == 2
    assert speed.seconds(point, 2468.0) == pytest.approx(2.0)

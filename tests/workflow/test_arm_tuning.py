"""One-shot arms: what they try first, what it costs, and that it goes on where it was killed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import DivergedError, EvaluationError
from archsmith.evaluators.base import Progress
from archsmith.presets import scaled_llama
from archsmith.train.recipe import Recipe
from archsmith.workflow import arm_training, arm_tuning
from archsmith.workflow.arm_training import (
    ArmTask,
    arm_details,
    arm_spent,
    train_arm,
    train_flops_per_token,
)
from archsmith.workflow.arm_tuning import Tuned, Tuning, plan_runs, read_tuned
from archsmith.workflow.model_folder import load_model_folder
from helpers_workflow import write_notes

RECIPE = Recipe(batch_tokens=64, warmup_steps=5, dtype="float32")


def shape(vocab_size: int) -> Architecture:
    return scaled_llama(32, vocab_size=vocab_size, context_tokens=32, quantization="Q8_0")


SHAPES = (shape(320), shape(288))
# FLOPs of the least run of the larger shape
UPDATES = 15
LEAST = UPDATES * 64 * train_flops_per_token(SHAPES[0])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A corpus with its tokenizer, prepared."""
    folder = tmp_path_factory.mktemp("text")
    write_notes(folder / "notes", num_bytes=60_000)
    config = CorpusConfig(
        files=("notes",),
        near_duplicates=False,
        validation_fraction=0.1,
        test_fraction=0.1,
        minimum_split_bytes=2048,
    )
    corpus = Corpus.prepare(config, folder / "corpus", root=folder)
    Tokenizer.train(corpus, vocab_size=320).save(folder / "tokenizer.json")
    return {
        "corpus": folder / "corpus",
        "tokenizer": folder / "tokenizer.json",
        "tokens_dir": folder / "tokens",
    }


@pytest.fixture
def task(
    text: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ArmTask]:
    """An arm on the notes, but for its cost and its folder; short runs are enough for it."""
    monkeypatch.setattr(arm_tuning, "LEAST_UPDATES", UPDATES)

    def make(name: str, **options: Any) -> ArmTask:
        return ArmTask(
            name="parameter maximizer",
            architecture=SHAPES[0],
            recipe=RECIPE,
            protocol=ScoringProtocol(
                context_bytes=64, stride_bytes=32, block_bytes=512, max_bytes=2048
            ),
            output_dir=tmp_path / name,
            **text,
            **options,
        )

    return make


@pytest.mark.parametrize(
    ("budget", "shapes", "factors", "says"),
    [
        (2000.0, 3, 2, ""),
        (1999.0, 3, 1, "5 runs in 50% of the budget would have fewer than 200 updates"),
        (1200.0, 3, 0, "3 of them fit"),
        (800.0, 2, 0, "2 of them fit"),
        (799.0, 1, 0, "none of them fit"),
        (1.0, 1, 0, "none of them fit"),
    ],
)
def test_what_does_not_fit_is_left_out(budget: float, shapes: int, factors: int, says: str) -> None:
    """Rates first; the arm's own vocabulary stays to the last."""
    tuning = Tuning(shapes=(*SHAPES, shape(304)), share=0.5)
    found = plan_runs(tuning, budget=budget, needed=[200.0, 100.0, 200.0])
    assert found.shapes == tuning.shapes[:shapes]
    assert found.rate_factors == tuning.rate_factors[:factors]
    assert found.num_runs == (shapes + factors if shapes + factors > 1 else 0)
    assert says in found.reason
    assert bool(says) == bool(found.reason)


def test_all_flops_are_spent_the_best_trunk_goes_on(task: Callable[..., ArmTask]) -> None:
    flops = LEAST * 4 / 0.4
    told: list[Progress] = []
    own = task("tuned", max_flops=flops, tuning=Tuning(shapes=SHAPES, share=0.4))
    model = train_arm(own, on_progress=told.append)
    tuned = read_tuned(own.output_dir)
    assert tuned is not None
    assert [(run.architecture, run.rate_factor) for run in tuned.runs[:2]] == [
        (SHAPES[0], 1.0),
        (SHAPES[1], 1.0),
    ]
    by_size = min(tuned.runs[:2], key=lambda run: run.bits_per_byte or 9.0).architecture
    assert [(run.architecture, run.rate_factor) for run in tuned.runs[2:]] == [
        (by_size, 0.5),
        (by_size, 2.0),
    ]
    assert tuned.best is not None
    best = tuned.runs[tuned.best]
    assert best.bits_per_byte == min(run.bits_per_byte or 9.0 for run in tuned.runs)
    assert model.architecture == best.architecture
    assert model.record.recipe.learning_rate == RECIPE.learning_rate * best.rate_factor
    assert model.record.from_checkpoint == str(
        own.output_dir / "tuning" / str(tuned.best) / "trunk"
    )
    # every run has its part, and all together cost what was given, to an update of each
    assert [run.flops for run in tuned.runs] == pytest.approx([LEAST] * 4, rel=0.1)
    assert arm_spent(own.output_dir, model.record)[1] == pytest.approx(flops, rel=0.02)
    assert tuned.flops == pytest.approx(4 * LEAST - best.trunk_flops, rel=0.1)
    shares = [progress.fraction_done for progress in told]
    assert shares == sorted(shares)
    assert 0.95 < shares[-1] <= 1.0  # told every ten updates
    details = arm_details(own.output_dir, model.record)
    assert [run["rate_factor"] for run in details["tuning"]["runs"]] == [1.0, 1.0, 0.5, 2.0]
    assert details["tuning"]["reason"] == ""
    assert details["last_readings_fell"] is (model.record.curve[-2][2] < model.record.curve[-3][2])
    assert not (own.output_dir / "tuning").exists()


def test_a_killed_arm_goes_on_to_the_same_model(task: Callable[..., ArmTask]) -> None:
    options = {"max_flops": 6 * LEAST, "tuning": Tuning(shapes=SHAPES, share=0.7)}
    whole = train_arm(task("whole", **options))

    class Killed(BaseException):
        pass

    def kill(end: float, progress: Progress) -> None:
        if progress.fraction_done > end:
            raise Killed

    cut = task("cut", **options)
    for end in (0.3, 0.9):  # in the second run, and in the long training
        with pytest.raises(Killed):
            train_arm(cut, on_progress=partial(kill, end))
    tuned = read_tuned(cut.output_dir)
    assert tuned is not None
    assert len(tuned.runs) == 4
    resumed = train_arm(cut)
    for name, weight in whole.weights.items():
        assert np.array_equal(weight, resumed.weights[name]), name
    again = train_arm(cut)
    assert again.record == load_model_folder(cut.output_dir).record == resumed.record


def test_at_least_as_much_text_as_the_winner(task: Callable[..., ArmTask]) -> None:
    own = task(
        "text",
        max_flops=LEAST / 2,
        least_bytes=6_000,
        tuning=Tuning(shapes=SHAPES, share=0.25),
    )
    record = train_arm(own).record
    assert record.train_bytes == pytest.approx(6_000, rel=0.08)
    assert "none of them fit" in arm_details(own.output_dir, record)["tuning"]["reason"]


def test_seconds_are_spent_on_runs_and_the_rest(
    task: Callable[..., ArmTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a machine fast enough for all runs, by what is measured
    monkeypatch.setattr(arm_training, "training_tokens_per_second", lambda *a, **k: 1e9)
    own = task("seconds", max_seconds=2.0, tuning=Tuning(shapes=SHAPES, share=0.5), clock="cpu")
    record = train_arm(own).record
    tuned = read_tuned(own.output_dir)
    assert tuned is not None
    assert tuned.amount == pytest.approx(1.0 / 4)
    assert sum(run.seconds for run in tuned.runs) == pytest.approx(1.0, rel=0.4)
    assert arm_spent(own.output_dir, record)[0] == pytest.approx(2.0, rel=0.2)


def test_a_rate_that_diverges_is_no_choice(
    task: Callable[..., ArmTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, failing = arm_training.train_interruptibly, {2.0}

    def diverge(architecture: Architecture, **options: Any) -> Any:
        if options["recipe"].learning_rate / RECIPE.learning_rate in failing:
            raise DivergedError("the loss is not finite\nat update 3")
        return train(architecture, **options)

    monkeypatch.setattr(arm_training, "train_interruptibly", diverge)
    options = {"max_flops": 4 * LEAST, "tuning": Tuning(shapes=SHAPES[:1], share=0.8)}
    own = task("diverges", **options)
    details = arm_details(own.output_dir, train_arm(own).record)
    assert details["tuning"]["runs"][2]["reason"] == "the loss is not finite"
    assert details["tuning"]["chosen"] in (0, 1)
    failing |= {0.5, 1.0}
    with pytest.raises(EvaluationError, match="every run failed, the first: the loss"):
        train_arm(task("all", **options))


def test_what_is_kept_of_the_runs_is_beside_the_trunk_that_goes_on() -> None:
    tuned = Tuned.model_validate(
        {
            "shapes": [shape(320)],
            "rate_factors": [0.5],
            "amount": 10.0,
            "measuring_seconds": 1.0,
            "runs": [
                {"architecture": shape(320), "rate_factor": 1.0, "bits_per_byte": 2.0,
                 "seconds": 10.0, "flops": 100.0, "trunk_seconds": 7.0, "trunk_flops": 80.0},
                {"architecture": shape(320), "rate_factor": 0.5, "bits_per_byte": 1.9,
                 "seconds": 11.0, "flops": 110.0, "trunk_seconds": 8.0, "trunk_flops": 90.0},
            ],
        }
    )  # fmt: skip
    assert (tuned.best, tuned.next()) == (1, None)
    assert (tuned.all_seconds, tuned.seconds) == (22.0, 14.0)
    assert tuned.flops == 120.0

"""Training one architecture: its end, its interruption, and what lies in its folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Split
from archsmith.errors import CheckpointError, ConfigError, SearchInterrupted
from archsmith.presets import scaled_llama
from archsmith.train.recipe import Recipe
from archsmith.workflow.model_folder import TrainedModel, load_model_folder
from archsmith.workflow.training import train_model
from helpers_workflow import FinishedSearch

BYTES = 24_000


def shape(width: int = 32) -> Architecture:
    return scaled_llama(width, vocab_size=288, context_tokens=32, quantization="Q8_0")


@pytest.fixture(scope="module")
def train(finished: FinishedSearch) -> Callable[..., TrainedModel]:
    """`train_model` on the notes, but for its end and its folder."""
    workspace = finished.pipeline().workspace
    return partial(
        train_model,
        shape(),
        train_tokens=workspace.tokens(Split.TRAIN, 288),
        validation_tokens=workspace.tokens(Split.SEARCH, 288),
        tokenizer=workspace.tokenizer_for(288),
        recipe=Recipe(batch_tokens=96, warmup_steps=3, dtype="float32"),
        protocol=finished.pipeline().config.rung_protocol,
        num_readings=2,
    )


def after(polls: int) -> Callable[[], bool]:
    """Asks to stop once it was polled so often."""
    left = [polls]

    def should_stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    return should_stop


@pytest.mark.parametrize("ends", [{}, {"max_seconds": 1.0, "train_bytes": BYTES}])
def test_exactly_one_end_is_given(
    train: Callable[..., TrainedModel], tmp_path: Path, ends: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="exactly one of max_seconds and train_bytes"):
        train(output_dir=tmp_path / "model", **ends)
    assert not (tmp_path / "model").exists()


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    train: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    whole = train(output_dir=tmp_path / "whole", train_bytes=BYTES)
    cut = tmp_path / "cut"
    for polls in (20, 45):
        with pytest.raises(SearchInterrupted, match="the same command continues"):
            train(output_dir=cut, train_bytes=BYTES, should_stop=after(polls))
        assert (cut / "trunk" / "manifest.json").is_file()
        assert not (cut / "training.json").exists()
    resumed = train(output_dir=cut, train_bytes=BYTES)
    assert resumed.record.steps == whole.record.steps
    assert resumed.record.train_bytes == whole.record.train_bytes
    assert resumed.record.train_bytes == pytest.approx(BYTES, rel=0.02)
    assert [row[::2] for row in resumed.record.curve] == [row[::2] for row in whole.record.curve]
    for name, weight in whole.weights.items():
        assert np.array_equal(weight, resumed.weights[name]), name


def test_an_interrupted_training_has_only_the_time_it_had_left(
    train: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    """By a clock that moves a hundredth of a second whenever somebody looks at it."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    with pytest.raises(SearchInterrupted):
        train(output_dir=tmp_path, max_seconds=4.0, should_stop=after(40), clock=clock)
    used = now[0]
    assert used > 0.5
    model = train(output_dir=tmp_path, max_seconds=4.0, clock=clock)
    assert model.record.wall_seconds == pytest.approx(now[0], abs=0.2)
    assert now[0] < 4.0 + 1.0


def test_a_finished_folder_is_returned_as_it_is(
    train: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    first = train(output_dir=tmp_path, train_bytes=BYTES)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = train(output_dir=tmp_path, train_bytes=10 * BYTES)
    assert again.record == first.record
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert load_model_folder(tmp_path).architecture == shape()


def test_a_folder_with_another_model_is_refused(
    train: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    finished, begun = tmp_path / "finished", tmp_path / "begun"
    train(output_dir=finished, train_bytes=BYTES)
    with pytest.raises(SearchInterrupted):
        train(output_dir=begun, train_bytes=BYTES, should_stop=after(10))
    other = partial(train_model, shape(64), **train.keywords)  # type: ignore[attr-defined]
    for folder in (finished, begun):
        with pytest.raises(
            ConfigError, match=r"holds another model .*choose another output folder"
        ):
            other(output_dir=folder, train_bytes=BYTES)


def test_damage_is_named(train: Callable[..., TrainedModel], tmp_path: Path) -> None:
    with pytest.raises(SearchInterrupted):
        train(output_dir=tmp_path, train_bytes=BYTES, should_stop=after(10))
    (weights,) = (tmp_path / "trunk").glob("weights-*.safetensors")
    good = weights.read_bytes()
    weights.write_bytes(good[:-4] + b"oops")
    with pytest.raises(CheckpointError, match=f"{weights.name}: damaged"):
        train(output_dir=tmp_path, train_bytes=BYTES)
    weights.write_bytes(good)
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"progress\.json: damaged: .*remove the folder"):
        train(output_dir=tmp_path, train_bytes=BYTES)
    assert weights.read_bytes() == good


def test_a_damaged_model_folder_is_named(
    train: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    train(output_dir=tmp_path, train_bytes=BYTES)
    record, weights = tmp_path / "training.json", tmp_path / "weights.safetensors"
    good, text = weights.read_bytes(), record.read_text()
    weights.write_bytes(good[:-4] + b"oops")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: damaged: its content"):
        load_model_folder(tmp_path)
    weights.write_bytes(good)
    record.write_text(text.replace('"steps"', '"stops"'))
    with pytest.raises(CheckpointError, match=r"damaged: .*training\.json: steps: this key is req"):
        load_model_folder(tmp_path)
    record.write_text(text)
    load_model_folder(tmp_path)
    (tmp_path / "architecture.json").unlink()
    with pytest.raises(CheckpointError, match=r"not a model folder, it lacks architecture\.json"):
        load_model_folder(tmp_path)

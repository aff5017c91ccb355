"""What a training's record says of speed."""

from pathlib import Path

import pytest

from archsmith.device.environment import environment
from archsmith.device.profile import PROFILE_VARIABLE, DeviceProfile, ProductCeiling
from archsmith.train.recipe import Recipe
from archsmith.workflow.model_folder import TrainingRecord


def record(num_threads: int) -> TrainingRecord:
    return TrainingRecord(
        train_seconds=10.0, wall_seconds=12.0, train_bytes=1, train_tokens=1, steps=1, flops=4e10,
        epochs=1.0, seed=0, num_threads=num_threads, dtype="float32", recipe=Recipe(),
    )  # fmt: skip


def test_utilization_is_against_the_ceiling_of_as_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceiling = ProductCeiling(
        dtype="float32", num_threads=1, rows=8, inner=8, columns=8, flops_per_second=1e10,
        flops_per_second_low=1e10, flops_per_second_high=1e10, repeats=1,
    )  # fmt: skip
    profile = DeviceProfile(
        device="cpu", measured="2026-01-31", environment=environment(), products=(ceiling,),
        bandwidths=(),
    )  # fmt: skip
    path = tmp_path / "device.json"
    monkeypatch.setenv(PROFILE_VARIABLE, str(path))
    assert record(1).flops_utilization() is None
    path.write_text(profile.model_dump_json())
    assert record(1).flops_utilization() == pytest.approx(0.4)
    assert record(2).flops_utilization() is None

"""Milliseconds on another machine: an interval between the roofline's two limits."""

from pathlib import Path

import pytest

from archsmith.device.environment import environment
from archsmith.device.profile import (
    PROFILE_VARIABLE,
    BandwidthCeiling,
    DeviceProfile,
    ProductCeiling,
)
from archsmith.device.spread import Spread
from archsmith.device.target import compare, load_target
from archsmith.errors import ConfigError


def machine(
    name: str | None = None,
    *,
    gigabytes: float,
    gigaflops: float,
    spread: float = 0.0,
    device: str = "cpu",
) -> DeviceProfile:
    here = environment()
    rate, bandwidth = 1e9 * gigaflops, 1e9 * gigabytes
    return DeviceProfile(
        device=device,
        measured="2026-01-31",
        environment=here if name is None else here.model_copy(update={"processor": name}),
        products=tuple(
            ProductCeiling(
                dtype=dtype, num_threads=1, rows=8, inner=8, columns=8, repeats=7,
                flops_per_second=factor * rate,
                flops_per_second_low=factor * rate * (1 - spread),
                flops_per_second_high=factor * rate * (1 + spread),
            )
            for dtype, factor in (("float32", 1.0), ("bfloat16", 50.0))
        ),
        bandwidths=(
            BandwidthCeiling(
                num_threads=1, array_bytes=1, repeats=7,
                bytes_per_second=bandwidth,
                bytes_per_second_low=bandwidth * (1 - spread),
                bytes_per_second_high=bandwidth * (1 + spread),
            ),
        ),
    )  # fmt: skip


def test_a_slower_machine_takes_between_both_ratios() -> None:
    here, there = machine(gigabytes=20, gigaflops=100), machine(gigabytes=10, gigaflops=12.5)
    slower = compare(here, there).slower
    assert slower == pytest.approx((2.0, 4.0, 8.0))


def test_both_machines_spreads_widen_the_interval() -> None:
    exact = machine(gigabytes=20, gigaflops=100)
    loose = machine("Abacus 9000", gigabytes=10, gigaflops=50, spread=0.2)
    found = compare(exact, loose)
    assert found.name == "Abacus 9000"
    assert found.slower == pytest.approx((2 / 1.2, 2.0, 2 / 0.8))
    assert found.predict(Spread(0.9, 1.0, 1.1)) == pytest.approx((1.5, 2.0, 2.75))


def test_the_same_machine_takes_as_long() -> None:
    here = machine(gigabytes=20, gigaflops=100)
    assert compare(here, here).predict(Spread(0.9, 1.0, 1.1)) == pytest.approx((0.9, 1.0, 1.1))


def test_a_target_needs_this_machines_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, phone = tmp_path / "own.json", tmp_path / "phone.json"
    monkeypatch.setenv(PROFILE_VARIABLE, str(own))
    phone.write_text(machine("Abacus 9000", gigabytes=5, gigaflops=10).model_dump_json())
    with pytest.raises(ConfigError, match="archsmith device probe"):
        load_target(phone)
    own.write_text(machine(gigabytes=20, gigaflops=40).model_dump_json())
    assert load_target(phone).slower == pytest.approx((4.0, 4.0, 4.0))
    with pytest.raises(ConfigError, match="no device profile"):
        load_target(tmp_path / "missing.json")
    gpu = machine("Abacus 9000", gigabytes=5, gigaflops=10, device="Abacus GPU")
    phone.write_text(gpu.model_dump_json())
    with pytest.raises(ConfigError, match=r"Abacus GPU.*--device cpu"):
        load_target(phone)
    bare = machine("Abacus 9000", gigabytes=5, gigaflops=10).model_copy(update={"bandwidths": ()})
    phone.write_text(bare.model_dump_json())
    with pytest.raises(ConfigError, match="no memory bandwidth"):
        load_target(phone)

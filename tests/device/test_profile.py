"""Profiles of devices: measured, kept, compared with the machine they are used on."""

from pathlib import Path

import pytest
import torch

from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.probe import probe
from archsmith.device.profile import (
    PROFILE_VARIABLE,
    DeviceProfile,
    ProductCeiling,
    default_path,
    load_profile,
    own_profile,
    training_profile,
)
from archsmith.errors import ConfigError


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return probe(torch.device("cpu"), repeats=2, sizes=((64, 32, 96),), array_bytes=1 << 16)


def product(*, dtype: str, num_threads: int, rate: float) -> ProductCeiling:
    return ProductCeiling(
        dtype=dtype, num_threads=num_threads, rows=8, inner=8, columns=8, flops_per_second=rate,
        flops_per_second_low=rate, flops_per_second_high=rate, repeats=1,
    )  # fmt: skip


def test_every_size_format_and_number_of_threads_is_measured(profile: DeviceProfile) -> None:
    threads = {1, num_usable_cores()}
    measured = {(one.dtype, one.num_threads) for one in profile.products}
    assert measured == {(dtype, n) for dtype in ("float32", "bfloat16") for n in threads}
    assert {one.num_threads for one in profile.bandwidths} == threads
    for one in profile.products:
        assert 0 < one.flops_per_second_low <= one.flops_per_second <= one.flops_per_second_high


def test_probing_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    probe(torch.device("cpu"), repeats=1, sizes=((8, 8, 8),), array_bytes=1 << 12)
    assert torch.get_num_threads() == before


def test_the_ceiling_is_the_fastest_format(profile: DeviceProfile) -> None:
    made = profile.model_copy(
        update={
            "products": (
                product(dtype="float32", num_threads=1, rate=100.0),
                product(dtype="bfloat16", num_threads=1, rate=250.0),
                product(dtype="float32", num_threads=2, rate=190.0),
            )
        }
    )
    assert made.ceiling(1) == 250.0
    assert made.ceiling(1, "float32") == 100.0
    assert made.ceiling(2) == 190.0
    assert made.ceiling(3) is None
    assert made.utilization(1000.0, 8.0, num_threads=1) == 0.5
    assert made.utilization(1000.0, 8.0, num_threads=3) is None


def test_a_profile_is_read_as_it_was_written(
    profile: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "device.json"))
    assert own_profile() is None
    with pytest.raises(ConfigError, match="archsmith device probe"):
        load_profile(default_path())
    default_path().write_text(profile.model_dump_json())
    assert own_profile() == profile


def test_a_profile_from_another_machine_is_refused(
    profile: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = environment().model_copy(update={"processor": "Abacus 9000"})
    foreign = profile.model_copy(update={"environment": other})
    with pytest.raises(ConfigError, match=r"Abacus 9000.*archsmith device probe"):
        foreign.require_here()
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "device.json"))
    default_path().write_text(foreign.model_dump_json())
    assert own_profile() is None


def test_a_damaged_profile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text('{"device": "cpu"')
    with pytest.raises(ConfigError, match=r"device\.json"):
        load_profile(path)


def test_in_a_shared_home_another_machines_profile_counts_as_none(
    profile: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = environment().model_copy(update={"processor": "Abacus 9000"})
    foreign = profile.model_copy(update={"environment": other})
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    monkeypatch.setattr("archsmith.device.profile.default_path", lambda: tmp_path / "device.json")
    assert training_profile() is None
    (tmp_path / "device.json").write_text(foreign.model_dump_json())
    assert training_profile() is None
    (tmp_path / "device.json").write_text(profile.model_dump_json())
    assert training_profile() == profile

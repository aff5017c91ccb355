"""`archsmith device`: probing and showing."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from archsmith.cli.device import command
from archsmith.device.probe import probe
from archsmith.device.profile import PROFILE_VARIABLE, load_profile
from archsmith.errors import ConfigError


@pytest.fixture(scope="module")
def profile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("device") / "device.json"
    found = probe(torch.device("cpu"), repeats=1, sizes=((16, 16, 16),), array_bytes=1 << 12)
    path.write_text(found.model_dump_json())
    return path


def test_show_prints_rates_with_their_units(profile_file: Path) -> None:
    done = CliRunner().invoke(command, ["show", str(profile_file)])
    assert done.exit_code == 0
    assert "float32 product 16 x 16 x 16" in done.output
    assert "GFLOP/s" in done.output
    assert "GB/s" in done.output


def test_show_as_json_is_the_file(profile_file: Path) -> None:
    done = CliRunner().invoke(command, ["show", str(profile_file), "--json"])
    assert json.loads(done.output) == json.loads(profile_file.read_text())


def test_show_reads_the_users_own(profile_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(profile_file))
    assert CliRunner().invoke(command, ["show"]).exit_code == 0


def test_show_without_a_profile_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, "/nowhere/device.json")
    done = CliRunner().invoke(command, ["show"])
    assert isinstance(done.exception, ConfigError)
    assert "archsmith device probe" in str(done.exception)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_missing_gpu_is_said() -> None:
    done = CliRunner().invoke(command, ["probe", "--device", "cuda"])
    assert isinstance(done.exception, ConfigError)


@pytest.mark.slow
def test_probe_writes_what_show_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "mine" / "device.json"))
    done = CliRunner().invoke(command, ["probe", "--repeats", "1"])
    assert done.exit_code == 0
    load_profile(tmp_path / "mine" / "device.json").require_here()

"""`archsmith device`: probing and showing."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from archsmith.cli.main import group
from archsmith.device.probe import probe
from archsmith.device.profile import PROFILE_VARIABLE, load_profile
from archsmith.device.training_choice import KernelChoice, KernelTiming, TrainingChoice
from archsmith.errors import ConfigError


@pytest.fixture(scope="module")
def profile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("device") / "device.json"
    found = probe(torch.device("cpu"), repeats=1, sizes=((16, 16, 16),), array_bytes=1 << 12)
    path.write_text(found.model_dump_json())
    return path


def test_show_prints_rates_with_their_units(profile_file: Path) -> None:
    done = CliRunner().invoke(group, ["device", "show", str(profile_file)])
    assert done.exit_code == 0
    assert "float32 product 16 x 16 x 16" in done.output
    assert "GFLOP/s" in done.output
    assert "GB/s" in done.output


def test_show_as_json_is_the_file(profile_file: Path) -> None:
    done = CliRunner().invoke(group, ["device", "show", str(profile_file), "--json"])
    assert json.loads(done.output) == json.loads(profile_file.read_text())


def test_show_reads_the_users_own(profile_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(profile_file))
    assert CliRunner().invoke(group, ["device", "show"]).exit_code == 0


def test_show_without_a_profile_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, "/nowhere/device.json")
    done = CliRunner().invoke(group, ["device", "show"])
    assert isinstance(done.exception, ConfigError)
    assert "archsmith device probe" in str(done.exception)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_missing_gpu_is_said() -> None:
    done = CliRunner().invoke(group, ["device", "probe", "--device", "cuda"])
    assert isinstance(done.exception, ConfigError)


@pytest.mark.slow
def test_probe_writes_what_show_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "mine" / "device.json"))
    done = CliRunner().invoke(group, ["device", "probe", "--repeats", "1"])
    assert done.exit_code == 0
    load_profile(tmp_path / "mine" / "device.json").require_here()


def test_show_ranks_only_what_repeats_can_tell_apart(profile_file: Path, tmp_path: Path) -> None:
    def timed(way: str, low: float, high: float) -> KernelTiming:
        return KernelTiming(
            what="attention, 16 tokens", dtype="float32", way=way, ms=(low + high) / 2,
            ms_low=low, ms_high=high, repeats=7,
        )  # fmt: skip

    choice = TrainingChoice(
        dtype="float32",
        float32=KernelChoice(query_block=64),
        bfloat16=KernelChoice(longest_blocked=0, compile="default"),
        lone_threads=2,
    )
    timings = (timed("64 queries", 1.0, 1.2), timed("128 queries", 1.1, 1.4), timed("torch", 2, 3))
    made = load_profile(profile_file).model_copy(update={"choice": choice, "timings": timings})
    path = tmp_path / "device.json"
    path.write_text(made.model_dump_json())
    done = CliRunner().invoke(group, ["device", "show", str(path)], terminal_width=120)
    assert done.exit_code == 0
    rows = {line.split("│")[1].strip(): line for line in done.output.splitlines() if "│" in line}
    assert rows["64 queries"].endswith("~1")
    assert rows["128 queries"].endswith("~1")
    assert rows["torch"].rstrip().endswith(" 3")
    words = " ".join(done.output.split())
    assert "training: float32, 2 threads for a lone training" in words
    assert "float32: attention: blocks of 64 queries up to 1024 tokens" in words
    assert "bfloat16: attention: torch's own" in words
    assert "compiled (default)" in words


def test_show_says_where_defaults_hold(profile_file: Path) -> None:
    done = CliRunner().invoke(group, ["device", "show", str(profile_file)])
    assert "built-in defaults" in done.output

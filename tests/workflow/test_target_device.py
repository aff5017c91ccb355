"""A model for another machine: what is predicted, what is refused, what the records say."""

from pathlib import Path

import pytest

from archsmith.device.environment import environment
from archsmith.device.profile import PROFILE_VARIABLE, DeviceProfile
from archsmith.device.spread import Spread
from archsmith.device.target import Target
from archsmith.device.training_choice import KernelChoice
from archsmith.errors import ConfigError
from archsmith.export.llamacpp import timing
from archsmith.report.horizon import horizon_sentence, predicted_for
from archsmith.report.load import load_study
from archsmith.workflow import fitting
from archsmith.workflow.baselines import WINNER
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.search_config import DeviceConfig, load_search_config
from helpers_workflow import SEARCH_FILE, FinishedSearch

HALF_AS_FAST = Target("Abacus 9000", Spread(1.5, 2.0, 3.0))


def test_milliseconds_on_the_target_are_predicted_from_those_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = timing([1.0, 1.2, 1.1], context_position=8, num_threads=1)
    monkeypatch.setattr(fitting, "decode_ms_per_token", lambda architectures: [read])
    assert fitting.measure_latency(None) == {"decode_ms_per_token": 1.1}
    found = fitting.measure_latency(None, target=HALF_AS_FAST)
    assert found == {"decode_ms_per_token": pytest.approx(2.2)}
    assert fitting.latency_of(read, HALF_AS_FAST) == pytest.approx((1.5, 2.2, 3.6))


def test_the_search_file_names_the_target(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(SEARCH_FILE + '[device]\ntarget = "phone.json"\n')
    config, _ = load_search_config(path)
    assert config.device == DeviceConfig(target="phone.json")
    path.write_text(SEARCH_FILE + '[device]\ntargets = "phone.json"\n')
    with pytest.raises(ConfigError, match="target"):
        load_search_config(path)


def test_a_foreign_profile_is_refused_before_a_search_begins(
    finished: FinishedSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = environment().model_copy(update={"processor": "Abacus 9000"})
    profile = DeviceProfile(
        device="cpu", measured="2026-01-31", environment=foreign, products=(), bandwidths=()
    )
    path = tmp_path / "device.json"
    path.write_text(profile.model_dump_json())
    monkeypatch.setenv(PROFILE_VARIABLE, str(path))
    with pytest.raises(ConfigError, match=r"Abacus 9000.*archsmith device probe"):
        finished.pipeline().prepare()


def test_records_say_how_the_winner_was_trained(finished: FinishedSearch) -> None:
    model = load_model_folder(next((finished.folder / "archsmith-output/winner").iterdir()))
    assert model.record.kernels == KernelChoice()
    assert model.record.experts == {}
    report = load_study(finished.pipeline().store, "notes")
    winner = next(arm for arm in report.arms if arm.name == WINNER)
    assert winner.number("tokens_per_second")
    assert horizon_sentence(report).startswith("Horizon: every arm was trained on")
    assert predicted_for(report) is None
    trained = [trial for trial in report.trials if trial.rung >= 0]
    assert trained
    assert all(trial.tokens_per_second for trial in trained)

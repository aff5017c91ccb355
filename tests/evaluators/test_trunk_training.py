import dataclasses
import json

import pytest
import torch
from safetensors.numpy import load_file

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import CheckpointError, ConfigError
from archsmith.evaluators.base import Request
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.export.roundtrip import quantize_dequantize
from archsmith.model.transformer import build, load_numpy, to_numpy
from archsmith.space.presets import SpaceConfig
from archsmith.strategies.random import Random
from archsmith.study import create_study
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.trunk import load_model
from archsmith.trial import Rung
from helpers_text import make_corpus

RUNGS = [Rung(index=0, fraction=0.3, train_bytes=3000), Rung(index=1, fraction=1, train_bytes=6000)]


def tiny(**changes):
    attention = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    layer = {
        "mixer": {"type": "attention", **attention},
        "feed_forward": {"type": "gated_mlp", "intermediate_size": 48},
    }
    tree = {"hidden_size": 32, "vocab_size": 270, "max_position_embeddings": 24}
    return Architecture.model_validate({**tree, "layers": [layer], **changes})


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    places = make_corpus(folder)
    return TrunkTraining(
        **places,
        recipe=Recipe(batch_tokens=48, warmup_steps=3, dtype="float32", cooldown_fraction=0.3),
        protocol=ScoringProtocol(context_bytes=64, stride_bytes=32, max_bytes=500),
        device="cpu",
    )


def request(folder, rung=0, **changes):
    settings = {"architecture": tiny(), "rung": RUNGS[rung], "seed": 0, "checkpoint_dir": folder}
    return Request(**{**settings, **changes})


def test_is_found_by_name_and_travels_as_json(evaluator):
    found = registry.find("evaluators", "trunk_training")
    assert found is TrunkTraining
    data = json.loads(evaluator.model_dump_json())
    assert found.model_validate(data) == evaluator


def test_result_holds_the_metrics_it_declares(evaluator, tmp_path):
    readings = []
    result = evaluator.evaluate(request(tmp_path, on_progress=readings.append))
    assert result.complete
    assert set(result.metrics) == set(evaluator.metrics())
    assert 0 < result.metrics["bits_per_byte"] < 8
    assert result.metrics["train_seconds"] > 0
    details = result.details
    assert details["train_bytes"] >= 3000
    assert details["context_tokens"] == 24
    assert details["score"]["num_bytes"] == 500
    assert not details["cooled_down"]
    assert (details["dtype"], details["num_threads"]) == ("float32", 1)
    assert details["flops"] == details["train_tokens"] * 3 * tiny().flops_per_token(24)
    json.dumps(dict(details))
    assert result.curve[-1][2:] == ("bits_per_byte", result.metrics["bits_per_byte"])
    fractions = [reading.fraction_done for reading in readings]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1.0


def as_deployed(model):
    """The model with its weights as the file will hold them."""
    load_numpy(model, quantize_dequantize(to_numpy(model), model.architecture))
    return model


def test_score_is_that_of_the_saved_checkpoint_as_its_file_will_hold_it(evaluator, tmp_path):
    result = evaluator.evaluate(request(tmp_path))
    _, search = evaluator._token_files(tiny(), num_threads=1)
    score = score_model(as_deployed(load_model(result.checkpoint)), search, evaluator.protocol)
    assert score.bits_per_byte == result.metrics["bits_per_byte"]


def test_without_quantization_the_score_is_that_of_the_float32_weights(evaluator, tmp_path):
    plain = evaluator.model_copy(update={"quantized": False})
    result = plain.evaluate(request(tmp_path))
    _, search = evaluator._token_files(tiny(), num_threads=1)
    model = load_model(result.checkpoint)
    float_score = score_model(model, search, evaluator.protocol).bits_per_byte
    assert float_score == result.metrics["bits_per_byte"]
    deployed = score_model(as_deployed(model), search, evaluator.protocol).bits_per_byte
    assert deployed != float_score


def test_same_seed_same_numbers_and_promotion_equals_one_long_run(evaluator, tmp_path):
    first = evaluator.evaluate(request(tmp_path / "a", 0))
    again = evaluator.evaluate(request(tmp_path / "b", 0))
    other = evaluator.evaluate(request(tmp_path / "c", 0, seed=1))
    assert first.metrics["bits_per_byte"] == again.metrics["bits_per_byte"]
    assert first.metrics["bits_per_byte"] != other.metrics["bits_per_byte"]
    promoted = evaluator.evaluate(request(tmp_path / "d", 1, checkpoint_in=first.checkpoint))
    straight = evaluator.evaluate(request(tmp_path / "e", 1))
    assert promoted.metrics["bits_per_byte"] == straight.metrics["bits_per_byte"]
    assert promoted.metrics["train_seconds"] > first.metrics["train_seconds"]


def test_stopped_job_is_incomplete_and_continues_to_the_same_number(evaluator, tmp_path):
    answers = iter([False] * 5 + [True])
    stopped = evaluator.evaluate(request(tmp_path, should_stop=lambda: next(answers)))
    assert not stopped.complete
    assert not stopped.metrics
    assert stopped.details["step"] == 5
    resumed = evaluator.evaluate(request(tmp_path, checkpoint_in=stopped.checkpoint))
    straight = evaluator.evaluate(request(tmp_path / "other"))
    assert resumed.metrics["bits_per_byte"] == straight.metrics["bits_per_byte"]


def test_killed_job_continues_from_its_own_last_checkpoint(evaluator, tmp_path):
    class Killed(BaseException):
        pass

    def kill(progress):
        if progress.step == 20:
            raise Killed

    often = evaluator.model_copy(update={"checkpoint_seconds": 1e-9})
    with pytest.raises(Killed):
        often.evaluate(request(tmp_path, on_progress=kill))
    steps = []
    resumed = often.evaluate(
        request(tmp_path, on_progress=lambda progress: steps.append(progress.step))
    )
    assert steps[0] == 20  # the reading at 10 was saved, that at 20 was not
    straight = evaluator.evaluate(request(tmp_path / "other"))
    assert resumed.metrics["bits_per_byte"] == straight.metrics["bits_per_byte"]


def test_cooldown_scores_a_branch_and_keeps_the_trunk_to_extend(evaluator, tmp_path):
    plain = evaluator.evaluate(request(tmp_path / "plain"))
    cooled = evaluator.evaluate(request(tmp_path / "cooled", options={"cooldown": True}))
    assert cooled.details["cooled_down"]
    assert cooled.metrics["bits_per_byte"] != plain.metrics["bits_per_byte"]
    trunks = [to_numpy(load_model(result.checkpoint)) for result in (plain, cooled)]
    assert all((trunks[0][name] == trunks[1][name]).all() for name in trunks[0])
    model = build(tiny(), seed=None)
    load_numpy(model, load_file(cooled.details["weights"]))
    _, search = evaluator._token_files(tiny(), num_threads=1)
    score = score_model(as_deployed(model), search, evaluator.protocol)
    assert score.bits_per_byte == cooled.metrics["bits_per_byte"]
    assert cooled.details["branch_steps"] == round(0.3 * cooled.details["step"])


def test_options_change_the_recipe_and_bad_ones_are_refused(evaluator, tmp_path):
    result = evaluator.evaluate(request(tmp_path, options={"learning_rate": 0.005}))
    assert result.details["learning_rate"] == 0.005
    result = evaluator.evaluate(request(tmp_path, options={"optimizer": "adamw"}))
    assert result.details["learning_rate"] == Recipe(optimizer="adamw").learning_rate
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        evaluator.evaluate(request(tmp_path, options={"learningrate": 0.1}))
    with pytest.raises(ConfigError, match="cooldown: true or false"):
        evaluator.evaluate(request(tmp_path, options={"cooldown": "yes"}))
    with pytest.raises(ConfigError, match="needs a rung"):
        evaluator.evaluate(dataclasses.replace(request(tmp_path), rung=None))


def test_a_leftover_trained_beyond_the_rung_is_not_mistaken_for_it(evaluator, tmp_path):
    evaluator.evaluate(request(tmp_path / "a", 1))
    lower = evaluator.evaluate(request(tmp_path / "a", 0))
    straight = evaluator.evaluate(request(tmp_path / "b", 0))
    assert lower.metrics["bits_per_byte"] == straight.metrics["bits_per_byte"]


def test_a_checkpoint_of_another_architecture_is_refused(evaluator, tmp_path):
    result = evaluator.evaluate(request(tmp_path / "a"))
    wider = tiny(hidden_size=48)
    with pytest.raises(CheckpointError, match="another architecture"):
        evaluator.evaluate(
            request(tmp_path / "b", architecture=wider, checkpoint_in=result.checkpoint)
        )
    requantized = tiny(quantization="Q4_0")
    continued = evaluator.evaluate(
        request(tmp_path / "c", 1, architecture=requantized, checkpoint_in=result.checkpoint)
    )
    assert continued.complete


def test_context_bytes_shortens_training_windows(evaluator, tmp_path):
    short = evaluator.model_copy(update={"context_bytes": 20})
    result = short.evaluate(request(tmp_path))
    assert 1 <= result.details["context_tokens"] < 24
    assert torch.get_num_threads() == 1


def test_a_second_candidate_reads_no_tokenizer(evaluator, tmp_path, monkeypatch):
    ask = {"architecture": tiny(vocab_size=271), "rung": RUNGS[0], "seed": 0, "num_threads": 1}
    first = evaluator.evaluate(Request(**ask, checkpoint_dir=tmp_path / "first"))
    monkeypatch.setattr(Tokenizer, "from_file", None)  # a call would fail
    second = evaluator.evaluate(Request(**ask, checkpoint_dir=tmp_path / "second"))
    assert second.metrics["bits_per_byte"] == first.metrics["bits_per_byte"]


def test_a_studys_trunk_is_trained_on_and_equals_one_long_run(evaluator, tmp_path):
    study = create_study(
        study_name="trunks",
        storage=tmp_path / "s.db",
        space=SpaceConfig().build(),
        strategy=Random(),
        start=[tiny()],
        objectives=["bits_per_byte"],
        static_metrics=lambda point: {"num_params": float(point.num_params)},
        rungs=RUNGS[:1],
        seed=7,
    )
    study.optimize(evaluator, n_trials=1, executor="inline", threads=1)
    (trial,) = study.trials
    job = study.extend(trial, train_bytes=RUNGS[1].train_bytes, threads=1)
    assert (job.checkpoint_in, job.seed) == (trial.jobs[0].checkpoint_out, 7)
    straight = evaluator.evaluate(request(tmp_path / "straight", 1, seed=7))
    assert job.metrics["bits_per_byte"] == straight.metrics["bits_per_byte"]
    assert job.details["step"] == straight.details["step"] > trial.jobs[0].details["step"]

"""Scores with inherited weights: one training for all jobs, then a second each."""

import json
import threading
from pathlib import Path

import pytest

from archsmith import registry
from archsmith.architecture.elastic import shrink, sizes_of
from archsmith.config import canonical_json
from archsmith.cost.base import CostContext, static_metrics
from archsmith.data.protocol import ScoringProtocol
from archsmith.errors import ConfigError
from archsmith.evaluators.base import Request
from archsmith.evaluators.supernet import SharedWeightScoring, networks
from archsmith.evaluators.supernet_speed import measure_pace
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.export.roundtrip import quantize_dequantize
from archsmith.model.transformer import load_numpy, to_numpy
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import SpaceConfig
from archsmith.study import create_study
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.supernet import inherit, read_supernet
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.trial import Limit, Rung
from helpers_text import make_corpus


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    places = make_corpus(folder)
    return SharedWeightScoring(
        folder=folder / "supernets",
        space=SpaceConfig(
            families=("llama",),
            hidden_sizes=(32,),
            depths=(1, 2),
            head_dims=(16,),
            heads_per_kv_head=(1,),
            intermediate_ratios=(1.0, 2.0),
            vocabularies=(Vocabulary(270, 24),),
            tie_word_embeddings=(True,),
            rope_thetas=(10_000.0,),
            quantizations=("Q8_0",),
        ),
        plan=SupernetPlan(train_bytes=1200),
        trunk=TrunkTraining(
            **places,
            recipe=Recipe(batch_tokens=48, warmup_steps=3, dtype="float32"),
            protocol=ScoringProtocol(context_bytes=64, stride_bytes=32, max_bytes=500),
            device="cpu",
        ),
    )


def with_plan(evaluator, **plan):
    return evaluator.model_copy(update={"plan": SupernetPlan(train_bytes=1200, **plan)})


def request(evaluator, folder, member=0, **changes):
    network = networks(evaluator).member(member)
    settings = {"architecture": network, "rung": None, "seed": 0, "checkpoint_dir": folder}
    return Request(**{**settings, **changes})


def test_is_found_by_name_and_travels_as_json(evaluator):
    found = registry.find("evaluators", "supernet")
    assert found is SharedWeightScoring
    assert found.model_validate_json(canonical_json(evaluator)) == evaluator


def test_all_candidates_share_one_training(evaluator, tmp_path):
    readings = []
    own = evaluator.model_copy(update={"folder": tmp_path / "supernets"})
    results = [
        own.evaluate(request(evaluator, tmp_path / str(n), n, on_progress=readings.append))
        for n in range(4)
    ]
    assert readings[-1].fraction_done == 1.0
    details = [result.details["supernet"] for result in results]
    assert all(one == details[0] for one in details)
    assert details[0]["num_members"] == 4
    scores = [result.metrics["bits_per_byte"] for result in results]
    assert len(set(scores)) == 4
    assert all(0 < score < 8 for score in scores)
    assert set(results[0].metrics) == set(evaluator.metrics())
    json.dumps(dict(results[0].details))


def test_score_is_that_of_the_slice_as_its_file_will_hold_it(evaluator, tmp_path):
    asked = request(evaluator, tmp_path, 2)
    result = evaluator.evaluate(asked)
    model = inherit(_folder(result), asked.architecture)
    load_numpy(model, quantize_dequantize(to_numpy(model), asked.architecture))
    _, search = evaluator.trunk._token_files(asked.architecture, num_threads=1)
    score = score_model(model, search, evaluator.trunk.protocol)
    assert score.bits_per_byte == result.metrics["bits_per_byte"]


def _folder(result):
    return Path(result.details["supernet"]["folder"])


def test_a_stopped_training_is_gone_on_with_by_the_next_job(evaluator, tmp_path):
    again = with_plan(evaluator, method="single_path")
    whole = again.model_copy(update={"folder": tmp_path / "whole"})
    expected = whole.evaluate(request(again, tmp_path / "a"))
    calls = iter(range(4))
    stopped = again.evaluate(
        request(again, tmp_path / "b", should_stop=lambda: next(calls, None) is None)
    )
    assert not stopped.complete
    (home,) = [f for f in again.folder.iterdir() if not read_supernet(f).finished]
    assert read_supernet(home).step == 4
    result = again.evaluate(request(again, tmp_path / "b"))
    assert result.metrics == expected.metrics


def test_a_job_waits_for_the_one_that_trains(evaluator, tmp_path):
    other = with_plan(evaluator, method="single_path", num_random=3)
    fcntl = pytest.importorskip("fcntl")
    asked = request(other, tmp_path)
    tokens, _ = other.trunk._token_files(asked.architecture, num_threads=1)
    home = other.folder / other._name(tokens, 0)
    home.mkdir(parents=True)
    polled = threading.Event()

    def give_up():
        polled.set()
        return True

    with (home / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stopped = other.evaluate(request(other, tmp_path, should_stop=give_up))
        assert polled.is_set()
        assert not stopped.complete
        assert not (home / "manifest.json").exists()
    assert other.evaluate(asked).complete


def test_what_is_trained_further_starts_from_scratch(evaluator, tmp_path):
    scored = evaluator.evaluate(request(evaluator, tmp_path / "0"))
    rung = Rung(index=1, fraction=1.0, train_bytes=1500)
    further = request(evaluator, tmp_path / "1", rung=rung, checkpoint_in=scored.checkpoint)
    result = evaluator.evaluate(further)
    alone = evaluator.trunk.evaluate(request(evaluator, tmp_path / "2", rung=rung))
    assert result.metrics["bits_per_byte"] == alone.metrics["bits_per_byte"]
    assert "inherited" not in result.details
    longer = request(
        evaluator,
        tmp_path / "3",
        rung=rung.model_copy(update={"train_bytes": 2500}),
        checkpoint_in=result.checkpoint,
    )
    assert evaluator.evaluate(longer).details["step"] > result.details["step"]


def test_a_higher_rung_without_a_checkpoint_trains_from_scratch(evaluator, tmp_path):
    untouched = evaluator.model_copy(update={"folder": tmp_path / "none"})
    above = Rung(index=1, fraction=0.3, train_bytes=600)
    result = untouched.evaluate(request(evaluator, tmp_path / "job", rung=above))
    assert "inherited" not in result.details
    assert result.details["from_scratch"]
    assert result.details["train_bytes"] >= 600
    assert not (tmp_path / "none").exists()
    on = request(
        evaluator, tmp_path / "next", checkpoint_in=result.checkpoint,
        rung=Rung(index=2, fraction=1.0, train_bytes=1200),
    )  # fmt: skip
    assert not untouched.evaluate(on).details["from_scratch"]


def test_a_network_from_elsewhere_is_refused_before_anything_is_trained(evaluator, tmp_path):
    elsewhere = evaluator.model_copy(update={"folder": tmp_path / "none"})
    largest = networks(evaluator).largest
    network = shrink(largest, sizes_of(largest)._replace(intermediate_size=96))
    with pytest.raises(ConfigError, match="intermediate_size of 96 does not fit"):
        elsewhere.evaluate(request(evaluator, tmp_path, architecture=network))
    assert not (tmp_path / "none").exists()


def test_limits_keep_networks_out_of_the_supernet(evaluator):
    limited = evaluator.model_copy(update={"limits": (Limit.parse("num_params <= 20K"),)})
    parts, everything = networks(limited), networks(evaluator)
    counts = [static_metrics(everything.member(n), CostContext())["num_params"] for n in range(4)]
    assert len(parts.members) == sum(count <= 20_000 for count in counts) < 4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["enas", "darts"])
def test_a_whole_search_ends_in_a_network_trained_from_scratch(evaluator, tmp_path, method):
    learned = with_plan(evaluator, method=method, shared_steps=2, policy_steps=2)
    strategy = registry.find("strategies", method)()
    study = create_study(
        study_name="search",
        storage=tmp_path / "s.db",
        space=learned.space.build(),
        strategy=strategy,
        objectives=["bits_per_byte"],
        static_metrics=lambda point: {"num_params": float(point.num_params)},
    )
    study.optimize(learned, n_trials=4, executor="inline", threads=1)
    trials = study.trials
    assert all("logit:num_hidden_layers=1" in trial.metrics for trial in trials)
    (winner,) = study.best_trials
    done = study.extend(winner, train_bytes=1500, options={"cooldown": True}, threads=1)
    assert done.details["cooled_down"]
    assert done.details["train_bytes"] >= 1500


@pytest.mark.parametrize("method", ["sandwich", "enas", "darts"])
def test_pace_is_of_whole_turns_and_gives_text_for_seconds(evaluator, method):
    ticks = iter(range(10_000))
    own = with_plan(evaluator, method=method, shared_steps=5, policy_steps=2)
    # a clock that is looked at between updates: one look a second
    pace = measure_pace(own, clock=lambda: float(next(ticks)))
    assert pace.update_seconds > 0
    assert pace.train_bytes(0.0) == int(pace.update_bytes)
    assert pace.train_bytes(100 * pace.update_seconds) == pytest.approx(
        100 * pace.update_bytes, 0.1
    )


def test_the_flops_of_the_shared_training_are_one_jobs(evaluator, tmp_path):
    own = evaluator.model_copy(update={"folder": tmp_path / "supernets"})
    jobs = [request(evaluator, tmp_path / str(n), n) for n in range(2)]
    first, second = (own.evaluate(job).details for job in jobs)
    assert first["flops"] == first["supernet"]["flops"] > 0
    assert second["flops"] == 0
    # killed after the training and before its result was written: it still pays
    assert own.evaluate(jobs[0]).details["flops"] == first["flops"]

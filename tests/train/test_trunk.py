import math

import pytest
import torch
from train_helpers import tiny

from archsmith.errors import ConfigError, DivergedError
from archsmith.errors import OutOfMemoryError as OurOutOfMemoryError
from archsmith.model.transformer import Transformer, to_numpy
from archsmith.train.recipe import Recipe
from archsmith.train.trunk import Trunk, load_model


def start(tokens, recipe, **changes):
    return Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens, **changes)


def run_steps(trunk, number):
    """Exactly `number` more updates."""
    calls = iter(range(number))
    trunk.run(None, should_stop=lambda: next(calls, None) is None)


def weights_of(trunk):
    return {name: master.clone() for name, master in trunk._learner.masters().items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_lowers_the_loss_below_the_unigram_level(tokens, optimizer):
    recipe = Recipe(optimizer=optimizer, batch_tokens=96, dtype="float32", stuck_after_steps=60)
    trunk = start(tokens, recipe)
    readings = []
    run_steps(trunk, 10)
    early = trunk.bits_per_byte
    assert not trunk.stuck  # too early to say
    trunk.run(trunk.train_bytes * 15, on_progress=readings.append)
    assert not trunk.stuck
    assert trunk.bits_per_byte < 0.7 * early
    assert readings[-1].bits_per_byte < readings[0].bits_per_byte
    assert [reading.step for reading in readings] == list(range(20, trunk.step + 1, 10))


def test_a_model_that_learns_nothing_is_recorded_as_stuck(tokens):
    recipe = Recipe(
        learning_rate=1e-12, embedding_learning_rate=1e-12, batch_tokens=24, stuck_after_steps=5
    )
    trunk = start(tokens, recipe)
    run_steps(trunk, 4)
    assert not trunk.stuck
    run_steps(trunk, 1)
    assert trunk.stuck


def test_run_ends_at_the_bytes_asked_for_and_counts_in_bytes(tokens, recipe):
    trunk = start(tokens, recipe)
    assert trunk.run(2000)
    per_step = 72 * tokens.bytes_per_token
    assert trunk.step == math.ceil(2000 / per_step)
    assert trunk.train_bytes == int(trunk.step * per_step)
    assert trunk.train_tokens == trunk.step * 72
    assert trunk.flops == trunk.train_tokens * 3 * tiny().flops_per_token(24)
    step = trunk.step
    assert trunk.run(2000)
    assert trunk.step == step


def test_time_limit_counts_training_time_alone(tokens, recipe):
    ticks = iter(range(10_000))
    trunk = start(tokens, recipe, clock=lambda: float(next(ticks)))
    assert trunk.run(None, max_seconds=5.0)
    assert trunk.step == 5  # a second each
    assert trunk.train_seconds == 5.0
    assert not trunk.run(10**9, max_seconds=2.0)
    assert trunk.step == 7


def test_a_run_without_an_end_is_refused(tokens, recipe):
    with pytest.raises(ConfigError, match="a run needs an end"):
        start(tokens, recipe).run(None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("interrupted_at", [1, 5])
def test_interrupted_and_resumed_ends_in_the_same_bits(
    tokens, tmp_path, dtype, optimizer, interrupted_at
):
    recipe = Recipe(optimizer=optimizer, dtype=dtype, batch_tokens=72, warmup_steps=3)
    whole = start(tokens, recipe)
    run_steps(whole, 9)
    part = start(tokens, recipe)
    run_steps(part, interrupted_at)
    part.save(tmp_path / "trunk")
    resumed = Trunk.load(tmp_path / "trunk", tokens=tokens)
    assert (resumed.step, resumed.train_seconds) == (part.step, part.train_seconds)
    run_steps(resumed, 9 - interrupted_at)
    assert_same_bits(weights_of(resumed), weights_of(whole))
    assert resumed.bits_per_byte == whole.bits_per_byte
    assert resumed.dtype == whole.dtype
    assert resumed.train_seconds > part.train_seconds


def test_cooldown_is_a_branch(tokens, recipe):
    straight, branched = start(tokens, recipe), start(tokens, recipe)
    run_steps(straight, 8)
    run_steps(branched, 5)
    readings = []
    model = branched.cooldown(fraction=2.0, on_progress=readings.append)
    assert branched.branch_steps == readings[-1].step - branched.step == 10
    assert branched.branch_flops == 10 * 72 * 3 * tiny().flops_per_token(24)
    assert branched.step == 5
    assert not torch.equal(
        model.model.embed_tokens.weight, weights_of(branched)["model.embed_tokens.weight"]
    )
    run_steps(branched, 3)
    assert_same_bits(weights_of(branched), weights_of(straight))


def test_cooldown_ends_lower_than_a_constant_rate(tokens):
    recipe = Recipe(batch_tokens=96, dtype="float32", warmup_steps=10)
    trunk = start(tokens, recipe)
    run_steps(trunk, 100)
    readings = []
    assert isinstance(trunk.cooldown(fraction=1.0, on_progress=readings.append), Transformer)
    run_steps(trunk, 100)
    assert readings[-1].bits_per_byte < trunk.bits_per_byte
    assert readings[-1].rate_factor < 0.01 < readings[0].rate_factor


def test_cooldown_left_early_gives_no_model_and_leaves_the_trunk(tokens, recipe):
    trunk = start(tokens, recipe)
    run_steps(trunk, 4)
    before = weights_of(trunk)
    answers = iter([False, True])
    assert trunk.cooldown(fraction=1.0, should_stop=lambda: next(answers)) is None
    assert_same_bits(weights_of(trunk), before)


def test_divergence_is_caught_at_its_step_before_it_reaches_the_weights(tokens, recipe):
    trunk = start(tokens, recipe)
    run_steps(trunk, 4)
    masters = trunk._learner.masters()
    masters["model.norm.weight"][0] = math.nan
    trunk._learner.publish()
    before = weights_of(trunk)
    with pytest.raises(DivergedError, match=r"the loss became nan at step 4, .* learning rate"):
        trunk.run(10**6)
    after = weights_of(trunk)
    assert all(torch.equal(before[n], after[n]) for n in before if n != "model.norm.weight")
    assert trunk.step == 4


def test_running_out_of_memory_is_an_error_of_ours(tokens, recipe, monkeypatch):
    trunk = start(tokens, recipe)
    for raised in (
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory."),
    ):

        def fail(*args, raised=raised, **settings):
            raise raised

        monkeypatch.setattr(Transformer, "loss", fail)
        with pytest.raises(OurOutOfMemoryError, match="out of memory training 2x32"):
            trunk.run(10**6)


def test_a_vocabulary_larger_than_the_architectures_is_refused(tokens, recipe):
    small = tiny(vocab_size=270)
    with pytest.raises(ConfigError, match=r"vocabulary of 280 .* one of 270"):
        Trunk.start(small, recipe=recipe, seed=0, tokens=tokens)
    with pytest.raises(ConfigError, match="context_tokens is 25, above"):
        start(tokens, recipe, context_tokens=25)


def test_model_is_a_float32_copy_of_the_masters(tokens, tmp_path):
    trunk = start(tokens, Recipe(dtype="bfloat16", batch_tokens=72))
    run_steps(trunk, 3)
    trunk.save(tmp_path / "trunk")
    copies = [trunk.model(), load_model(tmp_path / "trunk")]
    run_steps(trunk, 1)  # does not reach the copies
    first, second = (to_numpy(copy) for copy in copies)
    for name, array in first.items():
        assert (array == second[name]).all()
        assert not (array == trunk._learner.masters()[name].numpy()).all()

"""A run interrupted at any steps, also inside a cooldown, ends in the bits of one that was not."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import tiny

from archsmith.train.recipe import Recipe
from archsmith.train.trunk import Trunk

STEPS = 7
COOLDOWN = 0.6  # of the steps done
EXPERTS = {
    "type": "mixture_of_experts",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}
FEED_FORWARDS = {
    "dense": {"type": "gated_mlp", "intermediate_size": 48},
    "softmax": {**EXPERTS, "router": "softmax"},
    "sigmoid": {**EXPERTS, "router": "sigmoid"},
    "sparsemixer": {**EXPERTS, "router": "sparsemixer"},
}


class Training(NamedTuple):
    """What is trained, and how."""

    feed_forward: str
    optimizer: str
    dtype: str

    def start(self, tokens):
        mixer = {"type": "attention", "num_attention_heads": 2, "num_key_value_heads": 1}
        layer = {
            "mixer": {**mixer, "head_dim": 16},
            "feed_forward": FEED_FORWARDS[self.feed_forward],
        }
        recipe = Recipe(optimizer=self.optimizer, dtype=self.dtype, batch_tokens=48, warmup_steps=3)
        return Trunk.start(tiny(layers=[layer, layer]), recipe=recipe, seed=1, tokens=tokens)


class Interruption(NamedTuple):
    """After `step` updates, or so many updates into a cooldown from there."""

    step: int
    cooldown_steps: int | None


TRAININGS = st.builds(
    Training,
    st.sampled_from(sorted(FEED_FORWARDS)),
    st.sampled_from(["muon", "adamw"]),
    st.sampled_from(["float32", "bfloat16"]),
)
INTERRUPTIONS = st.lists(
    st.builds(
        Interruption,
        st.integers(1, STEPS),
        st.one_of(st.none(), st.integers(0, round(COOLDOWN * STEPS) - 1)),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: sorted(found, key=lambda interruption: interruption.step))


def run_to(trunk, step):
    trunk.run(None, should_stop=lambda: trunk.step >= step)


def state_of(trunk):
    """Everything an update changes, and the weights after a cooldown."""
    cooled = trunk.cooldown(fraction=COOLDOWN)
    live = {**trunk._learner.masters(), **trunk._learner.optimizer_state()}
    kept = {name: tensor.clone() for name, tensor in live.items()}
    return {**kept, **{f"cooled {n}": p.detach() for n, p in cooled.named_parameters()}}


@pytest.fixture(scope="module")
def uninterrupted(tokens):
    @cache
    def run(training):
        trunk = training.start(tokens)
        run_to(trunk, STEPS)
        return trunk.bits_per_byte, state_of(trunk)

    return run


@settings(max_examples=6, deadline=None)
@given(training=TRAININGS, interruptions=INTERRUPTIONS)
def test_a_run_interrupted_anywhere_ends_in_the_same_bits(
    tokens, uninterrupted, training, interruptions
):
    check_same_bits(tokens, uninterrupted(training), training, interruptions)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(training=TRAININGS, interruptions=INTERRUPTIONS)
def test_many_runs_interrupted_anywhere_end_in_the_same_bits(
    tokens, uninterrupted, training, interruptions
):
    check_same_bits(tokens, uninterrupted(training), training, interruptions)


def check_same_bits(tokens, uninterrupted, training, interruptions):
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "trunk"
        trunk = training.start(tokens)
        for interruption in interruptions:
            run_to(trunk, interruption.step)
            if interruption.cooldown_steps is not None:
                answers = iter(range(interruption.cooldown_steps))
                trunk.cooldown(
                    fraction=COOLDOWN, should_stop=lambda left=answers: next(left, None) is None
                )
            trunk.save(saved)
            trunk = Trunk.load(saved, tokens=tokens)
        run_to(trunk, STEPS)
        bits_per_byte, expected = uninterrupted
        assert trunk.step == STEPS
        assert trunk.bits_per_byte == bits_per_byte
        found = state_of(trunk)
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor), name

"""What is not finite is caught at its own step, in every kind of block, before any weight moves."""

import math

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.errors import DivergedError
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe

ATTENTION = {
    "type": "attention",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}
GATED = {"type": "gated_mlp", "intermediate_size": 48}
EXPERTS = {
    "type": "mixture_of_experts",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}
SPARSE = {
    "type": "block_sparse_attention",
    "block_size": 8,
    "num_local_blocks": 1,
    "vertical_stride": 2,
}
BLOCKS = {
    "attention": (ATTENTION, GATED),
    "block_sparse_attention": ({**ATTENTION, **SPARSE}, GATED),
    "mlp": (ATTENTION, {"type": "mlp", "intermediate_size": 48}),
    "experts, softmax": (ATTENTION, {**EXPERTS, "router": "softmax"}),
    "experts, sigmoid": (ATTENTION, {**EXPERTS, "router": "sigmoid"}),
    "experts, sparsemixer": (ATTENTION, {**EXPERTS, "router": "sparsemixer"}),
}
BATCH = np.random.default_rng(0).integers(280, size=(2, 25))
STEP = 2


def trained(block, dtype=torch.float32):
    """A learner that has taken its first updates."""
    mixer, feed_forward = BLOCKS[block]
    layer = {"mixer": mixer, "feed_forward": feed_forward}
    learner = Learner(
        tiny(layers=[layer]),
        recipe=Recipe(),
        seed=0,
        device=torch.device("cpu"),
        dtype=dtype,
    )
    for number in range(STEP):
        learner.update(BATCH, number=number, factor=1.0)
    return learner


def assert_same_bits(first, second):
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def state_of(learner):
    live = {**learner.masters(), **learner.optimizer_state()}
    return {name: tensor.clone() for name, tensor in live.items()}


@pytest.mark.parametrize(
    ("block", "value"),
    [*((block, math.nan) for block in BLOCKS), ("attention", math.inf), ("mlp", math.inf)],
)
def test_a_weight_that_is_not_finite_is_caught_in_the_loss(block, value):
    learner = trained(block)
    good = state_of(learner)
    for name, master in learner.masters().items():
        if "correction_bias" in name:
            continue
        master[...] = value  # an expert whole, since not every token goes through it
        learner.publish()
        with pytest.raises(DivergedError, match=rf"the loss became (nan|inf) at step {STEP}, "):
            learner.update(BATCH, number=STEP, factor=1.0)
        master.copy_(good[name])
        learner.publish()
        assert_same_bits(good, state_of(learner))
    assert math.isfinite(learner.update(BATCH, number=STEP, factor=1.0))


@pytest.mark.parametrize(
    ("block", "value"), list(zip(BLOCKS, [math.nan, math.inf, -math.inf] * 2, strict=True))
)
def test_a_gradient_that_is_not_finite_is_caught_where_the_loss_is_finite(block, value):
    learner = trained(block)
    good = state_of(learner)
    for parameter in learner._model.parameters():
        if not parameter.requires_grad:
            continue

        def spoil(gradient):
            gradient = gradient.clone()
            gradient.view(-1)[-1] = value
            return gradient

        hook = parameter.register_hook(spoil)
        with pytest.raises(
            DivergedError, match=rf"the gradient became {abs(value)} at step {STEP}, "
        ):
            learner.update(BATCH, number=STEP, factor=1.0)
        hook.remove()
        assert_same_bits(good, state_of(learner))
    assert math.isfinite(learner.update(BATCH, number=STEP, factor=1.0))


@pytest.mark.parametrize("block", ["attention", "experts, softmax"])
def test_a_loss_beyond_bfloat16_is_caught(block):
    learner = trained(block, dtype=torch.bfloat16)
    learner.masters()["model.norm.weight"].fill_(3e38)
    learner.publish()
    with pytest.raises(DivergedError, match=rf"at step {STEP}, "):
        learner.update(BATCH, number=STEP, factor=1.0)

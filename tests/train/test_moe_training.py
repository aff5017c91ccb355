"""Training mixtures of experts: learning, resuming, balance, and rules for stacked matrices."""

import math

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.architecture.tree import Architecture
from archsmith.model.initialization import initial_std
from archsmith.model.routing import Choice, Routing
from archsmith.model.transformer import build
from archsmith.train.balancing import ExpertLoad, correct_biases, new_routing
from archsmith.train.learner import Learner
from archsmith.train.optimizers import muon
from archsmith.train.optimizers.base import Target
from archsmith.train.optimizers.muon import Muon, orthogonalize
from archsmith.train.parametrization import tensor_rule
from archsmith.train.recipe import Recipe
from archsmith.train.trunk import Trunk, load_model


def tiny_moe(**changes):
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
    block = {"type": "mixture_of_experts", **experts, **changes}
    dense = tiny().model_dump(mode="json")
    layers = [{**layer, "feed_forward": block} for layer in dense["layers"]]
    return Architecture.model_validate({**dense, "layers": layers})


def run_steps(trunk, number):
    calls = iter(range(number))
    trunk.run(None, should_stop=lambda: next(calls, None) is None)


def make_learner(architecture, **recipe):
    return Learner(
        architecture,
        recipe=Recipe(dtype="float32", **recipe),
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def batch(seed=0):
    return np.random.default_rng(seed).integers(280, size=(3, 25))


@pytest.mark.parametrize("router", ["softmax", "sigmoid", "sparsemixer"])
def test_a_mixture_of_experts_learns_and_uses_its_experts(tokens, router):
    recipe = Recipe(batch_tokens=96, dtype="float32", stuck_after_steps=60, warmup_steps=10)
    trunk = Trunk.start(tiny_moe(router=router), recipe=recipe, seed=0, tokens=tokens)
    assert trunk.expert_loads == ()
    readings = []
    run_steps(trunk, 10)
    early = trunk.bits_per_byte
    trunk.run(trunk.train_bytes * 7, on_progress=readings.append)
    assert not trunk.stuck
    assert trunk.bits_per_byte < 0.7 * early
    assert len(trunk.expert_loads) == 2
    assert readings[-1].expert_imbalance == max(load.imbalance for load in trunk.expert_loads)
    for load in trunk.expert_loads:
        assert sum(load.shares) == pytest.approx(1)
        assert load.imbalance < 2.5
        assert load.evenness > 0.7


@pytest.mark.parametrize(
    ("router", "optimizer", "dtype"),
    [
        ("softmax", "muon", "bfloat16"),
        ("sigmoid", "muon", "bfloat16"),
        ("sparsemixer", "muon", "float32"),
        ("sparsemixer", "adamw", "float32"),
    ],
)
def test_interrupted_and_resumed_ends_in_the_same_bits(tokens, tmp_path, router, optimizer, dtype):
    recipe = Recipe(optimizer=optimizer, dtype=dtype, batch_tokens=72, warmup_steps=3)

    def start():
        return Trunk.start(tiny_moe(router=router), recipe=recipe, seed=0, tokens=tokens)

    whole, part = start(), start()
    run_steps(whole, 7)
    run_steps(part, 3)
    part.cooldown(fraction=1.0)  # a branch must leave noise and biases as they were
    part.save(tmp_path / "trunk")
    resumed = Trunk.load(tmp_path / "trunk", tokens=tokens)
    run_steps(resumed, 4)
    expected, found = whole._learner.masters(), resumed._learner.masters()
    assert expected.keys() == found.keys()
    for name, master in expected.items():
        assert torch.equal(found[name], master), name
    copy = dict(load_model(tmp_path / "trunk").named_parameters())
    assert all(torch.equal(copy[n], p) for n, p in part.model().named_parameters())


def test_the_reported_loss_is_cross_entropy_alone():
    first, second = (
        make_learner(tiny_moe(), router_aux_loss_coef=coef, router_z_loss_coef=coef)
        for coef in (0.0, 5.0)
    )
    data = torch.from_numpy(batch())
    expected = first.model().loss(data[:, :-1], data[:, 1:]).detach()
    for learner in (first, second):
        nats = learner.update(batch(), number=0, factor=1.0)
        assert nats == pytest.approx(float(expected), rel=1e-6)
    # but what is learnt is not the same
    assert second.update(batch(), number=1, factor=1.0) != first.update(
        batch(), number=1, factor=1.0
    )


def test_correction_biases_move_towards_the_mean_load_and_no_gradient_moves_them():
    learner = make_learner(tiny_moe(router="sigmoid"), router_bias_update_rate=0.25)
    names = [n for n in learner.masters() if n.endswith("mlp.gate.e_score_correction_bias")]
    assert len(names) == 2
    assert all(not learner.masters()[name].any() for name in names)
    learner.update(batch(), number=0, factor=0.5)
    for name, share in zip(names, learner.expert_shares, strict=True):
        expected = 0.125 * torch.sign(0.25 - share)
        torch.testing.assert_close(learner.masters()[name], expected)
        live = dict(learner._model.named_parameters())[name]
        assert torch.equal(live.detach(), expected)
    state = learner.optimizer_state()
    assert not any("e_score_correction_bias" in name for name in state)


def test_biases_are_corrected_in_the_layers_that_have_one():
    routing = Routing(torch.Generator())
    weights, probabilities = torch.ones(3, 1), torch.full((3, 2), 0.5)
    for experts, corrected in (([0, 0, 1], False), ([1, 1, 0], True)):
        choice = Choice(torch.tensor(experts)[:, None], weights)
        given = None if corrected else probabilities
        routing.add(choice, 2, logits=given, probabilities=given)
    bias = torch.zeros(2)
    correct_biases([bias], routing, rate=0.5)
    assert bias.tolist() == [0.5, -0.5]


def test_noise_of_an_update_depends_on_seed_and_number():
    def draw(seed, number):
        routing = new_routing(seed=seed, number=number, device=torch.device("cpu"))
        return torch.rand(4, generator=routing.generator).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(*pair)) for pair in ((1, 2), (2, 1), (1, 3), (0, 2))}) == 4


def test_expert_load_of_even_and_collapsed_routing():
    assert ExpertLoad((0.25,) * 4) == ((0.25,) * 4,)
    assert ExpertLoad((0.25,) * 4).imbalance == ExpertLoad((0.25,) * 4).evenness == 1
    assert ExpertLoad((1.0, 0.0)).imbalance == 2
    assert ExpertLoad((1.0, 0.0)).evenness == 0
    assert ExpertLoad((1.0,)).evenness == 1
    assert ExpertLoad((0.75, 0.25)).evenness == pytest.approx(0.8113, abs=1e-4)


def test_dense_networks_have_no_routing():
    learner = make_learner(tiny())
    learner.update(batch(), number=0, factor=1.0)
    assert learner.expert_shares == []


def test_an_expert_starts_like_the_matrix_of_a_dense_block():
    name = "model.layers.0.mlp.{}"
    for part in ("gate_proj", "up_proj", "down_proj"):
        stacked = initial_std(name.format(f"experts.{part}"), (4, 24, 32), num_hidden_layers=2)
        single = initial_std(name.format(f"{part}.weight"), (24, 32), num_hidden_layers=2)
        assert stacked == single
    assert initial_std(name.format("gate.weight"), (4, 32), num_hidden_layers=2) == 0.5 / 32
    network = build(tiny_moe(router="sigmoid"), seed=0)
    down = network.model.layers[0].mlp.experts.down_proj
    assert down.detach().std().item() == pytest.approx(1 / math.sqrt(24) / 4, rel=0.05)
    assert not network.model.layers[0].mlp.gate.e_score_correction_bias.any()


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_an_expert_learns_at_the_rate_of_a_dense_block(optimizer):
    recipe, architecture = Recipe(optimizer=optimizer), tiny_moe()

    def rule(name, *shape):
        return tensor_rule(
            f"model.layers.0.mlp.{name}", shape, architecture=architecture, recipe=recipe
        )

    assert rule("experts.down_proj", 4, 32, 24) == rule("down_proj.weight", 32, 24)
    assert rule("experts.up_proj", 4, 24, 32) == rule("up_proj.weight", 24, 32)
    router = rule("gate.weight", 4, 32)
    assert (router.muon, router.decay) == (False, 0.0)
    assert rule("shared_expert_gate.weight", 1, 32) == router
    # an output, whose rate falls with the width
    assert router.learning_rate == pytest.approx(8 * rule("gate.weight", 4, 256).learning_rate)


def target(name, *shape):
    generator = torch.Generator().manual_seed(len(name))
    master, gradient = (torch.randn(shape, generator=generator) for _ in range(2))
    return Target(name, master, gradient, 0.5, 0.0)


@pytest.mark.parametrize("batch_elements", [2**22, 150, 1])
def test_muon_makes_every_experts_matrix_orthogonal_whatever_the_batches(
    monkeypatch, batch_elements
):
    monkeypatch.setattr(muon, "_BATCH_ELEMENTS", batch_elements)
    targets = [target("experts", 3, 6, 8), target("dense", 6, 8), target("other", 2, 8, 6)]
    before = {one.name: one.master.clone() for one in targets}
    optimizer = Muon(targets, momentum=0.9, dtype=torch.float32)
    optimizer.step(number=0, factor=1.0)
    assert {n: tuple(t.shape) for n, t in optimizer.state().items()} == {
        "experts.momentum": (3, 6, 8),
        "dense.momentum": (6, 8),
        "other.momentum": (2, 8, 6),
    }
    for one in targets:
        ahead = one.gradient.lerp(0.1 * one.gradient, 0.9).view(-1, *one.master.shape[-2:])
        direction = orthogonalize(ahead, dtype=torch.float32).view(one.master.shape)
        torch.testing.assert_close(one.master, before[one.name] - 0.5 * direction)
        torch.testing.assert_close(optimizer.state()[f"{one.name}.momentum"], 0.1 * one.gradient)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("router", ["softmax", "sigmoid", "sparsemixer"])
def test_a_mixture_of_experts_learns_and_resumes_on_the_device(tokens, tmp_path, router):
    recipe = Recipe(batch_tokens=96)
    trunk = Trunk.start(
        tiny_moe(router=router), recipe=recipe, seed=0, tokens=tokens, device="cuda"
    )
    trunk.run(2000)
    early = trunk.bits_per_byte
    trunk.save(tmp_path / "trunk")
    resumed = Trunk.load(tmp_path / "trunk", tokens=tokens)
    resumed.run(20_000)
    assert resumed.bits_per_byte < early


def test_networks_with_experts_learn_at_their_own_rates():
    rates = {"moe_learning_rate": 0.03, "moe_embedding_learning_rate": 0.02}
    updated = []
    for architecture in (tiny_moe(), tiny()):
        for extra in ({}, rates):
            learner = make_learner(architecture, **extra)
            learner.update(batch(), number=0, factor=1.0)
            updated.append(learner.model().model.embed_tokens.weight.detach().clone())
    moe, moe_at_own_rates, dense, dense_with_rates = updated
    assert not torch.equal(moe, moe_at_own_rates)
    assert torch.equal(dense, dense_with_rates)
    assert make_learner(tiny_moe(), **rates).recipe.learning_rate == 0.03
    assert make_learner(tiny(), **rates).recipe.learning_rate == 0.01

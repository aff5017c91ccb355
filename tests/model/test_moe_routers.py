"""Routers against the arithmetic of the stock classes, and the losses against their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.model.routers import Router, sigmoid_top_k, softmax_top_k, sparsemixer
from archsmith.model.routing import Choice, Routing, load_balancing_loss, router_z_loss

TOKENS, EXPERTS, WIDTH = 41, 7, 12


def spec(**changes):
    return MixtureOfExperts(
        **{
            "num_experts": EXPERTS,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 10,
            **changes,
        }
    )


def router(**changes):
    torch.manual_seed(0)
    made = Router(spec(**changes), WIDTH)
    with torch.no_grad():
        made.weight.normal_()
        if "sigmoid" in changes.values():
            made.e_score_correction_bias.normal_(std=0.3)
    return made


def logits(*, close=False):
    torch.manual_seed(1)
    drawn = torch.randn(TOKENS, EXPERTS)
    if close:  # several within the jitter of the largest
        drawn = 5 + 0.02 * drawn
    return drawn.requires_grad_()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stock_routers(config_class, router_class, make, **config):
    stock = router_class(config_class(hidden_size=WIDTH, num_experts_per_tok=2, **config))
    with torch.no_grad():
        stock.weight.copy_(make.weight)
    return stock.eval()


def assert_same_choice(ours, stock_weights, stock_experts):
    """Equal as sets per token: an order within a token has no meaning."""
    dense = [
        torch.zeros(TOKENS, EXPERTS).scatter(1, experts, weights)
        for weights, experts in ((ours.weights, ours.experts), (stock_weights, stock_experts))
    ]
    torch.testing.assert_close(*dense)


@pytest.mark.parametrize("normalize", [True, False])
def test_softmax_router_is_olmoes(normalize):
    from transformers.models.olmoe.configuration_olmoe import OlmoeConfig
    from transformers.models.olmoe.modeling_olmoe import OlmoeTopKRouter

    ours = router(norm_topk_prob=normalize)
    stock = stock_routers(
        OlmoeConfig, OlmoeTopKRouter, ours, num_experts=EXPERTS, norm_topk_prob=normalize
    )
    rows = torch.randn(TOKENS, WIDTH)
    _, weights, experts = stock(rows)
    choice = ours(rows, None)
    assert_same_choice(choice, weights, experts)
    assert torch.equal(choice.experts, experts)


@pytest.mark.parametrize("normalize", [True, False])
def test_sigmoid_router_is_mimos(normalize):
    from transformers.models.mimo_v2_flash.configuration_mimo_v2_flash import MiMoV2FlashConfig
    from transformers.models.mimo_v2_flash.modeling_mimo_v2_flash import MiMoV2FlashTopkRouter

    ours = router(router="sigmoid", norm_topk_prob=normalize)
    stock = stock_routers(
        MiMoV2FlashConfig,
        MiMoV2FlashTopkRouter,
        ours,
        n_routed_experts=EXPERTS,
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.0,
        norm_topk_prob=normalize,
    )
    stock.e_score_correction_bias.copy_(ours.e_score_correction_bias.detach())
    rows = torch.randn(TOKENS, WIDTH)
    _, weights, experts = stock(rows)
    assert_same_choice(ours(rows, None), weights, experts)


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_sparsemixer_is_phimoes_in_choice_weights_and_gradient(close, training, monkeypatch):
    from transformers.models.phimoe.modeling_phimoe import sparsemixer as stock_sparsemixer

    found = []
    for function in ("ours", "stock"):
        scores, noise = logits(close=close), generator()
        if function == "ours":
            choice = sparsemixer(scores, 0.01, noise if training else None)
            weights, experts = choice.weights, choice.experts
        else:
            _draw_from(noise, monkeypatch)
            weights, experts = stock_sparsemixer(scores, 0.01, training)
        direction = torch.linspace(-1, 1, weights.numel()).view_as(weights)
        (gradient,) = torch.autograd.grad((weights * direction).sum(), scores)
        found.append((experts, weights, gradient))
    (experts, weights, gradient), (stock_experts, stock_weights, stock_gradient) = found
    assert torch.equal(experts, stock_experts)
    # the stock class writes 1/3 as 0.3333
    torch.testing.assert_close(weights, stock_weights, rtol=2e-4, atol=0)
    torch.testing.assert_close(gradient, stock_gradient)


def _draw_from(noise, monkeypatch):
    """Let code that asks torch for numbers without naming a generator get those of `noise`."""
    exponential = torch.Tensor.exponential_
    # ours has experts first
    monkeypatch.setattr(
        torch.Tensor, "exponential_", lambda x: exponential(x.mT.contiguous(), generator=noise).mT
    )
    monkeypatch.setattr(torch, "rand_like", lambda x: torch.rand(x.shape[::-1], generator=noise).T)
    # the second step draws again what it has just drawn
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda x: x)


def test_sparsemixer_samples_near_experts_by_their_softmax():
    scores = torch.tensor([[5.0, 5.05, 1.0]]).expand(4000, 3)
    choice = sparsemixer(scores, 0.01, generator())
    assert not (choice.experts[:, 0] == 2).any()  # far below the largest
    share = (choice.experts[:, 0] == 0).float().mean()
    assert share == pytest.approx(1 / (1 + math.exp(0.05)), abs=0.03)
    # an unlikely first expert has a third of its weight, but in one case of four
    taken = choice.weights[choice.experts[:, 0] == 0, 0]
    full = 1 / (1 + math.exp(0.05))
    kept = torch.isclose(taken, torch.tensor(full)).float().mean()
    assert kept == pytest.approx(0.25, abs=0.04)
    torch.testing.assert_close(taken.min(), torch.tensor(full / 3))


def test_sparsemixer_repeats_with_its_noise():
    one, same, other = (sparsemixer(logits(close=True), 0.01, generator(n)) for n in (3, 3, 4))
    assert torch.equal(one.experts, same.experts)
    assert not torch.equal(one.experts, other.experts)


def test_weights_of_softmax_sum_to_one_where_asked():
    probabilities = logits().softmax(-1)
    assert softmax_top_k(probabilities, 3, normalize=True).weights.sum(-1).allclose(torch.ones(()))
    loose = softmax_top_k(probabilities, 3, normalize=False)
    torch.testing.assert_close(loose.weights, probabilities.gather(1, loose.experts))


def test_correction_bias_changes_the_choice_and_not_the_weights():
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    plain = sigmoid_top_k(scores, torch.zeros(3), 1, normalize=False)
    moved = sigmoid_top_k(scores, torch.tensor([0.0, 0.0, 5.0]), 1, normalize=False)
    assert (plain.experts.item(), moved.experts.item()) == (0, 2)
    assert moved.weights.item() == 0.5


def test_router_gets_no_gradient_through_its_bias():
    made = router(router="sigmoid")
    made(torch.randn(TOKENS, WIDTH), None).weights.sum().backward()
    assert made.weight.grad is not None
    assert made.e_score_correction_bias.grad is None


def test_load_balancing_loss_is_transformers_and_even_routing_gives_k():
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    scores = logits().detach()
    probabilities = scores.softmax(-1)
    choice = softmax_top_k(probabilities, 2, normalize=True)
    loads = torch.bincount(choice.experts.flatten(), minlength=EXPERTS)
    ours = load_balancing_loss(loads, probabilities)
    torch.testing.assert_close(ours, load_balancing_loss_func((scores,), EXPERTS, 2))
    even = load_balancing_loss(torch.full((4,), 5), torch.full((10, 4), 0.25))
    assert even.item() == pytest.approx(2)
    collapsed = load_balancing_loss(torch.tensor([10, 0]), torch.tensor([[1.0, 0.0]] * 10))
    assert collapsed.item() == pytest.approx(2)  # one expert a token, of two


def test_z_loss_is_the_squared_log_of_the_normalizer():
    scores = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    expected = (math.log(2) ** 2 + math.log(4) ** 2) / 2
    assert router_z_loss(scores).item() == pytest.approx(expected)


def test_routing_averages_layers_and_leaves_out_those_a_bias_balances():
    routing = Routing(generator())
    made = [router(), router(router="sigmoid", norm_topk_prob=False), router(norm_topk_prob=False)]
    for one in made:
        one(torch.randn(TOKENS, WIDTH), routing)
    assert [layer.logits is None for layer in routing.layers] == [False, True, False]
    loss = routing.loss(balance_coef=2.0, z_coef=3.0)
    expected = sum(
        2 * load_balancing_loss(layer.loads, F.softmax(layer.logits, -1))
        + 3 * router_z_loss(layer.logits)
        for layer in routing.layers
        if layer.logits is not None
    )
    torch.testing.assert_close(loss, expected / 2)
    assert all(share.sum().item() == pytest.approx(1) for share in routing.shares())
    (gradient,) = torch.autograd.grad(loss, made[0].weight)
    assert gradient.abs().sum() > 0


def test_following_the_balance_loss_spreads_tokens_over_experts():
    made = router()
    rows = torch.randn(200, WIDTH) + 1
    with torch.no_grad():
        made.weight[0] += 1.0  # most tokens prefer the first expert
    busiest = []
    for _ in range(60):
        routing = Routing(generator())
        made(rows, routing)
        busiest.append(float(routing.shares()[0].max()))
        loss = routing.loss(balance_coef=1.0, z_coef=0.0)
        (gradient,) = torch.autograd.grad(loss, made.weight)
        with torch.no_grad():
            made.weight -= 0.3 * gradient
    assert busiest[0] > 0.4  # of at most a half, with two experts a token
    assert busiest[-1] < 0.25


def test_a_pass_of_sigmoid_routers_alone_has_no_auxiliary_loss():
    routing = Routing(generator())
    routing.add(
        Choice(torch.zeros(3, 1).long(), torch.ones(3, 1)), 2, logits=None, probabilities=None
    )
    assert routing.loss(balance_coef=1.0, z_coef=1.0).item() == 0
    assert routing.shares()[0].tolist() == [1, 0]

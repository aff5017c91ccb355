"""Mixtures of experts: fast against plain, blocks against the stock classes', formulas."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.model.feed_forwards.mixture_of_experts import MixtureOfExpertsModule
from archsmith.model.kernels import grouped_products
from archsmith.model.kernels.experts import experts_in_turn, grouped_experts, sort_by_expert
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.routing import Choice, Routing
from archsmith.model.transformer import build

ROUTERS = [
    {"router": "softmax", "norm_topk_prob": True},
    {"router": "softmax", "norm_topk_prob": False},
    {"router": "sigmoid"},
    {"router": "sparsemixer"},
]
SHARED = [
    {},
    {"shared_expert_intermediate_size": 9},
    {"shared_expert_intermediate_size": 9, "shared_expert_gate": True},
]


def spec(**changes):
    sizes = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 11}
    return MixtureOfExperts(**{**sizes, **changes})


def block(made, hidden_size=14, dtype=torch.float32):
    torch.manual_seed(0)
    module = MixtureOfExpertsModule(made, hidden_size)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.4)
    return module.to(dtype)


def model(made, *, hidden_size=12, num_layers=2):
    attention = {"type": "attention", "num_attention_heads": 2, "num_key_value_heads": 1}
    layer = {"mixer": {**attention, "head_dim": 6}, "feed_forward": made.model_dump()}
    return Architecture.model_validate(
        {
            "hidden_size": hidden_size,
            "vocab_size": 31,
            "max_position_embeddings": 32,
            "layers": [layer] * num_layers,
        }
    )


@st.composite
def operands(draw):
    """Inputs of the experts' product, odd sizes, some experts often without tokens."""
    experts = draw(st.integers(1, 6))
    top_k = draw(st.integers(1, experts))
    tokens = draw(st.integers(1, 40))
    width, inner = draw(st.sampled_from([(8, 16), (16, 8), (1, 8), (5, 3), (24, 24)]))
    popular = draw(st.integers(top_k, experts))  # the others get no token
    noise = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    randn = lambda *shape: torch.randn(shape, generator=noise)  # noqa: E731
    chosen = torch.rand(tokens, popular, generator=noise).topk(top_k).indices
    names = ("x", "weights", "gate", "up", "down")
    shapes = (
        (tokens, width),
        (tokens, top_k),
        (experts, inner, width),
        (experts, inner, width),
        (experts, width, inner),
    )
    tensors = {name: randn(*shape) for name, shape in zip(names, shapes, strict=True)}
    return chosen, tensors, randn(tokens, width)


def result_and_gradients(function, chosen, tensors, direction):
    live = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
    x, weights, *matrices = live.values()
    out = function(x, Choice(chosen, weights), *matrices)
    gradients = torch.autograd.grad((out.float() * direction).sum(), list(live.values()))
    return {"out": out.detach(), **dict(zip(live, gradients, strict=True))}


@pytest.mark.parametrize("grouped_mm", [True, False])
@settings(max_examples=25, deadline=None)
@given(drawn=operands())
def test_grouped_experts_are_experts_in_turn(grouped_mm, drawn):
    chosen, tensors, direction = drawn
    expected = result_and_gradients(experts_in_turn, chosen, tensors, direction)
    with pytest.MonkeyPatch.context() as patch:
        if not grouped_mm:
            patch.setattr(grouped_products, "_grouped_mm", None)
        found = result_and_gradients(grouped_experts, chosen, tensors, direction)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("experts", "top_k", "width", "inner"), [(5, 2, 24, 40), (1, 1, 16, 8), (4, 4, 13, 7)]
)
def test_bfloat16_experts_follow_float32_to_their_rounding(experts, top_k, width, inner):
    noise = torch.Generator().manual_seed(0)
    shapes = {
        "x": (60, width),
        "weights": (60, top_k),
        "gate": (experts, inner, width),
        "up": (experts, inner, width),
        "down": (experts, width, inner),
    }
    rounded = {name: torch.randn(s, generator=noise).bfloat16() for name, s in shapes.items()}
    exact = {name: tensor.float() for name, tensor in rounded.items()}
    chosen = torch.rand(60, experts, generator=noise).topk(top_k).indices
    direction = torch.randn(60, width, generator=noise).bfloat16().float()
    expected = result_and_gradients(experts_in_turn, chosen, exact, direction)
    found = result_and_gradients(grouped_experts, chosen, rounded, direction)
    for name, tensor in expected.items():
        assert found[name].dtype == torch.bfloat16
        # a bfloat16 keeps 8 bits; a gradient is a product of many
        assert (found[name].float() - tensor).norm() < 0.02 * tensor.norm(), name


@pytest.mark.parametrize("multiple", [1, 4])
def test_order_brings_experts_together_and_finds_every_assignment(multiple):
    experts = torch.tensor([[2, 0], [0, 2], [2, 4], [4, 2], [2, 0]])
    order = sort_by_expert(experts, 5, multiple=multiple)
    loads = [3, 0, 5, 0, 2]
    lengths = [-(-load // multiple) * multiple for load in loads]
    assert order.ends.tolist() == torch.tensor(lengths).cumsum(0).tolist()
    assert len(order.tokens) == sum(lengths)
    for token, chosen in enumerate(experts.tolist()):
        for expert, row in zip(chosen, order.positions[token].tolist(), strict=True):
            assert order.tokens[row] == token
            assert order.ends[expert] - lengths[expert] <= row < order.ends[expert]
    assert order.positions.unique().numel() == experts.numel()


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("router", ROUTERS)
def test_fast_block_is_the_plain_block_with_the_plain_gradient(router, shared):
    module = block(spec(**router, **shared))
    x = torch.randn(3, 7, 14, requires_grad=True)
    direction = torch.randn(x.shape)
    trained = [x, *(p for p in module.parameters() if p.requires_grad)]
    found = []
    for kernels in (PLAIN, FAST):
        routing = Routing(torch.Generator().manual_seed(5))
        out = module(x, kernels=kernels, routing=routing)
        loss = (out * direction).sum() + routing.loss(balance_coef=1.0, z_coef=0.1)
        found.append([out, *torch.autograd.grad(loss, trained)])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("router", ROUTERS)
def test_the_built_module_has_the_formulas_parameters_and_flops(router, shared):
    made = spec(**router, **shared)
    architecture = model(made)
    network = build(architecture, device="meta")
    assert sum(p.numel() for p in network.parameters()) == architecture.num_params
    module = block(made)
    assert sum(p.numel() for p in module.parameters()) == made.num_params(14)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.randn(2, 5, 14), kernels=PLAIN)
    assert counter.get_total_flops() == 10 * 2 * made.matmul_params(14)


def test_canonical_names_of_weights():
    names = {
        name.removeprefix("model.layers.0.mlp."): tuple(parameter.shape)
        for name, parameter in build(
            model(spec(router="sigmoid", **SHARED[2])), device="meta"
        ).named_parameters()
        if name.startswith("model.layers.0.mlp.")
    }
    assert names == {
        "gate.weight": (5, 12),
        "gate.e_score_correction_bias": (5,),
        "experts.gate_proj": (5, 11, 12),
        "experts.up_proj": (5, 11, 12),
        "experts.down_proj": (5, 12, 11),
        "shared_expert.gate_proj.weight": (9, 12),
        "shared_expert.up_proj.weight": (9, 12),
        "shared_expert.down_proj.weight": (12, 9),
        "shared_expert_gate.weight": (1, 12),
    }


def stock_blocks():
    from transformers.models import mimo_v2_flash, mixtral, olmoe, phimoe, qwen2_moe

    common = {"hidden_size": 14, "num_experts_per_tok": 2, "num_attention_heads": 2}
    wide = {**common, "num_local_experts": 5, "intermediate_size": 11}
    return {
        "mixtral": (
            mixtral.modeling_mixtral.MixtralSparseMoeBlock(mixtral.MixtralConfig(**wide)),
            ROUTERS[0],
        ),
        "olmoe": (
            olmoe.modeling_olmoe.OlmoeSparseMoeBlock(
                olmoe.OlmoeConfig(**common, num_experts=5, intermediate_size=11)
            ),
            ROUTERS[1],
        ),
        "mimo": (
            mimo_v2_flash.modeling_mimo_v2_flash.MiMoV2FlashMoE(
                mimo_v2_flash.MiMoV2FlashConfig(
                    **common,
                    n_routed_experts=5,
                    n_group=1,
                    topk_group=1,
                    moe_intermediate_size=11,
                    routed_scaling_factor=1.0,
                )
            ),
            ROUTERS[2],
        ),
        "phimoe": (
            phimoe.modeling_phimoe.PhimoeSparseMoeBlock(phimoe.PhimoeConfig(**wide)),
            ROUTERS[3],
        ),
        "qwen2_moe": (
            qwen2_moe.modeling_qwen2_moe.Qwen2MoeSparseMoeBlock(
                qwen2_moe.Qwen2MoeConfig(
                    **common,
                    num_experts=5,
                    moe_intermediate_size=11,
                    shared_expert_intermediate_size=9,
                    norm_topk_prob=False,
                )
            ),
            {**ROUTERS[1], **SHARED[2]},
        ),
    }


@pytest.mark.parametrize("name", ["mixtral", "olmoe", "mimo", "phimoe", "qwen2_moe"])
def test_block_is_the_stock_block_with_the_stock_gradient(name):
    stock, choices = stock_blocks()[name]
    stock.eval()
    ours = block(spec(**choices))
    with torch.no_grad():
        router = stock.router if name == "phimoe" else stock.gate
        router.weight.copy_(ours.gate.weight)
        if name == "mimo":
            router.e_score_correction_bias.copy_(ours.gate.e_score_correction_bias)
        gate_up = torch.cat((ours.experts.gate_proj, ours.experts.up_proj), dim=1)
        stock.experts.gate_up_proj.copy_(gate_up)
        stock.experts.down_proj.copy_(ours.experts.down_proj)
        if name == "qwen2_moe":
            stock.shared_expert.load_state_dict(ours.shared_expert.state_dict())
            stock.shared_expert_gate.load_state_dict(ours.shared_expert_gate.state_dict())
    x = torch.randn(3, 7, 14, requires_grad=True)
    direction = torch.randn(x.shape)
    found = []
    for out, down, gate in (
        (stock(x), stock.experts.down_proj, router.weight),
        (ours(x, kernels=FAST), ours.experts.down_proj, ours.gate.weight),
    ):
        found.append([out, *torch.autograd.grad((out * direction).sum(), (x, down, gate))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("router", ROUTERS)
def test_reported_losses_know_no_routing(router):
    """Cross-entropy alone, and where the router draws no noise the same with and without."""
    network = build(model(spec(**router)), seed=1)
    tokens = torch.randint(31, (2, 13))
    plain = network.loss(tokens[:, :-1], tokens[:, 1:])
    scored = network.token_nats(tokens[:, :-1], tokens[:, 1:]).mean()
    torch.testing.assert_close(scored, plain.detach())
    torch.testing.assert_close(
        torch.nn.functional.cross_entropy(
            network(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()
        ),
        plain,
    )
    routing = Routing(torch.Generator().manual_seed(0))
    noisy = network.loss(tokens[:, :-1], tokens[:, 1:], routing=routing)
    assert len(routing.layers) == 2
    assert torch.equal(noisy, plain) == (router["router"] != "sparsemixer")


def test_noise_is_a_function_of_its_generator():
    network = build(model(spec(router="sparsemixer")), seed=1)
    tokens = torch.randint(31, (2, 13))
    one, same, other = (
        network.loss(
            tokens[:, :-1],
            tokens[:, 1:],
            routing=Routing(torch.Generator().manual_seed(seed)),
        )
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grouped_experts_are_experts_in_turn_on_the_device(dtype):
    made = block(spec(num_experts_per_tok=3, moe_intermediate_size=24), 16).cuda()
    x = torch.randn(3, 7, 16, device="cuda", requires_grad=True)
    direction = torch.randn_like(x)
    found = []
    for kernels, kind in ((PLAIN, torch.float32), (FAST, dtype)):
        out = made.to(kind)(x.to(kind), kernels=kernels).float()
        matrices = [x, made.experts.up_proj, made.experts.down_proj]
        found.append([out, *torch.autograd.grad((out * direction).sum(), matrices)])
    for expected, actual in zip(*found, strict=True):
        error = (actual.float() - expected).norm() / expected.norm()
        assert error < (1e-3 if dtype == torch.float32 else 0.05)

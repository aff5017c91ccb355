"""Parts of one network: views of its weights, and the mixture of all of them."""

import pytest
import torch
from drawn_architectures import small
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.architecture.elastic import Sizes, cover, shrink, sizes_of, why_not_inside
from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ConfigError
from archsmith.model.elastic import copy_of, view_of
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.kernels.sliced import for_slices
from archsmith.model.relaxation import Masks, relaxed, why_not_relaxable
from archsmith.model.transformer import build, load_numpy

SLICED = for_slices(FAST)


def text(architecture, seed=1):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(architecture.vocab_size, (2, 14), generator=generator)
    return tokens[:, :-1], tokens[:, 1:]


@st.composite
def wholes(draw):
    """Every kind of network that can share weights, three layers deep."""
    feed_forward = draw(
        st.sampled_from(
            [
                {"type": "gated_mlp", "activation": "silu"},
                {"type": "gated_mlp", "activation": "gelu_tanh", "bias": True},
                {"type": "gated_mlp", "activation": "gegelu", "activation_limit": 0.5},
                {"type": "mlp", "activation": "relu2", "bias": False},
                {"type": "mlp", "activation": "gelu_tanh"},
            ]
        )
    )
    mixer = {
        "type": "attention",
        "num_attention_heads": 4,
        "num_key_value_heads": draw(st.sampled_from([2, 4])),
        "head_dim": 6,
        "qkv_bias": draw(st.booleans()),
        "output_bias": draw(st.booleans()),
        "qk_norm": draw(st.booleans()),
        "qk_norm_over": draw(st.sampled_from(["head", "all_heads"])),
        "sliding_window": draw(st.sampled_from([None, 4])),
    }
    norm = {"type": draw(st.sampled_from(["rms", "layer"]))}
    layer = {
        "mixer": mixer,
        "feed_forward": {**feed_forward, "intermediate_size": 40},
        "norm": norm,
        "residual": draw(st.sampled_from(["sequential", "parallel"])),
    }
    return Architecture.model_validate(
        {
            "hidden_size": 20,
            "vocab_size": 31,
            "max_position_embeddings": 32,
            "layers": [layer] * 3,
            "final_norm": norm,
            "tie_word_embeddings": draw(st.booleans()),
            "lm_head_bias": draw(st.booleans()),
            "residual_multiplier": draw(st.sampled_from([1.0, 0.3])),
        }
    )


parts = st.builds(
    Sizes,
    num_hidden_layers=st.sampled_from([1, 2, 3]),
    hidden_size=st.sampled_from([7, 12, 20]),
    intermediate_size=st.sampled_from([8, 23, 40]),
    num_attention_heads=st.sampled_from([2, 4]),
    num_key_value_heads=st.sampled_from([1, 2]),
)


@given(wholes(), parts)
@settings(max_examples=12, deadline=None)
def test_a_part_is_the_network_of_its_shape_with_those_weights(whole, sizes):
    largest = build(whole, seed=3)
    architecture = shrink(whole, sizes)
    assert sizes_of(architecture) == sizes
    part, alone = view_of(largest, architecture), build(architecture, seed=None)
    named = dict(largest.named_parameters())
    load_numpy(
        alone,
        {
            name: named[name].detach().numpy()[tuple(slice(0, n) for n in parameter.shape)]
            for name, parameter in alone.named_parameters()
        },
    )
    losses = []
    for model, kernels in ((part, SLICED), (alone, FAST)):
        losses.append(model.loss(*text(architecture), kernels))
        losses[-1].backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)
    own = dict(alone.named_parameters())
    for name, parameter in part.named_parameters():
        torch.testing.assert_close(parameter.grad, own[name].grad, rtol=1e-4, atol=2e-6)
    copied = copy_of(largest, architecture)
    for name, parameter in copied.named_parameters():
        assert torch.equal(parameter, own[name])
        assert parameter.is_contiguous()


def test_a_view_holds_no_weights_of_its_own():
    whole = small(hidden_size=32)
    largest = build(whole, seed=0)
    part = view_of(largest, shrink(whole, Sizes(1, 16, 8, 2, 1)))
    storages = {p.untyped_storage().data_ptr() for p in largest.parameters()}
    assert {p.untyped_storage().data_ptr() for p in part.parameters()} <= storages
    assert part.lm_head.weight is part.model.embed_tokens.weight
    before = part.loss(*text(whole)).item()
    with torch.no_grad():
        largest.model.layers[0].mlp.up_proj.weight.mul_(2)
    assert part.loss(*text(whole)).item() != before


def test_the_largest_part_is_the_network_itself():
    whole = small()
    largest = build(whole, seed=0)
    inside = view_of(largest, whole)
    assert torch.equal(inside(text(whole)[0]), largest(text(whole)[0]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 64}, "hidden_size of 64 does not fit in the supernet's 32"),
        ({"num_attention_heads": 8}, "num_attention_heads of 8 does not fit in the supernet's 4"),
        ({"head_dim": 4}, "mixer.head_dim is 4, the supernet's 8"),
        ({"vocab_size": 31}, "vocab_size is 31, the supernet's 53"),
        ({"residual": "parallel"}, "residual is parallel, the supernet's sequential"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ],
)
def test_what_is_no_part_is_told_why(changes, reason):
    with pytest.raises(ConfigError, match="is no part of the supernet") as raised:
        view_of(build(small(), seed=0), small(**changes))
    assert reason in str(raised.value)


def test_layers_must_be_alike_and_dense():
    dense = small()
    other = dense.layers[0].model_copy(update={"residual": "parallel"})
    mixed = Architecture.model_validate({**dense.model_dump(), "layers": (dense.layers[0], other)})
    assert why_not_inside(mixed, dense) == "its layers are not alike"
    experts = {
        "type": "mixture_of_experts",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
    }
    layer = Layer.model_validate({**dense.layers[0].model_dump(), "feed_forward": experts})
    sparse = Architecture.model_validate({**dense.model_dump(), "layers": (layer,)})
    assert "mixture_of_experts" in why_not_inside(sparse, dense)


def test_quantization_is_the_files_business():
    assert why_not_inside(small(), small(quantization="Q4_0")) is None


def test_cover_holds_all_and_its_heads_divide():
    sizes = [Sizes(2, 96, 64, 6, 2), Sizes(4, 64, 96, 4, 4)]
    assert cover(sizes) == Sizes(4, 96, 96, 6, 6)
    assert why_not_inside(shrink(small(), cover(sizes)), shrink(small(), sizes[1])) is None


def step(size, of):
    return (torch.arange(of) < size).float()


@pytest.mark.parametrize("kernels", [PLAIN, FAST], ids=["plain", "fast"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_masks_of_zeros_and_ones_give_the_part(kernels, qk_norm):
    whole = small(qk_norm=qk_norm, num_key_value_heads=2)
    largest = build(whole, seed=5)
    sizes = Sizes(1, 17, 23, 2, 1)
    masks = Masks(step(17, 32), step(23, 40), step(2, 4), step(1, 2))
    architecture = shrink(whole, sizes)
    with relaxed(largest, masks):
        mixed = largest.loss(*text(whole), kernels)
    alone = copy_of(largest, architecture).loss(*text(whole), kernels)
    torch.testing.assert_close(mixed, alone, rtol=1e-6, atol=1e-6)


def test_without_masks_the_network_is_itself_and_so_it_is_afterwards():
    whole = small()
    model = build(whole, seed=5)
    plain = model.loss(*text(whole))
    with relaxed(model, Masks(layers=torch.tensor([0.3, 0.1]))):
        assert not torch.equal(model.loss(*text(whole)), plain)
    assert torch.equal(model.loss(*text(whole)), plain)
    with relaxed(model, Masks(layers=torch.ones(2))):
        torch.testing.assert_close(model.loss(*text(whole)), plain)


def test_a_loss_has_gradients_to_the_masks():
    whole = small(feed_forward={"type": "mlp", "intermediate_size": 40})
    model = build(whole, seed=5)
    live = [torch.full((size,), 0.6, requires_grad=True) for size in (32, 40, 4, 2)]
    with relaxed(model, Masks(*live)):
        loss = model.loss(*text(whole))
    for gradient in torch.autograd.grad(loss, live):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_masks_cannot_stand_for_is_told():
    layer_norm = small(norm={"type": "layer"})
    assert "LayerNorm" in why_not_relaxable(layer_norm, width=True, heads=True)
    assert why_not_relaxable(layer_norm, width=False, heads=True) is None
    all_heads = small(qk_norm=True, qk_norm_over="all_heads")
    assert "all heads" in why_not_relaxable(all_heads, width=True, heads=True)
    assert why_not_relaxable(small(), width=True, heads=True) is None

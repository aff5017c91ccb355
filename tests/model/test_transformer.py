import numpy as np
import pytest
import torch
from drawn_architectures import architectures, small
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from archsmith.architecture.tree import Architecture
from archsmith.errors import CheckpointError
from archsmith.model.cache import Cache
from archsmith.model.generation import generate
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build, load_numpy, to_numpy


def randomized(architecture: Architecture, *, seed: int = 1) -> torch.nn.Module:
    """A model whose norms and biases differ from their initial ones and zeros too."""
    model = build(architecture, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def draw_tokens(architecture: Architecture, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(architecture.vocab_size, shape, generator=generator)


@settings(max_examples=40, deadline=None)
@given(architecture=architectures)
def test_formula_counts_the_built_modules_parameters(architecture):
    model = build(architecture, seed=None, device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == architecture.num_params
    table = model.model.embed_tokens.weight.numel()
    head = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if name.startswith("lm_head")
    )
    assert table + head == architecture.num_embedding_params


@settings(max_examples=15, deadline=None)
@given(architecture=architectures)
def test_formula_counts_the_built_modules_matmul_flops(architecture):
    tokens = 9
    model = build(architecture, seed=0)
    with FlopCounterMode(display=False) as counter:
        model(draw_tokens(architecture, 1, tokens))
    # weights' products are mm and addmm; attention's own are batched or counted by no one
    products = sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if str(operation) in ("aten.mm", "aten.addmm")
    )
    mixing = sum(layer.mixer.mixing_flops(tokens) for layer in architecture.layers)
    expected = (architecture.flops_per_token(tokens) - mixing) * tokens
    assert products == expected


@settings(max_examples=15, deadline=None)
@given(architecture=architectures, tokens=st.integers(1, 12))
def test_formula_counts_the_built_modules_cache(architecture, tokens):
    cache = Cache()
    build(architecture, seed=0)(draw_tokens(architecture, 1, tokens), cache)
    held = sum(tensor.numel() for memory in cache.layers for tensor in memory.values())
    assert held * 2 == architecture.cache_bytes(tokens)
    assert cache.num_tokens == tokens


@settings(max_examples=20, deadline=None)
@given(architecture=architectures, changed=st.integers(1, 10))
def test_no_position_sees_the_future(architecture, changed):
    model = randomized(architecture)
    tokens = draw_tokens(architecture, 2, 11)
    other = tokens.clone()
    other[:, changed:] = (other[:, changed:] + 1) % architecture.vocab_size
    before, after = model(tokens)[:, :changed], model(other)[:, :changed]
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(architecture=architectures, first=st.integers(1, 10))
def test_cached_continuation_equals_the_full_forward_of_the_text_so_far(architecture, first):
    model = randomized(architecture)
    tokens = draw_tokens(architecture, 2, 13)
    cache = Cache()
    for start, stop in ((0, first), (first, 12), (12, 13)):
        piece = model(tokens[:, start:stop], cache)
        whole = model(tokens[:, :stop])[:, start:]
        torch.testing.assert_close(piece, whole, rtol=1e-4, atol=5e-5)


def test_window_hides_what_lies_further_back():
    tokens = draw_tokens(small(), 1, 12)
    other = tokens.clone()
    other[:, 0] = (other[:, 0] + 1) % 53
    layer = small(sliding_window=3).layers[0]
    one_layer = small().model_copy(update={"layers": (layer,)})
    model = randomized(one_layer)
    same = (model(tokens) == model(other)).all(-1)[0].tolist()
    # a position sees itself and the two before it
    assert same == [False] * 3 + [True] * 9


LONG_ROPE = {
    "original_max_position_embeddings": 9,
    "short_factor": (1.0, 1.1, 1.3, 2.0),
    "long_factor": (1.5, 3.0, 5.0, 9.0),
}


def pattern(**changes: object) -> Architecture:
    """A window, no positions, LongRoPE and blocks in one network, layer by layer."""
    kinds = [
        {"sliding_window": 5},
        {"rope": None},
        {"rope": {"long_rope": LONG_ROPE}, "sliding_window": 4},
        {"rope": None, "sliding_window": 7},
    ]
    layers = tuple(small(**kind, **changes).layers[0] for kind in kinds)
    return small().model_copy(update={"layers": layers})


@pytest.mark.parametrize("length", [3, 4, 5, 6, 7, 8, 9, 10, 17])
def test_layers_of_several_kinds_decode_as_they_read(length):
    model = randomized(pattern())
    tokens = draw_tokens(pattern(), 2, length)
    cache = Cache()
    for stop in range(1, length + 1):
        step = model(tokens[:, stop - 1 : stop], cache)
    torch.testing.assert_close(step, model(tokens)[:, -1:], rtol=1e-4, atol=5e-5)


def test_all_positions_of_a_text_beyond_the_switch_turn_by_the_long_factors():
    rope = {"theta": 50.0, "long_rope": {**LONG_ROPE, "long_attention_factor": 1.3}}
    only_long = {**LONG_ROPE, "short_factor": LONG_ROPE["long_factor"]}
    only_long |= {"short_attention_factor": 1.3, "long_attention_factor": 1.3}
    model, other = (
        randomized(small(rope={**rope, "long_rope": scaling}))
        for scaling in (rope["long_rope"], only_long)
    )
    tokens = draw_tokens(small(), 2, 10)
    torch.testing.assert_close(model(tokens), other(tokens))
    short = tokens[:, :9]
    assert (model(short) - other(short)).abs().max() > 0.1
    assert (model(short) - model(tokens)[:, :9]).abs().max() > 0.1


def test_text_is_kept_only_while_it_may_be_needed_again():
    tokens, cache = draw_tokens(small(), 1, 12), Cache()
    model = randomized(small(rope={"long_rope": LONG_ROPE}))
    model(tokens[:, :8], cache)
    assert torch.equal(cache.tokens, tokens[:, :8])
    model(tokens[:, 8:11], cache)
    assert cache.tokens is None
    assert {memory["keys"].shape[2] for memory in cache.layers} == {11}
    plain = Cache()
    randomized(small())(tokens, plain)
    assert plain.tokens is None


def test_factors_that_hold_at_every_length_never_expire_a_memory():
    always = {**LONG_ROPE, "long_factor": LONG_ROPE["short_factor"]}
    model, cache = randomized(small(rope={"long_rope": always})), Cache()
    # 64 positions on 9: the amplitude is the same on both sides too
    tokens = draw_tokens(small(), 2, 12)
    pieces = [model(tokens[:, :8], cache), model(tokens[:, 8:], cache)]
    assert not model.model.switch_lengths
    assert cache.tokens is None
    torch.testing.assert_close(torch.cat(pieces, 1), model(tokens), rtol=1e-4, atol=5e-5)


def test_multipliers_stand_where_they_are_said_to():
    tokens = draw_tokens(small(), 2, 9)
    plain = small(tie_word_embeddings=False, lm_head_bias=True)
    model = randomized(plain)
    scaled = build(
        plain.model_copy(
            update={"embedding_multiplier": 3.0, "residual_multiplier": 0.3, "logits_scaling": 5.0}
        )
    )
    weights = to_numpy(model)
    load_numpy(scaled, weights)
    expected = scaled(tokens)
    for name, array in weights.items():
        if "embed_tokens" in name:
            array *= 3.0
        if "o_proj" in name or "down_proj" in name:
            array *= 0.3
        if "lm_head" in name:
            array /= 5.0
    load_numpy(model, weights)
    torch.testing.assert_close(model(tokens), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rope", [{"long_rope": LONG_ROPE}, None])
def test_generation_goes_on_past_the_switch(rope):
    model = randomized(small(rope=rope, sliding_window=6))
    tokens = draw_tokens(small(), 2, 5)
    continued = generate(model, tokens, max_new_tokens=9)
    for _ in range(9):
        tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(continued, tokens[:, 5:])


def test_greedy_generation_takes_the_likeliest_token_of_the_full_forward():
    model = randomized(small())
    tokens = draw_tokens(small(), 2, 5)
    continued = generate(model, tokens, max_new_tokens=7)
    for _ in range(7):
        tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(continued, tokens[:, 5:])


def test_sampling_repeats_by_seed_and_stays_within_top_k():
    model = randomized(small())
    tokens = draw_tokens(small(), 1, 5)
    draws = [
        generate(model, tokens, max_new_tokens=9, temperature=1.5, top_k=2, seed=seed)
        for seed in (3, 3, 4)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    likely = model(tokens)[0, -1].topk(2).indices
    assert draws[0][0, 0] in likely


def test_same_seed_same_weights_and_another_seed_other_weights():
    first, second, third = (to_numpy(build(small(), seed=seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(
        first["model.layers.0.mlp.up_proj.weight"], third["model.layers.0.mlp.up_proj.weight"]
    )


@pytest.mark.parametrize("tied", [True, False])
def test_tying_shares_one_tensor_after_building(tied):
    model = build(small(tie_word_embeddings=tied))
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert ("lm_head.weight" in to_numpy(model)) != tied


@settings(max_examples=10, deadline=None)
@given(architecture=architectures)
def test_weights_travel_through_numpy_unchanged(architecture):
    source, target = randomized(architecture), build(architecture, seed=9)
    load_numpy(target, to_numpy(source))
    tokens = draw_tokens(architecture, 1, 6)
    assert torch.equal(source(tokens), target(tokens))


def test_weights_of_another_architecture_are_refused_by_name():
    weights = to_numpy(build(small()))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        load_numpy(build(small(tie_word_embeddings=False)), weights)
    with pytest.raises(CheckpointError, match=r"q_proj\.weight: this architecture has shape"):
        load_numpy(build(small(head_dim=4)), weights)


@settings(max_examples=15, deadline=None)
@given(architecture=architectures)
def test_scored_nats_are_the_logits_cross_entropy(architecture):
    model = randomized(architecture)
    stream = draw_tokens(architecture, 3, 9)
    nats = model.token_nats(stream[:, :-1], stream[:, 1:])
    logits = model(stream[:, :-1])
    expected = -torch.log_softmax(logits, -1).gather(2, stream[:, 1:, None]).squeeze(2)
    torch.testing.assert_close(nats, expected.detach(), rtol=1e-4, atol=1e-5)
    loss = model.loss(stream[:, :-1], stream[:, 1:], PLAIN)
    torch.testing.assert_close(loss, expected.mean(), rtol=1e-4, atol=1e-5)

"""Block-sparse attention against the published pattern, written with a dense mask in float64."""

import math
from functools import lru_cache
from itertools import product

import pytest
import torch
from drawn_architectures import small

from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.model.cache import Cache
from archsmith.model.kernels import fast, plain
from archsmith.model.kernels.block_pattern import BlockPattern, visible
from archsmith.model.kernels.block_sparse_attention import tile_at
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build, to_numpy

PATTERNS = [
    # heads, key heads, block, local blocks, stride
    (4, 2, 3, 1, 2),
    (2, 2, 5, 2, 8),
    (3, 1, 4, 2, 3),
    (6, 3, 1, 3, 4),
    (2, 1, 7, 3, 1),
]


def pattern_of(spec):
    return BlockPattern(
        spec.block_size,
        spec.num_local_blocks,
        spec.vertical_stride,
        max(1, spec.vertical_stride // spec.num_attention_heads),
    )


def mixer(heads, kv_heads, block_size, num_local_blocks, vertical_stride):
    return BlockSparseAttention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=6,
        block_size=block_size,
        num_local_blocks=num_local_blocks,
        vertical_stride=vertical_stride,
    )


def seen(spec, head, query, key):
    """The published rule: near blocks, and one in so many, shifted from head to head."""
    query_block, key_block = query // spec.block_size, key // spec.block_size
    if key > query:
        return False
    if query_block - key_block < spec.num_local_blocks:
        return True
    shift = head * max(1, spec.vertical_stride // spec.num_attention_heads)
    return (key_block + 1 + shift) % spec.vertical_stride == 0


@lru_cache
def unseen(spec, heads, tokens):
    """Minus infinity where a head does not look, position by position."""
    hidden = torch.zeros(heads, tokens, tokens, dtype=torch.float64)
    for head, query, key in product(range(heads), range(tokens), range(tokens)):
        if not seen(spec, head, query, key):
            hidden[head, query, key] = -math.inf
    return hidden


def reference(q, k, v, spec, scale):
    """Softmax over every position of a dense mask."""
    heads, tokens = q.shape[1:3]
    k, v = (part.repeat_interleave(heads // k.shape[1], dim=1) for part in (k, v))
    scores = q @ k.transpose(2, 3) * scale + unseen(spec, heads, tokens)
    return torch.softmax(scores, dim=-1) @ v


@pytest.mark.parametrize("shape", PATTERNS)
def test_mask_is_the_specs_pattern(shape):
    spec = mixer(*shape)
    mask = visible(
        pattern_of(spec), num_heads=shape[0], num_queries=5, num_keys=29, device=torch.device("cpu")
    )
    size = spec.block_size
    for head in range(shape[0]):
        for row, query in enumerate(range(24, 29)):
            expected = [
                spec.sees(head, query // size, key // size) and key <= query for key in range(29)
            ]
            assert mask[head, row].tolist() == expected


@pytest.mark.parametrize("tokens", [1, 47])
@pytest.mark.parametrize("shape", PATTERNS)
@pytest.mark.parametrize("kernels", [plain, fast], ids=["plain", "fast"])
def test_kernels_are_the_dense_mask_in_float64(kernels, shape, tokens, monkeypatch):
    # small tiles: several of them, of several blocks each
    monkeypatch.setattr("archsmith.model.kernels.block_sparse_attention.TILE_TOKENS", 10)
    tile_at.cache_clear()
    spec = mixer(*shape)
    torch.manual_seed(0)
    q = torch.randn(2, shape[0], tokens, 6, requires_grad=True)
    k, v = (torch.randn(2, shape[1], tokens, 6, requires_grad=True) for _ in range(2))
    direction = torch.randn(q.shape)
    found = []
    for dtype in (torch.float64, torch.float32):
        parts = [part.to(dtype) for part in (q, k, v)]
        if dtype == torch.float64:
            out = reference(*parts, spec, 0.3)
        else:
            out = kernels.attend_blocks(*parts, pattern_of(spec), 0.3)
        found.append([out, *torch.autograd.grad((out * direction).sum(), (q, k, v))])
    tile_at.cache_clear()
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-4, atol=1e-5)


def test_fast_path_computes_no_blocks_that_no_query_sees():
    pattern = BlockPattern(block_size=64, num_local_blocks=2, vertical_stride=8, head_shift=1)
    tile = tile_at(pattern, num_heads=8, num_tokens=4096, start=3968)
    # 61 blocks are further away than the near ones; a head's stride hits one in eight
    assert tile.near == slice(3904, 4096)
    assert tile.far.shape == (8, 8)
    assert tile.hidden.shape == (8, 128, 8 * 64 + 192)


def phi_3_small(**changes):
    """Dense and block-sparse layers by turns, muP multipliers, GEGELU: Phi-3-small in little."""
    attention = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    attention |= {"qkv_bias": True, "output_bias": True, "attention_multiplier": 1 / 8}
    sparse = {"block_size": 3, "num_local_blocks": 2, "vertical_stride": 3}
    feed_forward = {"type": "gated_mlp", "intermediate_size": 24, "activation": "gegelu"}
    feed_forward |= {"activation_limit": 1.5, "bias": True}
    rest = {"feed_forward": feed_forward, "norm": {"type": "layer"}}
    layers = [
        {"mixer": {"type": "attention", **attention}, **rest},
        {"mixer": {"type": "block_sparse_attention", **attention, **sparse}, **rest},
    ]
    return small(
        layers=layers,
        final_norm={"type": "layer"},
        embedding_multiplier=10.0,
        logits_scaling=8.0,
        **changes,
    )


def described_model(weights, architecture, tokens):
    """Phi-3-small as its authors describe it, in float64, from a dictionary of weights."""

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / spread * weights[name + ".weight"] + weights[name + ".bias"]

    def heads(x, number):
        return x.unflatten(-1, (number, -1)).transpose(1, 2)

    def turn(x):
        half = x.shape[-1] // 2
        frequencies = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * frequencies
        pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(
            torch.ones_like(angles), angles
        )
        return torch.cat((pairs.real, pairs.imag), dim=-1)

    x = 10.0 * weights["model.embed_tokens.weight"][tokens]
    for index, layer in enumerate(architecture.layers):
        name, spec = f"model.layers.{index}", layer.mixer
        normed = norm(x, name + ".input_layernorm")
        q, k, v = (
            heads(linear(normed, f"{name}.self_attn.{part}_proj"), number)
            for part, number in (("q", 4), ("k", 2), ("v", 2))
        )
        if spec.type == "attention":
            spec = mixer(4, 2, tokens.shape[1], 1, 1)  # one block: plain causal attention
        mixed = reference(turn(q), turn(k), v, spec, 1 / 8)
        x = x + linear(mixed.transpose(1, 2).flatten(2), name + ".self_attn.o_proj")
        normed = norm(x, name + ".post_attention_layernorm")
        gate = linear(normed, name + ".mlp.gate_proj").clamp(max=1.5)
        up = linear(normed, name + ".mlp.up_proj").clamp(-1.5, 1.5)
        x = x + linear(gate * torch.sigmoid(1.702 * gate) * (up + 1), name + ".mlp.down_proj")
    return norm(x, "model.norm") @ weights["model.embed_tokens.weight"].T / 8.0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build(phi_3_small(), seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model


@pytest.mark.parametrize("kernels", [PLAIN, FAST], ids=["plain", "fast"])
def test_phi_3_small_is_the_described_model_with_its_gradients(model, kernels):
    tokens = torch.randint(53, (2, 24), generator=torch.Generator().manual_seed(3))
    weights = {
        name: torch.from_numpy(array).double().requires_grad_()
        for name, array in to_numpy(model).items()
    }
    logits = described_model(weights, model.architecture, tokens[:, :-1])
    torch.testing.assert_close(model(tokens[:, :-1]).double(), logits, rtol=1e-4, atol=1e-5)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    model.zero_grad()
    loss = model.loss(tokens[:, :-1], tokens[:, 1:], kernels)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad.double(), weights[name].grad, rtol=1e-3, atol=2e-5, msg=name
        )


def test_phi_3_small_decodes_as_it_reads(model):
    tokens = torch.randint(53, (2, 24), generator=torch.Generator().manual_seed(4))
    cache = Cache()
    pieces = [model(tokens[:, start:stop], cache) for start, stop in ((0, 5), (5, 13))]
    pieces += [model(tokens[:, step : step + 1], cache) for step in range(13, 24)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(tokens), rtol=1e-4, atol=1e-5)

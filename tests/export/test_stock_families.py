"""What transformers' own classes compute, ours compute from their files.

For every family: logits, the gradient of every parameter, generation with a cache, all over both
sides of LongRoPE's switch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from stock_models import FAMILIES, SWITCH, Stock, build_stock, longrope
from torch.nn.functional import cross_entropy

import archsmith
from archsmith.export.reading.folder import read_huggingface
from archsmith.model.generation import generate
from archsmith.model.transformer import Cache, Transformer

transformers = pytest.importorskip("transformers")

NUM_TOKENS = 2 * SWITCH + 7
# prompts of several tokens, then one by one over LongRoPE's switch, then several again
STEPS = (5, SWITCH, SWITCH + 1, SWITCH + 2, NUM_TOKENS)


class Pair(NamedTuple):
    """A stock model, ours read from what it saved, and tokens for both."""

    family: str
    stock: Any
    ours: Transformer
    tokens: torch.Tensor

    def stock_logits(self, num_tokens: int) -> torch.Tensor:
        return self.stock(input_ids=self.tokens[:, :num_tokens], use_cache=False).logits


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    transformers.utils.logging.disable_progress_bar()
    stock = build_stock(FAMILIES[request.param])
    return saved(request.param, stock, tmp_path_factory.mktemp("stock"))


def saved(family, stock, folder):
    stock.save_pretrained(folder)
    tokens = torch.randint(61, (2, NUM_TOKENS), generator=torch.Generator().manual_seed(1))
    return Pair(family, stock, archsmith.load_model(folder), tokens)


def assert_close(found, expected):
    largest = float(expected.abs().max())
    assert float((found - expected).abs().max()) <= 1e-5 * largest


@torch.no_grad()
def test_logits_agree(pair):
    for num_tokens in (SWITCH, NUM_TOKENS):
        assert_close(pair.ours(pair.tokens[:, :num_tokens]), pair.stock_logits(num_tokens))


def test_gradients_agree(pair, tmp_path):
    inputs, targets = pair.tokens[:, :-1], pair.tokens[:, 1:]
    pair.ours.zero_grad()
    pair.ours.loss(inputs, targets).backward()
    logits = pair.stock_logits(NUM_TOKENS - 1)
    cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    with gradients_as_weights(pair.stock):
        # they take the way that weights take: a file, read back under canonical names
        pair.stock.save_pretrained(tmp_path)
    expected = read_huggingface(tmp_path).weights
    for name, parameter in pair.ours.named_parameters():
        if not parameter.requires_grad:
            continue
        # a weight that took up a factor has a gradient smaller by it; reading multiplies again
        factors = FAMILIES[pair.family].factors
        wanted = expected[name] / factors.get(name.split(".", 3)[-1], 1.0) ** 2
        difference = np.abs(parameter.grad.numpy() - wanted).max()
        assert difference <= 2e-5 * np.abs(wanted).max() + 1e-8, name


@contextmanager
def gradients_as_weights(stock: Any) -> Iterator[None]:
    kept = {name: parameter.data for name, parameter in stock.named_parameters()}
    for name, parameter in stock.named_parameters():
        if not name.endswith("sinks"):  # those stay off
            grad = parameter.grad
            parameter.data = torch.zeros_like(parameter) if grad is None else grad
    yield
    for name, parameter in stock.named_parameters():
        parameter.data, parameter.grad = kept[name], None


@torch.no_grad()
def test_generation_with_a_cache_equals_the_full_forward(pair):
    cache, start = Cache(), 0
    for stop in STEPS:
        found = pair.ours(pair.tokens[:, start:stop], cache)
        assert_close(found, pair.stock_logits(stop)[:, start:])
        start = stop


@pytest.mark.parametrize("family", ["phi", "phi3 longrope", "mixtral"])
def test_greedy_continuations_are_those_of_transformers(family, tmp_path):
    two = saved(family, build_stock(FAMILIES[family]), tmp_path)
    prompt = two.tokens[:1, : SWITCH - 3]
    expected = two.stock.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False
    )
    found = generate(two.ours, prompt, max_new_tokens=6)
    assert found.tolist() == expected[:, prompt.shape[1] :].tolist()


def test_parameters_are_counted_alike(pair):
    stock = dict(pair.stock.named_parameters())
    counted = sum(p.numel() for name, p in stock.items() if not name.endswith("sinks"))
    # what balances a sigmoid router is a buffer there
    counted += sum(b.numel() for name, b in pair.stock.named_buffers() if name.endswith("_bias"))
    assert pair.ours.architecture.num_params == counted


@torch.no_grad()
def test_phimoe_takes_the_long_factors_past_the_switch(tmp_path):
    """transformers 5.23 never does, against the published code of Phi-3.5-MoE."""
    scaling = longrope(6, short_mscale=1.1, long_mscale=1.3)
    stock = build_stock(Stock("Phimoe", {"num_local_experts": 4, "rope_parameters": scaling}))
    two = saved("phimoe", stock, tmp_path)
    assert_close(two.ours(two.tokens[:, :SWITCH]), two.stock_logits(SWITCH))
    rotary = stock.model.rotary_emb
    compute = rotary.rope_init_fn
    rotary.rope_init_fn = lambda config: compute(config, seq_len=NUM_TOKENS)
    assert_close(two.ours(two.tokens), two.stock_logits(NUM_TOKENS))


def test_shards_and_half_precision_are_read(tmp_path):
    stock = build_stock(FAMILIES["mixtral"])
    whole = saved("mixtral", stock, tmp_path / "whole").ours.state_dict()
    stock.to(torch.bfloat16).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 2
    for name, found in read_huggingface(tmp_path / "shards").weights.items():
        assert torch.equal(torch.from_numpy(found), whole[name].bfloat16().float()), name

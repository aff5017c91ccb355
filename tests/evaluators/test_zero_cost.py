"""Zero-cost proxies against closed forms and definitions written down again."""

import math
import random
import re
from pathlib import Path

import pytest
import torch

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError
from archsmith.evaluators.base import Request
from archsmith.evaluators.zero_cost import (
    PROXIES,
    ZeroCost,
    head_confidence,
    jacobian_covariance,
    proxies,
    synaptic_saliency,
    synflow,
)
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rank-without-training.md"
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ate", "one", "fish", "while", "dogs", "ran")
ATTENTION = {"type": "attention", "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
GATED = {"type": "gated_mlp", "intermediate_size": 24}
EXPERTS = {
    "type": "mixture_of_experts", "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 12,
}  # fmt: skip
LAYERS = {
    "gated": {"mixer": ATTENTION, "feed_forward": GATED},
    "experts": {"mixer": ATTENTION, "feed_forward": EXPERTS},
    "phi": {
        "mixer": {**ATTENTION, "qkv_bias": True},
        "feed_forward": {"type": "mlp", "intermediate_size": 24, "activation": "relu2"},
        "norm": {"type": "layer"},
        "residual": "parallel",
    },
    "window": {
        "mixer": {**ATTENTION, "sliding_window": 5, "qk_norm": True}, "feed_forward": GATED,
    },
    "blocks": {
        "mixer": {
            **ATTENTION, "type": "block_sparse_attention", "block_size": 4,
            "num_local_blocks": 1, "vertical_stride": 2,
        },
        "feed_forward": GATED,
    },
}  # fmt: skip


def tiny(kind: str = "gated", *, depth: int = 2, **changes: object) -> Architecture:
    tree = {"hidden_size": 16, "vocab_size": 31, "max_position_embeddings": 24}
    return Architecture.model_validate({**tree, "layers": [LAYERS[kind]] * depth, **changes})


def batch(vocab_size: int = 31, *, rows: int = 6, tokens: int = 17) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, vocab_size, (rows, tokens + 1), generator=generator)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_network_has_every_proxy(kind: str) -> None:
    found = proxies(tiny(kind), batch())
    assert tuple(found) == PROXIES
    assert all(math.isfinite(value) for value in found.values())
    assert 1 < found["proxy_head_confidence"] < 17
    assert found == proxies(tiny(kind), batch())
    assert found != proxies(tiny(kind), batch(), seed=1)


def test_counts_are_the_architectures() -> None:
    dense, sparse = tiny(), tiny("experts")
    found = proxies(sparse, batch())
    assert found["proxy_num_params"] == sparse.num_params
    assert found["proxy_num_non_embedding_params"] == sparse.num_non_embedding_params
    # all four experts count, though a token uses two: what LiteTransformerSearch ranks by
    assert sparse.num_active_params < sparse.num_params
    assert found["proxy_decoder_params"] == sparse.num_non_embedding_params - 16
    assert proxies(dense, batch())["proxy_decoder_params"] == dense.num_non_embedding_params - 16


def test_saliency_is_weight_times_gradient_of_the_loss() -> None:
    model, text = build(tiny(), seed=3), batch()
    tokens, targets = text[:, :-1], text[:, 1:]
    found = synaptic_saliency(model, tokens, targets)
    model.zero_grad()
    logits = model(tokens)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    expected = sum((one * one.grad).abs().sum().item() for one in model.parameters())
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["gated", "window", "blocks"])
def test_even_attention_has_confidence_one_at_any_number_of_tokens(kind: str) -> None:
    text, model = batch(), build(tiny(kind))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "k_proj" in name or "k_norm" in name:
                parameter.zero_()
    for num_tokens in (3, 7, 17):
        found = head_confidence(model, text[:, :num_tokens], text[:, 1 : num_tokens + 1])
        assert found == pytest.approx(1, rel=1e-5)


def test_confidence_is_the_largest_weight_beside_even_attentions() -> None:
    """One layer of one head without rotation, its attention written down."""
    attention = {**ATTENTION, "num_attention_heads": 1, "rope": None}
    layer = {"mixer": attention, "feed_forward": GATED}
    model, text = build(tiny(layers=[layer]), seed=2), batch()
    found = head_confidence(model, text[:, :-1], text[:, 1:])
    with torch.no_grad():
        block = model.model.layers[0]
        hidden = block.input_layernorm(model.model.embed_tokens(text[:, :-1]), PLAIN)
        q, k = block.self_attn.q_proj(hidden), block.self_attn.k_proj(hidden)
        later = torch.ones(17, 17).triu(1).bool()
        weights = (q @ k.mT / 8**0.5).masked_fill(later, -math.inf).softmax(-1)
    even = sum(1 / seen for seen in range(2, 18)) / 16
    assert found == pytest.approx(weights.amax(-1)[:, 1:].mean().item() / even, rel=1e-4)


def test_synflow_by_hand_of_a_network_without_depth_effects() -> None:
    """The flow through one layer, written down as matrices of absolute weights."""
    architecture = tiny(depth=1, tie_word_embeddings=False)
    weights = {
        name: parameter.detach().double().abs()
        for name, parameter in build(architecture, seed=5).named_parameters()
    }
    layer = "model.layers.0."
    x = torch.ones(16, dtype=torch.float64)
    v = weights[layer + "self_attn.v_proj.weight"] @ x
    mixed = weights[layer + "self_attn.o_proj.weight"] @ v.repeat(2)
    x1 = x + mixed
    gate = weights[layer + "mlp.gate_proj.weight"] @ x1
    up = weights[layer + "mlp.up_proj.weight"] @ x1
    down = weights[layer + "mlp.down_proj.weight"]
    written = down @ (gate * up).sqrt()
    head = weights["lm_head.weight"].sum(0)
    ahead = head + head @ down @ torch.diag((gate * up).sqrt()) @ (
        0.5 * weights[layer + "mlp.gate_proj.weight"] / gate[:, None]
        + 0.5 * weights[layer + "mlp.up_proj.weight"] / up[:, None]
    )
    # a tensor's share is what flows through it: o and v carry the same, gate and up half each
    flow = head @ (x1 + written) + 2 * (ahead @ mixed) + 2 * (head @ written)
    found = synflow(architecture, seed=5)
    assert found == pytest.approx(math.log(flow.item()), abs=1e-9)


def test_synflow_stays_finite_in_deep_networks() -> None:
    for kind in ("gated", "phi", "experts"):
        assert math.isfinite(synflow(tiny(kind, depth=60), seed=0))


def test_jacobians_that_go_together_score_less() -> None:
    model, text = build(tiny()), batch()[:, :-1]
    apart = jacobian_covariance(model, text)
    together = jacobian_covariance(model, text[:1].repeat(6, 1))
    assert together < apart
    # six equal rows: eigenvalues 6 and five zeros, as Mellor et al. score them
    k = 1e-5
    expected = -(math.log(6 + k) + 1 / (6 + k)) - 5 * (math.log(k) + 1 / k)
    assert together == pytest.approx(expected, rel=1e-3)


def test_the_network_is_left_as_it_was() -> None:
    model, text = build(tiny()), batch()
    before = model(text)
    jacobian_covariance(model, text)
    head_confidence(model, text[:, :-1], text[:, 1:])
    assert torch.equal(model(text), before)


def test_synflow_does_not_depend_on_the_number_of_tokens() -> None:
    found = [proxies(tiny(), batch(tokens=count))["proxy_synflow"] for count in (3, 17)]
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a prepared corpus and a tokenizer."""
    folder = tmp_path_factory.mktemp("zero-cost")
    (folder / "text").mkdir()
    rng = random.Random(0)
    for number in range(40):
        lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(12)]
        (folder / "text" / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    config = CorpusConfig(
        files=(str(folder / "text"),), validation_fraction=0.1, test_fraction=0.1,
        minimum_split_bytes=256, near_duplicates=False,
    )  # fmt: skip
    corpus = Corpus.prepare(config, folder / "corpus")
    Tokenizer.train(corpus, vocab_size=280).save(folder / "tokenizer.json")
    return folder


def evaluator(folder: Path, *, context_tokens: int) -> ZeroCost:
    found = registry.find("evaluators", "zero_cost")(
        corpus=folder / "corpus", tokenizer=folder / "tokenizer.json",
        token_files=folder / "tokens", num_sequences=3, context_tokens=context_tokens,
    )  # fmt: skip
    assert isinstance(found, ZeroCost)
    return found


def request(architecture: Architecture, folder: Path) -> Request:
    return Request(architecture=architecture, rung=None, seed=1, checkpoint_dir=folder / "job")


def test_networks_of_all_vocabularies_read_equally_many_tokens(text: Path) -> None:
    for vocab_size in (257, 270, 280):
        asked = request(tiny(vocab_size=vocab_size), text)
        result = evaluator(text, context_tokens=20).evaluate(asked)
        assert result.details["batch"] == [3, 21]
        assert result == evaluator(text, context_tokens=20).evaluate(asked)


def test_every_proxy_comes_with_its_negative_for_a_search(text: Path) -> None:
    settings = evaluator(text, context_tokens=20)
    found = settings.evaluate(request(tiny(vocab_size=270), text)).metrics
    assert set(found) == set(settings.metrics())
    assert all(found[f"minus_{name}"] == -found[name] for name in PROXIES)


def test_a_context_shorter_than_the_others_is_refused(text: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 25, and one has a context of 24; give that"):
        evaluator(text, context_tokens=25).evaluate(request(tiny(vocab_size=270), text))


def test_the_largest_proxy_is_searched_for_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "notes").mkdir()
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=5)) for _ in range(400)]
    for number in range(40):
        page = " ".join(rng.choices(words, k=1000))
        (tmp_path / "notes" / f"{number}.txt").write_text(page, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    small = "validation_fraction=0.1, test_fraction=0.1, near_duplicates=False"
    block = block.replace('directory="work/corpus"', f'directory="work/corpus", {small}')
    exec(block.replace("n_trials=200", 'n_trials=4, executor="inline", threads=1'), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    confidences = [float(line[0]) for line in lines]
    assert confidences == sorted(confidences, reverse=True)
    assert len(confidences) > 1

"""Memory of training: exact where it is counted, near what processes grew by where it is not."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from archsmith.cost import _kept_for_backward, train_memory_bytes
from archsmith.cost.base import CostContext, TrainingSettings, static_metrics
from archsmith.cost.train_memory_bytes import branch_memory_bytes, growth_bytes
from archsmith.presets import scaled_llama
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.train.recipe import Recipe

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "train_memory.py"
_FAMILIES = ("qwen3", "phi", "qwen2_moe", "phi_moe", "phi_3_small", "granite_swa")


def drawn(family, index=0):
    space = presets.tiny(families=(family,), vocabularies=(Vocabulary(300, 96),))
    return space.sample(random.Random(index))


def test_the_settings_are_the_default_recipes():
    recipe, settings = Recipe(), TrainingSettings()
    assert settings.optimizer == recipe.optimizer
    assert settings.batch_tokens == recipe.batch_tokens


def test_constants_are_those_of_the_code_they_speak_of():
    pytest.importorskip("torch")
    from archsmith.device.training_choice import KernelChoice
    from archsmith.model.kernels import block_sparse_attention, head
    from archsmith.train import scoring
    from archsmith.train.optimizers import muon

    assert train_memory_bytes.SCORE_TOKENS == scoring._BATCH_TOKENS
    assert train_memory_bytes.CHUNK_ELEMENTS == head.CHUNK_ELEMENTS
    assert train_memory_bytes.MUON_ELEMENTS == muon._BATCH_ELEMENTS
    assert KernelChoice().query_block == _kept_for_backward.QUERY_BLOCK
    assert KernelChoice().longest_blocked == _kept_for_backward.LONGEST_BLOCKED
    assert block_sparse_attention.TILE_TOKENS == _kept_for_backward.QUERY_BLOCK
    for vocab_size in (300, 4095, 4096, 20_000):
        assert train_memory_bytes._logit_rows(vocab_size) == head.chunk_rows(
            vocab_size, KernelChoice()
        )


@pytest.mark.parametrize(
    ("family", "optimizer"),
    [("llama", "muon"), ("phi", "muon"), ("qwen2_moe", "muon"), ("phi_moe", "adamw")],
)
def test_weights_gradients_and_state_are_counted_exactly(family, optimizer):
    torch = pytest.importorskip("torch")
    from archsmith.train.learner import Learner

    architecture = drawn(family)
    learner = Learner(
        architecture,
        recipe=Recipe(optimizer=optimizer, dtype="float32"),
        seed=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    held = [*learner.masters().values(), *learner.masters().values()]  # gradients are as large
    counted = sum(tensor.nbytes for tensor in [*held, *learner.optimizer_state().values()])
    context = CostContext(training=TrainingSettings(optimizer=optimizer))
    predicted = train_memory_bytes._static_bytes(architecture, context)
    # a correction bias has neither state
    assert counted <= predicted <= counted * 1.01


@pytest.mark.parametrize("family", _FAMILIES)
def test_what_layers_keep_is_what_autograd_saves(family):
    torch = pytest.importorskip("torch")
    from archsmith.model.transformer import build
    from archsmith.train.balancing import new_routing
    from archsmith.train.computation import routes

    architecture = drawn(family, 3)
    model = build(architecture, seed=0)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    batch, tokens = 5, 96
    text = torch.randint(architecture.vocab_size, (batch, tokens))
    routing = None
    if routes(model):
        routing = new_routing(seed=0, number=0, device=torch.device("cpu"))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.loss(text, text, routing=routing)
    found = sum(storage.nbytes() for storage in saved.values())
    hidden_size = architecture.hidden_size
    head = 4 * (architecture.vocab_size * hidden_size + batch * tokens * hidden_size)
    last = 4 * 2 * batch * tokens * hidden_size
    layers = sum(
        _kept_for_backward.kept_bytes(layer, hidden_size, batch=batch, tokens=tokens, width=4)
        for layer in architecture.layers
    )
    assert loss > 0
    assert 0.9 < (layers + last + head) / found < 1.1


def test_more_of_anything_takes_more():
    architecture = scaled_llama(128, vocab_size=1024, context_tokens=256, quantization="Q8_0")

    def grown(architecture=architecture, **settings):
        return growth_bytes(architecture, CostContext(training=TrainingSettings(**settings)))

    assert grown(batch_tokens=4096) > grown(batch_tokens=2048) > grown()
    assert grown(optimizer="adamw", batch_tokens=256) > grown(batch_tokens=256) - 1
    wider = scaled_llama(256, vocab_size=1024, context_tokens=256, quantization="Q8_0")
    assert grown(wider) > grown()
    context = CostContext()
    assert (
        branch_memory_bytes(wider, context) > static_metrics(wider, context)["train_memory_bytes"]
    )
    longer = CostContext(context_length=1024)
    assert growth_bytes(wider, longer) > growth_bytes(wider, context)


def compare(*arguments):
    if not Path("/proc/self/status").exists():
        pytest.skip("resident sets are read from Linux's /proc")
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(_BENCHMARK), "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)["errors"]


def test_processes_grow_as_predicted():
    """Small networks, whose growth one hole of the C library changes by several percent: the error
    of the same network went from -8 to -15 % between runs. The promised 10 % is tested on twenty.
    """
    errors = compare("--count", "3", "--seed", "5", "--max-params", "1M")
    bounds = {"training": 0.30, "rung": 0.20, "resident": 0.15}
    for kind, bound in bounds.items():
        found = errors[kind]
        assert max(abs(found["least"]), abs(found["most"])) < bound, (kind, found)


@pytest.mark.slow
def test_twenty_processes_grow_as_predicted():
    errors = compare("--count", "20", "--seed", "7", "--max-params", "6M", "--branch")
    assert errors["training"]["share_within_promised"] >= 0.75
    assert errors["training"]["median_size"] < 0.07
    assert errors["resident"]["share_within_promised"] >= 0.75

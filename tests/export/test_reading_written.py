"""What archsmith writes for transformers, it reads again."""

import random

import numpy as np
import pytest
from export_helpers import CARRIED, granite_swa, make_tokenizer, random_weights
from safetensors.numpy import load_file, save_file

from archsmith import spaces
from archsmith.errors import ConfigError
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.reading.folder import read_huggingface

# carriers that hold a point by zeros or copies: missing biases, key-value heads, narrower layers
GROWN = {
    "Granite-SWA with multipliers",
    "Llama with biases",
    "MiMo-V2-Flash",
    "Padded Llama",
    "Padded Qwen3",
}


def exported(folder, architecture):
    """The folder that archsmith itself writes. Returns the weights."""
    weights = random_weights(architecture)
    HUGGINGFACE.write(
        folder,
        weights=weights,
        architecture=architecture,
        tokenizer=make_tokenizer(architecture.vocab_size),
        metadata={},
    )
    return weights


@pytest.mark.parametrize("family", sorted(set(CARRIED) - GROWN))
def test_what_is_written_is_read_again(family, tmp_path):
    architecture = CARRIED[family]()
    weights = exported(tmp_path / "model", architecture)
    found = read_huggingface(tmp_path / "model")
    assert found.architecture == architecture.model_copy(update={"quantization": "F16"})
    assert list(found.weights) == list(weights)
    for name, weight in weights.items():
        assert found.weights[name].dtype == np.float32
        assert np.array_equal(found.weights[name], weight), name


@pytest.mark.parametrize("family", sorted(GROWN))
def test_a_grown_network_is_read_as_a_larger_one_that_computes_the_same(family, tmp_path):
    architecture = CARRIED[family]()
    weights = exported(tmp_path / "model", architecture)
    found = read_huggingface(tmp_path / "model")
    assert found.architecture.num_params > architecture.num_params
    assert_same_network((architecture, weights), found)


def assert_same_network(*models, num_tokens=30):
    import torch

    from archsmith.model.transformer import build, load_numpy

    tokens = torch.arange(2 * num_tokens).view(2, num_tokens)
    logits = []
    for architecture, weights in models:
        model = build(architecture, seed=None)
        load_numpy(model, weights)
        with torch.no_grad():
            logits.append(model(tokens))
    largest = float(logits[0].abs().max())
    assert float((logits[0] - logits[1]).abs().max()) < 1e-5 * largest


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["portable", "mixed", "moe"])
def test_random_networks_are_read_again(preset, tmp_path):
    vocabularies = ((258, 64), (512, 48))
    space = (
        spaces.tiny(preset=preset, vocabularies=vocabularies).exportable_to(("huggingface",)).space
    )
    rng = random.Random(0)
    for number in range(40):
        architecture = space.sample(rng)
        folder = tmp_path / str(number)
        weights = exported(folder, architecture)
        assert_same_network((architecture, weights), read_huggingface(folder))


def test_attention_sinks_are_refused_unless_they_are_off(tmp_path):
    folder = tmp_path / "model"
    exported(folder, granite_swa())
    assert read_huggingface(folder).weights
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.sinks"][0] = 0.0
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"layers\.1\.self_attn\.sinks holds attention sinks"):
        read_huggingface(folder)

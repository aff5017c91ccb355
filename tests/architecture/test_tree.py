"""Counts of an architecture against sums written out by hand."""

import os
import pickle
import subprocess
import sys

import pytest
from pydantic import ValidationError

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer


def architecture(**changes):
    layer = Layer(
        mixer=Attention(num_attention_heads=4, num_key_value_heads=2, head_dim=8),
        feed_forward=GatedMlp(intermediate_size=96),
    )
    fields = {
        "hidden_size": 32,
        "vocab_size": 260,
        "max_position_embeddings": 64,
        "layers": (layer,) * 3,
        **changes,
    }
    return Architecture(**fields)


def test_parameters_of_a_llama_like_network():
    attention = 32 * 32 + 2 * 32 * 16 + 32 * 32
    per_layer = attention + 3 * 32 * 96 + 2 * 32
    assert architecture().num_non_embedding_params == 3 * per_layer + 32
    assert architecture().num_params == 3 * per_layer + 32 + 260 * 32
    assert architecture(tie_word_embeddings=False).num_embedding_params == 2 * 260 * 32


def test_parameters_of_a_phi_like_layer():
    layer = Layer(
        mixer=Attention(
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=8,
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=Mlp(intermediate_size=128),
        norm=Norm(type="layer"),
        residual="parallel",
    )
    attention = 4 * (32 * 32 + 32)
    assert layer.num_params(32) == attention + 2 * 32 * 128 + 128 + 32 + 64


def test_flops_count_the_head_once_and_half_the_square_of_attention():
    tree = architecture()
    weights = 260 * 32 + 3 * (32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 96)
    seen_on_average = (64 + 1) / 2
    assert tree.flops_per_token() == 2 * weights + 3 * int(4 * 32 * seen_on_average)


def test_a_window_bounds_what_is_attended_to():
    mixer = Attention(num_attention_heads=4, num_key_value_heads=4, head_dim=8, sliding_window=5)
    seen = sum(min(position + 1, 5) for position in range(17))
    assert mixer.mixing_flops(17) == 4 * 32 * seen // 17


def test_cache_bytes_follow_key_value_heads():
    assert architecture().cache_bytes(64) == 3 * 2 * 16 * 64 * 2
    assert architecture().cache_bytes(64, bytes_per_element=4) == 3 * 2 * 16 * 64 * 4


def test_quantization_changes_the_hash_but_not_the_network():
    one, other = architecture(), architecture(quantization="q8_0")
    assert other.quantization == "Q8_0"
    assert one.hash != other.hash
    assert one.network_hash == other.network_hash


def test_rotary_part_is_even():
    assert Rope(partial_rotary_factor=0.4).rotary_dim(80) == 32
    assert Rope(partial_rotary_factor=0.3).rotary_dim(10) == 2


@pytest.mark.parametrize(
    "changes",
    [{"layers": ()}, {"hidden_size": 0}, {"quantization": "Q3"}, {"vocab_sise": 3}],
)
def test_impossible_architectures_are_refused(changes):
    with pytest.raises(ValidationError):
        architecture(**changes)


def test_odd_heads_are_refused():
    with pytest.raises(ValidationError, match="must be even"):
        Attention(num_attention_heads=3, num_key_value_heads=1, head_dim=7)


def test_summary_says_what_matters():
    text = architecture().summary()
    assert "3x32" in text
    assert "4h/2kv" in text
    assert "vocab 260 tied" in text


def test_equal_by_content_whoever_made_the_layers():
    one, other = architecture(), Architecture.model_validate(architecture().model_dump())
    assert one == other
    assert hash(one) == hash(other)
    assert one != architecture(layers=architecture().layers[:2])
    assert one != architecture(quantization="Q8_0")
    assert one != "an architecture"


def test_a_pickle_is_found_in_a_set_of_another_process():
    read = (
        "import pickle, sys; a = pickle.load(sys.stdin.buffer); "
        "print(a in {type(a).model_validate(a.model_dump())})"
    )
    one = architecture()
    hash(one)
    done = subprocess.run(
        [sys.executable, "-c", read],
        input=pickle.dumps(one),
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"True\n"

"""Small architectures, weights and vocabularies for the tests of export."""

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from archsmith.architecture.tree import Architecture
from archsmith.data.tokenizer import REGEXES, Tokenizer
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.shapes import canonical_shapes


def make(
    *,
    hidden_size=48,
    heads=4,
    kv=2,
    head_dim=12,
    inner=96,
    layers=2,
    vocab_size=280,
    quantization="F32",
    context=64,
    mixer=None,
    feed_forward=None,
    layer=None,
    per_layer=None,
    **architecture,
):
    """An architecture, Llama-like unless told otherwise; `per_layer[i]` changes layer i's mixer."""
    attention = {
        "type": "attention",
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": head_dim,
        **(mixer or {}),
    }
    block = {"type": "gated_mlp", "intermediate_size": inner, **(feed_forward or {})}
    stack = [
        {
            "mixer": {**attention, **((per_layer or {}).get(index, {}))},
            "feed_forward": block,
            **(layer or {}),
        }
        for index in range(layers)
    ]
    return Architecture.model_validate(
        {
            "hidden_size": hidden_size,
            "vocab_size": vocab_size,
            "max_position_embeddings": context,
            "layers": stack,
            "quantization": quantization,
            **architecture,
        }
    )


LAYER_NORM = {"type": "layer", "eps": 1e-5}


def llama(**changes):
    return make(**{"tie_word_embeddings": True, **changes})


def llama_with_biases(**changes):
    return make(
        **{
            "mixer": {"qkv_bias": True},
            "feed_forward": {"bias": True},
            "tie_word_embeddings": False,
            "layer": {"norm": {"eps": 1e-6}},
            "final_norm": {"eps": 1e-6},
            **changes,
        }
    )


def qwen3(**changes):
    return make(**{"mixer": {"qk_norm": True, "rope": {"theta": 1e6}}, "head_dim": 16, **changes})


def phi(**changes):
    return make(
        **{
            "mixer": {
                "qkv_bias": True,
                "output_bias": True,
                "rope": {"partial_rotary_factor": 0.5},
            },
            "feed_forward": {"type": "mlp", "bias": True},
            "layer": {"residual": "parallel", "norm": LAYER_NORM},
            "final_norm": LAYER_NORM,
            "tie_word_embeddings": False,
            "lm_head_bias": True,
            **changes,
        }
    )


def phi3(**changes):
    return make(
        **{
            "mixer": {"rope": {"partial_rotary_factor": 0.5}},
            "tie_word_embeddings": False,
            **changes,
        }
    )


def granite_swa(**changes):
    return make(
        **{
            "layers": 3,
            "per_layer": {0: {"sliding_window": 5}, 1: {"rope": None}, 2: {"sliding_window": 5}},
            **changes,
        }
    )


def starcoder2(**changes):
    return make(
        **{
            "mixer": {"qkv_bias": True, "output_bias": True},
            "feed_forward": {"type": "mlp", "bias": True},
            "layer": {"norm": LAYER_NORM},
            "final_norm": LAYER_NORM,
            **changes,
        }
    )


CARRIED = {
    "Llama": llama,
    "Llama with biases": llama_with_biases,
    "Qwen3": qwen3,
    "Phi": phi,
    "Phi-3": phi3,
    "Granite-SWA": granite_swa,
    "StarCoder2": starcoder2,
}


def random_weights(architecture, seed=0):
    """Weights large enough that every tensor matters to the logits."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in canonical_shapes(architecture).items():
        if len(shape) == 2:
            scale = 0.3 if "embed" in name else shape[1] ** -0.5
            weights[name] = rng.normal(0, scale, shape).astype(np.float32)
        else:
            base = 1.0 if name.endswith("norm.weight") else 0.0
            weights[name] = (base + rng.normal(0, 0.2, shape)).astype(np.float32)
    return weights


def make_tokenizer(vocab_size=280, pre_tokenizer="gpt-2", first=()):
    """A real tokenizer whose merges join pairs of letters: enough to fill a file of any size.

    `first` are merges that come before those.
    """
    letters = [chr(97 + index) for index in range(26)]
    alphabet = byte_alphabet()
    vocab = {token: index for index, token in enumerate(["<|endoftext|>", *alphabet])}
    pairs = [*first, *((left, right) for left in letters for right in letters)]
    pairs += [(left + right, left + right) for left, right in pairs[len(first) :]]
    merges = []
    for left, right in pairs[: vocab_size - 257]:
        merges.append((left, right))
        vocab[left + right] = len(vocab)
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, ignore_merges=pre_tokenizer == "llama-bpe")
    )
    steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre_tokenizer == "gpt-2")]
    if pre_tokenizer != "gpt-2":
        split = pre_tokenizers.Split(Regex(REGEXES[pre_tokenizer]), behavior="isolated")
        steps.insert(0, split)
    backend.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return Tokenizer(backend, pre_tokenizer=pre_tokenizer, document_token="<|endoftext|>")


def byte_alphabet():
    """GPT-2's printable stand-ins of the 256 bytes, in byte order."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(extra)) for byte in range(256)]


def write_gguf(path, architecture, *, weights=None, tokenizer=None, metadata=None, **options):
    """The file of an architecture with random weights; returns the weights."""
    weights = random_weights(architecture) if weights is None else weights
    GGUF.write(
        path,
        weights=weights,
        architecture=architecture,
        tokenizer=tokenizer or make_tokenizer(architecture.vocab_size),
        metadata=metadata or {},
        **options,
    )
    return weights

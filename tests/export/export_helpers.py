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
    inner=None,
    layers=2,
    vocab_size=280,
    quantization="F32",
    context=64,
    mixer=None,
    feed_forward=None,
    layer=None,
    per_layer=None,
    layer_at=None,
    **architecture,
):
    """An architecture, Llama-like unless told otherwise.

    `per_layer[i]` changes layer i's mixer, `layer_at[i]` the layer itself.
    """
    attention = {
        "type": "attention",
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": head_dim,
        **(mixer or {}),
    }
    block = {"type": "gated_mlp", "intermediate_size": inner or 96, **(feed_forward or {})}
    if block["type"] == "mixture_of_experts":
        del block["intermediate_size"]
        block["moe_intermediate_size"] = inner or block["moe_intermediate_size"]
    stack = [
        {
            "mixer": {**attention, **((per_layer or {}).get(index, {}))},
            "feed_forward": block,
            **(layer or {}),
            **((layer_at or {}).get(index, {})),
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


def granite_swa_with_multipliers(**changes):
    return granite_swa(
        **{
            "mixer": {"attention_multiplier": 0.05, "qkv_bias": True},
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.4,
            "logits_scaling": 2.5,
            **changes,
        }
    )


def experts(**changes):
    """A feed-forward of small experts."""
    return {
        "type": "mixture_of_experts",
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        **changes,
    }


def mixtral(**changes):
    return make(**{"feed_forward": experts(), "head_dim": 16, **changes})


def qwen3_moe(**changes):
    return make(
        **{
            "mixer": {"qk_norm": True, "rope": {"theta": 1e6}},
            "feed_forward": experts(num_experts_per_tok=3),
            "head_dim": 16,
            **changes,
        }
    )


def qwen2_moe(**changes):
    return make(
        **{
            "mixer": {"qkv_bias": True},
            "feed_forward": experts(
                norm_topk_prob=False, shared_expert_intermediate_size=96, shared_expert_gate=True
            ),
            "tie_word_embeddings": False,
            **changes,
        }
    )


def olmoe(**changes):
    return make(
        **{
            "mixer": {"qk_norm": True, "qk_norm_over": "all_heads"},
            "feed_forward": experts(norm_topk_prob=False, num_experts=8),
            "tie_word_embeddings": False,
            **changes,
            "kv": changes.get("kv") or changes.get("heads", 4),
        }
    )


def phimoe(**changes):
    return make(
        **{
            "mixer": {"qkv_bias": True, "output_bias": True},
            "feed_forward": experts(router="sparsemixer"),
            "layer": {"norm": LAYER_NORM},
            "final_norm": LAYER_NORM,
            "tie_word_embeddings": False,
            "lm_head_bias": True,
            **changes,
        }
    )


def mimo(**changes):
    """A dense and a sparse layer without a window, a sparse and a dense one with it."""
    sparse = {"feed_forward": experts(router="sigmoid")}
    return make(
        **{
            "layers": 4,
            "mixer": {"rope": {"partial_rotary_factor": 0.5, "theta": 5e4}},
            "per_layer": {
                2: {"sliding_window": 7, "rope": {"partial_rotary_factor": 0.5}},
                3: {"sliding_window": 7, "rope": {"partial_rotary_factor": 0.5}},
            },
            "layer_at": {1: sparse, 2: sparse},
            "tie_word_embeddings": False,
            **changes,
        }
    )


def padded_llama(**changes):
    """Every layer of other widths; the heads have only 6 in common."""
    return make(
        **{
            "layers": 3,
            "heads": 4,
            "mixer": {"qkv_bias": True},
            "per_layer": {
                1: {"num_attention_heads": 3, "num_key_value_heads": 3},
                2: {"num_attention_heads": 2, "num_key_value_heads": 1},
            },
            "layer_at": {
                0: {"feed_forward": {"type": "gated_mlp", "intermediate_size": 64}},
                2: {"feed_forward": {"type": "gated_mlp", "intermediate_size": 32}},
            },
            **changes,
        }
    )


def padded_qwen3(**changes):
    return padded_llama(**{"mixer": {"qk_norm": True}, "head_dim": 16, **changes})


def long_rope(pairs, original=256, **changes):
    """LongRoPE whose factors differ from one another and from 1."""
    return {
        "original_max_position_embeddings": original,
        "short_factor": [1.0 + 0.1 * index for index in range(pairs)],
        "long_factor": [2.0 + 0.7 * index for index in range(pairs)],
        **changes,
    }


def phi3_long(**changes):
    pairs = changes.get("head_dim", 12) // 4
    rope = {"partial_rotary_factor": 0.5, "long_rope": long_rope(pairs)}
    return make(**{"mixer": {"rope": rope}, "context": 1024, **changes})


CARRIED = {
    "Llama": llama,
    "Llama with biases": llama_with_biases,
    "Qwen3": qwen3,
    "Phi": phi,
    "Phi-3": phi3,
    "Phi-3 with LongRoPE": phi3_long,
    "Granite-SWA": granite_swa,
    "Granite-SWA with multipliers": granite_swa_with_multipliers,
    "StarCoder2": starcoder2,
    "Mixtral": mixtral,
    "Qwen3-MoE": qwen3_moe,
    "Qwen2-MoE": qwen2_moe,
    "OLMoE": olmoe,
    "MiMo-V2-Flash": mimo,
    "Padded Llama": padded_llama,
    "Padded Qwen3": padded_qwen3,
}


def random_weights(architecture, seed=0):
    """Weights large enough that every tensor matters to the logits."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in canonical_shapes(architecture).items():
        if len(shape) > 1:
            scale = 0.3 if "embed" in name else shape[-1] ** -0.5
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

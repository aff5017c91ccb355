"""Small trainings whose losses are kept: float32, one thread, everything by a fixed rule.

Weights and tokens come from integer arithmetic, not from torch's random numbers, so that a stored
curve says something about the loop alone: kernels, gradients, optimizers, schedule.
"""

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archsmith.architecture.tree import Architecture
from archsmith.device.training_choice import KernelChoice
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe
from archsmith.train.schedule import warmup_factor

FOLDER = Path(__file__).parent
NUM_UPDATES = 20
VOCAB_SIZE = 61
CONTEXT_TOKENS = 24
BATCH_SIZE = 4
WARMUP_STEPS = 5

HEADS = {"type": "attention", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
DENSE = {"type": "gated_mlp", "intermediate_size": 48}
EXPERTS = {
    "type": "mixture_of_experts", "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}  # fmt: skip
LONG_ROPE = {
    "long_rope": {
        "original_max_position_embeddings": 16,
        "short_factor": (1.0, 1.1, 1.2, 1.3),
        "long_factor": (1.0, 2.0, 4.0, 8.0),
    }
}

# name -> (layer, fields of the tree, optimizer)
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "llama-muon": ({"mixer": HEADS, "feed_forward": DENSE}, {}, "muon"),
    "llama-adamw": ({"mixer": HEADS, "feed_forward": DENSE}, {}, "adamw"),
    "phi-parallel-adamw": (
        {
            "mixer": {**HEADS, "num_key_value_heads": 4, "qkv_bias": True, "output_bias": True}
            | {"rope": {"partial_rotary_factor": 0.5}},
            "feed_forward": {"type": "mlp", "intermediate_size": 64, "bias": True},
            "norm": {"type": "layer"},
            "residual": "parallel",
        },
        {"tie_word_embeddings": False, "lm_head_bias": True},
        "adamw",
    ),
    "qwen-qk-norm-muon": (
        {"mixer": {**HEADS, "qk_norm": True, "sliding_window": 7}, "feed_forward": DENSE},
        {"tie_word_embeddings": False},
        "muon",
    ),
    "experts-softmax-muon": ({"mixer": HEADS, "feed_forward": EXPERTS}, {}, "muon"),
    "experts-sigmoid-adamw": (
        {
            "mixer": HEADS,
            "feed_forward": {**EXPERTS, "router": "sigmoid", "shared_expert_intermediate_size": 16},
        },
        {},
        "adamw",
    ),
    "phi-small-blocks-muon": (
        {
            "mixer": {**HEADS, "type": "block_sparse_attention", "block_size": 4}
            | {"num_local_blocks": 2, "vertical_stride": 3, "rope": LONG_ROPE},
            "feed_forward": {**DENSE, "activation": "gegelu", "activation_limit": 20.0},
        },
        {"embedding_multiplier": 2.0, "logits_scaling": 2.0},
        "muon",
    ),
}


def machine_kind() -> dict[str, str]:
    """What decides rounding: torch's version, the processor's family, its instructions."""
    return {
        "torch": ".".join(torch.__version__.split(".")[:2]),
        "family": platform.machine().lower(),
        "instructions": torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-"),
    }


def file_name(kind: dict[str, str]) -> str:
    """The file that keeps the curves of a kind of machine."""
    return f"{kind['family']}-{kind['instructions']}-torch-{kind['torch']}.json"


def stored() -> list[dict[str, Any]]:
    """All files of curves: {"kind", "losses": {network: [nats per token]}}."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def nearest(kind: dict[str, str], files: list[dict[str, Any]]) -> dict[str, Any]:
    """The file of this kind, else the one with most in common: family, instructions, torch."""

    def common(file: dict[str, Any]) -> tuple[bool, ...]:
        same = {name: file["kind"][name] == kind[name] for name in kind}
        return same["family"], same["instructions"], same["torch"]

    return max(files, key=common)


def losses(name: str) -> list[float]:
    """Nats per token before each of the updates."""
    layer, tree, optimizer = NETWORKS[name]
    architecture = Architecture.model_validate(
        {
            "hidden_size": 32,
            "vocab_size": VOCAB_SIZE,
            "max_position_embeddings": 32,
            "layers": [layer, layer],
            **tree,
        }
    )
    recipe = Recipe(optimizer=optimizer, dtype="float32", warmup_steps=WARMUP_STEPS)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        learner = Learner(
            architecture,
            recipe=recipe,
            seed=0,
            device=torch.device("cpu"),
            dtype=torch.float32,
            kernels=KernelChoice(),
        )
        _set_weights(learner)
        return [
            learner.update(
                batch(number),
                number=number,
                factor=warmup_factor(number, warmup_steps=WARMUP_STEPS),
            )
            for number in range(NUM_UPDATES)
        ]
    finally:
        torch.set_num_threads(before)


def batch(number: int) -> np.ndarray:
    """Windows of an endless text in which a token follows from the two before, mostly."""
    length = CONTEXT_TOKENS + 1
    starts = (number * BATCH_SIZE + np.arange(BATCH_SIZE)) * 17
    places = starts[:, None] + np.arange(length)
    found = (places * places // 7 + 3 * places) % 23
    return ((found + 19 * (places % 3 == 0)) % VOCAB_SIZE).astype(np.int64)


def _set_weights(learner: Learner) -> None:
    """Weights spread evenly over a range by the golden ratio; vectors keep what they begin with."""
    for place, (_, tensor) in enumerate(sorted(learner.masters().items())):
        if tensor.dim() < 2:
            continue
        numbers = (np.arange(tensor.numel(), dtype=np.float64) + 1000 * place) * 0.6180339887498949
        spread = (numbers % 1.0 - 0.5) * (2 * 3**0.5) * tensor.shape[-1] ** -0.5
        tensor.copy_(torch.from_numpy(spread.astype(np.float32)).view(tensor.shape))
    learner.publish()

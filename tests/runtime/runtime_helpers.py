"""Real text, real candidates and a real store, as small as they can be.

Imported by the tests and, through PYTHONPATH, by their worker processes.
"""

from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.data.protocol import ScoringProtocol
from archsmith.evaluators.base import Evaluator
from archsmith.runtime.parts import NOTE, dump_evaluator
from archsmith.store.records import NewJob
from archsmith.store.store import Store, connect
from archsmith.train.recipe import Recipe
from archsmith.trial import Proposal
from helpers_text import make_corpus

STUDY = "real"


def make_text(folder: Path) -> dict[str, Any]:
    """A corpus and a tokenizer: the settings of an evaluator that trains on them."""
    return {
        **make_corpus(folder),
        "recipe": Recipe(batch_tokens=48, warmup_steps=3, dtype="float32"),
        "protocol": ScoringProtocol(context_bytes=64, stride_bytes=32, max_bytes=300),
        "device": "cpu",
    }


def network(
    *,
    hidden_size: int = 32,
    layers: int = 1,
    mixer: str = "attention",
    feed_forward: str = "gated_mlp",
    intermediate_size: int = 48,
) -> Architecture:
    """A network whose layers are alike."""
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    mixers: dict[str, dict[str, Any]] = {
        "attention": heads,
        "block_sparse_attention": {
            **heads,
            "block_size": 8,
            "num_local_blocks": 1,
            "vertical_stride": 2,
        },
    }
    feed_forwards: dict[str, dict[str, Any]] = {
        "mlp": {"intermediate_size": intermediate_size},
        "gated_mlp": {"intermediate_size": intermediate_size},
        "mixture_of_experts": {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": intermediate_size // 2,
        },
    }
    layer = {
        "mixer": {"type": mixer, **mixers[mixer]},
        "feed_forward": {"type": feed_forward, **feed_forwards[feed_forward]},
    }
    tree = {"hidden_size": hidden_size, "vocab_size": 280, "max_position_embeddings": 24}
    return Architecture.model_validate({**tree, "layers": [layer] * layers})


def real_store(folder: Path, evaluator: Evaluator) -> Store:
    """A new store with a study that has an evaluator and no trials."""
    store = connect(folder / "studies.db", create=True)
    store.create_study(STUDY, spec={}, seed=0)
    store.put_note(STUDY, NOTE, dump_evaluator(evaluator))
    return store


def add_trial(store: Store, number: int, architecture: Architecture, *, train_bytes: int) -> None:
    """Queue a candidate for its first rung."""
    proposal = Proposal(architecture=architecture, strategy="none")
    job = NewJob(number=number, rung=0, train_bytes=train_bytes, fraction=1.0)
    assert store.add_trial(STUDY, proposal, number=number, static_metrics={}, job=job)

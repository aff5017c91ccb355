"""A network small enough to train in a test."""

from archsmith.architecture.tree import Architecture


def tiny(**changes):
    attention = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    layer = {
        "mixer": {"type": "attention", **attention},
        "feed_forward": {"type": "gated_mlp", "intermediate_size": 48},
    }
    tree = {"hidden_size": 32, "vocab_size": 280, "max_position_embeddings": 24}
    return Architecture.model_validate({**tree, "layers": [layer, layer], **changes})

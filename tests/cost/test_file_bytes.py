import time

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext
from archsmith.export.layout import gguf_num_bytes


def architecture(layers=12, vocab_size=4096, quantization="Q4_K_M"):
    layer = {
        "mixer": {
            "type": "attention",
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
        },
        "feed_forward": {"type": "gated_mlp", "intermediate_size": 1536},
    }
    return Architecture.model_validate(
        {
            "hidden_size": 512,
            "vocab_size": vocab_size,
            "max_position_embeddings": 1024,
            "layers": [layer] * layers,
            "quantization": quantization,
        }
    )


def test_counts_what_the_writer_writes():
    model = registry.find("cost", "file_bytes")
    assert (model.metric, model.exact) == ("file_bytes", True)
    point = architecture()
    with_tokens = model.estimate(point, CostContext(tokenizer_bytes=lambda size: 10 * size))
    assert with_tokens == gguf_num_bytes(point, 40960)
    assert model.estimate(point, CostContext()) == gguf_num_bytes(point, 0)


def test_grows_with_bits_layers_and_vocabulary():
    model, context = registry.find("cost", "file_bytes"), CostContext()
    sizes = [
        model.estimate(architecture(quantization=name), context)
        for name in ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16", "F32")
    ]
    assert sizes == sorted(sizes)
    assert model.estimate(architecture(layers=13), context) > model.estimate(
        architecture(layers=12), context
    )
    assert model.estimate(architecture(vocab_size=4128), context) > model.estimate(
        architecture(), context
    )


def test_takes_well_under_a_millisecond_a_point():
    model, context = registry.find("cost", "file_bytes"), CostContext()
    points = [architecture(layers=depth) for depth in range(4, 24)]
    for point in points:
        model.estimate(point, context)
    started = time.perf_counter()
    for point in points:
        model.estimate(point, context)
    assert (time.perf_counter() - started) / len(points) < 5e-3

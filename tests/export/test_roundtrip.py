import numpy as np
import pytest
from export_helpers import CARRIED, llama, random_weights, write_gguf
from gguf import GGUFReader
from gguf.quants import dequantize
from pydantic import ValidationError

from archsmith.export.roundtrip import quantize_dequantize, requantized


@pytest.mark.parametrize("family", CARRIED)
def test_only_matrices_change_and_only_a_little(family):
    shape = {"hidden_size": 256, "heads": 2, "head_dim": 128, "inner": 96}
    architecture = CARRIED[family](**shape, quantization="Q4_K_M")
    weights = random_weights(architecture)
    found = quantize_dequantize(weights, architecture)
    assert list(found) == list(weights)
    for name, value in weights.items():
        error = np.sqrt(((found[name] - value) ** 2).mean()) / value.std()
        kept = value.ndim == 1 or name.endswith(("mlp.gate.weight", "shared_expert_gate.weight"))
        assert (error == 0) if kept else (0.002 < error < 0.1), name


def test_float32_is_the_identity():
    architecture = CARRIED["Phi-3"](quantization="Q4_0")
    weights = random_weights(architecture)
    found = quantize_dequantize(weights, architecture, "F32")
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_values_are_those_of_the_file(tmp_path):
    architecture = llama(quantization="Q8_0", hidden_size=64, head_dim=16)
    weights = write_gguf(tmp_path / "x.gguf", architecture)
    found = quantize_dequantize(weights, architecture)
    for tensor in GGUFReader(tmp_path / "x.gguf").tensors:
        if tensor.name == "blk.1.ffn_up.weight":
            stored = dequantize(tensor.data, tensor.tensor_type)
            assert np.array_equal(stored, found["model.layers.1.mlp.up_proj.weight"])
            return
    raise AssertionError("the tensor is not in the file")


def test_unknown_quantizations_are_refused():
    with pytest.raises(ValidationError, match="quantization"):
        requantized(llama(), "Q1_X")

import json

import numpy as np
import pytest
import torch
from export_helpers import (
    CARRIED,
    llama,
    long_rope,
    make_tokenizer,
    phimoe,
    random_weights,
    write_gguf,
)
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from archsmith.errors import ExportError, GateError
from archsmith.export import carrier_table, carrier_tensors, gate
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate import check_export, distance
from archsmith.export.gate_tensors import check_gguf_tensors, check_huggingface_tensors
from archsmith.export.roundtrip import requantized
from archsmith.model.transformer import build, load_numpy


class Exported:
    """A network in all its written forms, and the gate over them."""

    def __init__(self, folder, architecture, quantizations=("Q8_0",), pre_tokenizer="gpt-2"):
        self.architecture = architecture
        # digits are grouped by gpt-2 and stand alone in qwen2
        self.tokenizer = make_tokenizer(architecture.vocab_size, pre_tokenizer, first=[("2", "2")])
        self.weights = random_weights(architecture)
        self.huggingface = folder / "hf"
        self.gguf = [folder / f"{name}.gguf" for name in quantizations]
        HUGGINGFACE.write(
            self.huggingface,
            weights=self.weights,
            architecture=architecture,
            tokenizer=self.tokenizer,
            metadata={},
        )
        for path in self.gguf:
            point = requantized(architecture, path.stem)
            write_gguf(path, point, weights=self.weights, tokenizer=self.tokenizer)

    def check(self, **options):
        return check_export(
            architecture=self.architecture,
            weights=self.weights,
            tokenizer=self.tokenizer,
            huggingface=self.huggingface,
            gguf=self.gguf,
            **options,
        )

    def reference(self, window):
        model = build(self.architecture, seed=None)
        load_numpy(model, self.weights)
        with torch.no_grad():
            return model(torch.tensor([list(window)]))[0].numpy()


@pytest.mark.parametrize("family", CARRIED)
def test_the_trained_model_transformers_and_llama_cpp_agree(tmp_path, family, in_process):
    kinds = ["gpt-2", "llama-bpe", "qwen2"]
    exported = Exported(
        tmp_path,
        CARRIED[family](),
        quantizations=("F32", "Q4_0"),
        pre_tokenizer=kinds[len(family) % 3],
    )
    report = exported.check(reference=exported.reference, tokens=range(50, 80))
    gelu = family in ("Phi", "StarCoder2")  # llama.cpp's GELU is a table in half precision
    assert report.runtime_kl_nats < (1e-6 if gelu else 1e-9)
    assert report.reference_kl_nats < 1e-9
    # LongRoPE is compared past its switch too
    assert report.num_tokens == (96 + 30 + 96 if "LongRoPE" in family else 64 + 30)
    exact, small = report.files
    assert (exact.quantization, small.quantization) == ("F32", "Q4_0")
    assert exact.kl_nats < 1e-4 < small.kl_nats
    assert exact.num_bytes > 1.5 * small.num_bytes
    assert exact.top1_agreement > 0.95


def test_fewer_bits_are_further_away(tmp_path, in_process):
    architecture = CARRIED["Phi-3"](hidden_size=256, heads=4, head_dim=64, inner=512, layers=4)
    names = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
    report = Exported(tmp_path, architecture, quantizations=names).check()
    distances = [file.kl_nats for file in report.files]
    assert distances == sorted(distances)
    assert [file.quantization for file in report.files] == list(names)
    sizes = [file.num_bytes for file in report.files]
    assert sizes == sorted(sizes, reverse=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("gate"), llama())


@pytest.fixture
def copied(exported, tmp_path):
    """The same files, free to be damaged."""
    return Exported(tmp_path, exported.architecture)


def with_gguf_layer(name, layer):
    row = carrier_table.CARRIERS[name]
    return row._replace(gguf=row.gguf._replace(layer=layer))


def test_a_wrong_rotary_order_is_caught_by_its_tensor(copied, monkeypatch):
    with monkeypatch.context() as patch:
        row = with_gguf_layer("Llama", carrier_tensors.plain_gguf)
        patch.setitem(carrier_table.CARRIERS, "Llama", row)
        write_gguf(copied.gguf[0], copied.architecture, weights=copied.weights, overwrite=True)
    with pytest.raises(GateError, match=r"tensor 'blk\.0\.attn_q\.weight' is not what"):
        copied.check()


def test_a_wrong_rotary_order_in_the_table_itself_is_caught_by_logits(copied, monkeypatch):
    row = with_gguf_layer("Llama", carrier_tensors.plain_gguf)
    monkeypatch.setitem(carrier_table.CARRIERS, "Llama", row)
    write_gguf(
        copied.gguf[0],
        requantized(copied.architecture, "Q8_0"),
        weights=copied.weights,
        tokenizer=copied.tokenizer,
        overwrite=True,
    )
    with pytest.raises(GateError, match=r"llama\.cpp \(llama\) computes something else"):
        copied.check()


def test_a_corrupted_tensor_is_named(copied):
    data = bytearray(copied.gguf[0].read_bytes())
    data[-40] ^= 1  # the last tensor is the final norm
    copied.gguf[0].write_bytes(data)
    with pytest.raises(GateError, match=r"Q8_0\.gguf: tensor 'output_norm\.weight' is not what"):
        copied.check()


def test_a_truncated_file_is_refused(copied):
    data = copied.gguf[0].read_bytes()
    copied.gguf[0].write_bytes(data[: len(data) // 2])
    with pytest.raises(GateError, match=r"Q8_0\.gguf is damaged or cut short"):
        copied.check()


def test_another_pre_tokenizer_is_caught_by_its_token(copied):
    data = copied.gguf[0].read_bytes()
    # the same length, so that nothing else moves
    assert data.count(b"gpt-2") == 1
    copied.gguf[0].write_bytes(data.replace(b"gpt-2", b"qwen2"))
    message = r"llama\.cpp \(Q8_0\.gguf\) reads .*22, 333.* at token \d+ '2' '2' .*, expected '22'"
    with pytest.raises(GateError, match=message):
        copied.check()


def test_an_activation_that_llama_cpp_does_not_compute_is_caught(copied):
    path = copied.huggingface / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "hidden_act": "gelu_pytorch_tanh"}))
    with pytest.raises(GateError, match="although every tensor holds what was written"):
        copied.check()


def test_a_changed_weight_in_the_folder_is_named(copied):
    path = copied.huggingface / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)
    with pytest.raises(GateError, match=r"tensor 'model\.norm\.weight' is not what"):
        copied.check()


def test_another_trained_model_is_not_passed_off(exported):
    def other(window):
        return np.roll(exported.reference(window), 1, axis=1)

    with pytest.raises(GateError, match="transformers computes something else than the trained"):
        exported.check(reference=other)


def test_what_llama_cpp_cannot_hold_is_checked_in_transformers(tmp_path, in_process):
    # its class ends at LongRoPE's switch: there the comparison ends too
    rope = {"long_rope": long_rope(6)}
    mixer = {"qkv_bias": True, "output_bias": False, "rope": rope}
    exported = Exported(tmp_path, phimoe(mixer=mixer, context=1024), quantizations=())
    report = exported.check(reference=exported.reference)
    assert report.transformers_class == "PhimoeForCausalLM"
    assert report.runtime_kl_nats is None
    assert report.reference_kl_nats < 1e-9
    assert report.num_tokens == 96
    assert len(report.limits) == 1
    with pytest.raises(ExportError, match="phimoe computes RMSNorm"):
        check_export(
            architecture=exported.architecture,
            weights=exported.weights,
            tokenizer=exported.tokenizer,
            huggingface=exported.huggingface,
            gguf=[tmp_path / "x.gguf"],
        )


def test_a_tie_between_experts_gets_other_windows(tmp_path, in_process, monkeypatch):
    exported = Exported(tmp_path, CARRIED["Mixtral"](), quantizations=())
    right = gate.gguf_logits
    calls = []

    def flipped(path, groups, **options):
        calls.append(groups)
        found = right(path, groups, **options)
        return [logits + 0.1 * np.arange(logits.shape[-1]) for logits in found]

    def once(*args, **options):
        return flipped(*args, **options) if len(calls) < 1 else right(*args, **options)

    monkeypatch.setattr(gate, "gguf_logits", once)
    assert exported.check(tokens=range(50, 80)).runtime_kl_nats < 1e-9
    monkeypatch.setattr(gate, "gguf_logits", flipped)
    calls.clear()
    with pytest.raises(GateError, match="computes something else"):
        exported.check()
    assert len(calls) == 3
    assert len({groups[0][0].tokens for groups in calls}) == 3


@pytest.mark.parametrize("family", ["Mixtral", "Qwen2-MoE", "MiMo-V2-Flash"])
def test_a_folder_holds_what_transformers_itself_saves(tmp_path, family):
    exported = Exported(tmp_path, CARRIED[family](), quantizations=())
    model = AutoModelForCausalLM.from_pretrained(exported.huggingface)
    model.save_pretrained(tmp_path / "saved")
    shapes = []
    for folder in (exported.huggingface, tmp_path / "saved"):
        with safe_open(folder / "model.safetensors", framework="numpy") as file:
            names = file.keys()
            shapes.append({name: file.get_slice(name).get_shape() for name in names})
    assert shapes[0] == shapes[1]


def test_missing_files_are_named(exported, tmp_path):
    with pytest.raises(GateError, match=r"model\.safetensors is missing"):
        check_huggingface_tensors(tmp_path, exported.architecture, exported.weights)
    with pytest.raises(GateError, match=r"none\.gguf is missing"):
        check_gguf_tensors(tmp_path / "none.gguf", exported.architecture, exported.weights)


def test_distance_is_a_divergence():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 9, 30)).astype(np.float32)
    assert distance([first], [first]) == (0.0, 0.0, 1.0, distance([first], [first]).worst_token)
    assert distance([first], [second]).kl_nats > 0.1
    with pytest.raises(GateError, match="not finite"):
        distance([first], [second * np.nan])

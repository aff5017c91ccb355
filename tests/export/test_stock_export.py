"""A model trained elsewhere becomes a checked GGUF file."""

import pytest
from export_helpers import make_tokenizer
from stock_models import FAMILIES, Stock, build_stock

import archsmith
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, ExportError
from archsmith.workflow.stock_model import load_stock_model


def test_unused_tokens_fill_the_embedding_table(tmp_path):
    tokenizer = make_tokenizer(270)
    longer = tokenizer.padded(280)
    assert longer.vocab_size == 280
    assert longer.tokens()[:270] == tokenizer.tokens()
    assert set(longer.special_token_ids()) == {tokenizer.document_token_id, *range(270, 280)}
    assert longer.token_bytes[270:].tolist() == [0] * 10
    text = "Karo und <|unused_271|> aab"
    assert longer.encode(text) == tokenizer.encode(text)
    longer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.from_file(tmp_path / "tokenizer.json").hash == longer.hash
    assert tokenizer.padded(270) is tokenizer
    with pytest.raises(ConfigError, match="has 270 entries, the embedding table 269"):
        tokenizer.padded(269)


@pytest.fixture(scope="module")
def stock_llama(tmp_path_factory):
    """A folder that transformers wrote, with a tokenizer shorter than its embedding table."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("stock") / "llama"
    sizes = {"vocab_size": 290, "hidden_size": 48, "num_attention_heads": 4, "head_dim": 12}
    build_stock(FAMILIES["llama"], **sizes, num_key_value_heads=2).save_pretrained(folder)
    make_tokenizer(280).save(folder / "tokenizer.json")
    return folder


def test_a_stock_folder_is_a_finished_model(stock_llama):
    model = load_stock_model(stock_llama)
    assert model.architecture.vocab_size == model.tokenizer.vocab_size == 290
    assert model.architecture.layers[0].mixer.output_bias
    assert set(model.weights) == {
        name for name, _ in archsmith.load_model(stock_llama).named_parameters()
    }


def test_a_folder_without_a_tokenizer_is_named(stock_llama, tmp_path):
    (tmp_path / "config.json").write_bytes((stock_llama / "config.json").read_bytes())
    with pytest.raises(ConfigError, match=r"holds no tokenizer\.json"):
        load_stock_model(tmp_path)


@pytest.mark.slow
def test_a_stock_model_is_exported_and_checked(stock_llama, tmp_path):
    found = archsmith.export_model(stock_llama, tmp_path / "out", quantization="Q8_0")
    assert found.gate.transformers_class == "LlamaForCausalLM"
    assert found.gate.reference_kl_nats < 1e-9
    assert found.gate.runtime_kl_nats < 1e-6
    assert [path.rsplit("/", 1)[-1] for path in found.paths] == ["model-Q8_0.gguf", "transformers"]
    again = archsmith.read_huggingface(tmp_path / "out" / "transformers")
    before = archsmith.read_huggingface(stock_llama)
    assert again.architecture == before.architecture
    assert all((again.weights[name] == before.weights[name]).all() for name in before.weights)


@pytest.mark.slow
def test_what_llama_cpp_cannot_hold_is_exported_for_transformers_alone(tmp_path):
    pytest.importorskip("transformers")
    folder = tmp_path / "phimoe"
    plain = FAMILIES["phimoe"].config | {"sliding_window": None}
    build_stock(Stock("Phimoe", plain), vocab_size=280).save_pretrained(folder)
    make_tokenizer(280).save(folder / "tokenizer.json")
    with pytest.raises(ExportError, match=r"PhiMoE: llama\.cpp's phimoe computes RMSNorm"):
        archsmith.export_model(folder, tmp_path / "both")
    assert not (tmp_path / "both").exists()
    found = archsmith.export_model(folder, tmp_path / "out", formats=["huggingface"])
    assert found.gate.transformers_class == "PhimoeForCausalLM"
    assert found.gate.reference_kl_nats < 1e-9
    assert found.decode_ms_per_token is None
    assert [path.rsplit("/", 1)[-1] for path in found.paths] == ["transformers"]


# the others have windows, biases, experts or rotary settings that one of the two formats lacks
EXPORTED = {
    "phi", "phi3", "phi3 partial", "llama", "mistral", "qwen2", "qwen3_moe", "granite",
    "mimo_v2_flash",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_stock_model_passes_the_gate_or_is_refused_beforehand(family, tmp_path):
    pytest.importorskip("transformers")
    folder = tmp_path / "stock"
    build_stock(FAMILIES[family], vocab_size=280).save_pretrained(folder)
    make_tokenizer(280).save(folder / "tokenizer.json")
    try:
        found = archsmith.export_model(folder, tmp_path / "out", quantization="F32")
    except ExportError as error:
        refused = str(error)
        assert family not in EXPORTED, refused
        assert "no stock model class holds" in refused
        assert not (tmp_path / "out").exists()
    else:
        assert found.gate.reference_kl_nats < 1e-9
        assert found.gate.files[0].top1_agreement == 1.0

import math
import random
import shutil

import numpy as np
import pytest
from export_helpers import CARRIED, llama, random_weights, write_gguf
from gguf import GGUFWriter

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, ExportError
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.layout import architecture_keys
from archsmith.export.plans import gguf_plan
from archsmith.export.score import score_path

PROTOCOL = ScoringProtocol(context_bytes=200, stride_bytes=100, block_bytes=500, max_bytes=1500)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A corpus, and a model of its tokenizer as an F32 file and as a folder."""
    folder = tmp_path_factory.mktemp("score")
    rng = random.Random(0)
    words = ["tree", "house", "naïve", "river", "stone", "cloud", "🙂", "fire"]
    for index in range(60):
        text = " ".join(rng.choice(words) for _ in range(60))
        (folder / f"{index}.txt").write_text(f"{text} {index}\n")
    corpus = Corpus.prepare(
        CorpusConfig(
            files=(f"{folder}/*.txt",),
            minimum_split_bytes=600,
            validation_fraction=0.2,
            test_fraction=0.1,
            near_duplicates=False,
        ),
        folder / "corpus",
    )
    tokenizer = Tokenizer.train(corpus, vocab_size=275, num_threads=1)
    architecture = llama(vocab_size=275)
    weights = random_weights(architecture)
    write_gguf(folder / "m.gguf", architecture, weights=weights, tokenizer=tokenizer)
    HUGGINGFACE.write(
        folder / "hf", weights=weights, architecture=architecture, tokenizer=tokenizer, metadata={}
    )

    def token_file_for(own):
        return TokenFile.build(corpus, Split.SEARCH, own, folder / "tokens", num_threads=1)

    return folder, token_file_for, tokenizer


def test_both_runtimes_give_the_same_score(setting):
    folder, token_file_for, tokenizer = setting
    stock = score_path(folder / "hf", token_file_for, PROTOCOL)
    exact = score_path(folder / "m.gguf", token_file_for, PROTOCOL, cache_type="f32")
    deployed = score_path(folder / "m.gguf", token_file_for, PROTOCOL)
    assert stock.num_bytes == exact.num_bytes == 1500
    assert abs(stock.bits_per_byte - exact.bits_per_byte) < 1e-6
    # llama.cpp keeps keys and values in half precision by default
    assert 0 < abs(stock.bits_per_byte - deployed.bits_per_byte) < 1e-3
    np.testing.assert_allclose(stock.block_nats, exact.block_nats, rtol=1e-5)
    # llama.cpp's own tokenizer made the same stream as ours
    own = score_path(folder / "m.gguf", lambda _: token_file_for(tokenizer), PROTOCOL)
    assert own == deployed


@pytest.mark.parametrize("family", ["Mixtral", "Phi-3 with LongRoPE"])
@pytest.mark.parametrize("context_bytes", [400, 900])
def test_experts_and_long_contexts_score_alike(
    setting, tmp_path, family, context_bytes, in_process
):
    # windows of about 230 and 520 tokens, this side of LongRoPE's switch at 256 and beyond it
    _, token_file_for, tokenizer = setting
    architecture = CARRIED[family](vocab_size=275, context=1024)
    weights = random_weights(architecture)
    write_gguf(tmp_path / "m.gguf", architecture, weights=weights, tokenizer=tokenizer)
    HUGGINGFACE.write(
        tmp_path / "hf",
        weights=weights,
        architecture=architecture,
        tokenizer=tokenizer,
        metadata={},
    )
    protocol = ScoringProtocol(context_bytes=context_bytes, stride_bytes=200, max_bytes=1500)
    stock = score_path(tmp_path / "hf", token_file_for, protocol)
    exact = score_path(tmp_path / "m.gguf", token_file_for, protocol, cache_type="f32")
    assert (stock.context_tokens > 256) == (context_bytes == 900)
    assert abs(stock.bits_per_byte - exact.bits_per_byte) < 1e-5


def test_an_untrained_model_is_worse_than_uniform_tokens(setting):
    folder, token_file_for, _ = setting
    found = score_path(folder / "m.gguf", token_file_for, PROTOCOL)
    assert found.nats / found.num_tokens > math.log(275)


def test_what_is_no_model_is_refused(setting, tmp_path):
    folder, token_file_for, _ = setting
    with pytest.raises(ConfigError, match="no such file or folder"):
        score_path(tmp_path / "none", token_file_for, PROTOCOL)
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        score_path(tmp_path, token_file_for, PROTOCOL)
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ExportError, match="cannot load"):
        score_path(tmp_path / "text.gguf", token_file_for, PROTOCOL)
    shutil.copytree(folder / "hf", tmp_path / "hf")
    (tmp_path / "hf" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"holds no tokenizer\.json"):
        score_path(tmp_path / "hf", token_file_for, PROTOCOL)


def test_tokens_of_another_model_are_refused(setting, tmp_path):
    _, token_file_for, tokenizer = setting
    write_gguf(tmp_path / "x.gguf", llama(vocab_size=270), tokenizer=tokenizer.prefix(270))
    with pytest.raises(ConfigError, match="knows 270 tokens, the token file was made with 275"):
        score_path(tmp_path / "x.gguf", lambda _: token_file_for(tokenizer), PROTOCOL)


def test_a_sentencepiece_model_from_elsewhere_is_scored_on_the_same_bytes(setting, tmp_path):
    folder, token_file_for, _ = setting
    path = tmp_path / "foreign.gguf"
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581t", "\u2581tr"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(pieces) - 259)]
    architecture = llama(vocab_size=len(pieces))
    keys = architecture_keys(architecture)
    writer = GGUFWriter(path, "llama")
    for key, value in keys.items():
        if isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(index) for index in range(len(pieces))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    weights = random_weights(architecture)
    for plan in gguf_plan(architecture):
        writer.add_tensor(plan.name, plan.assemble(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = score_path(path, token_file_for, PROTOCOL)
    ours = score_path(folder / "m.gguf", token_file_for, PROTOCOL)
    assert found.block_bytes == ours.block_bytes
    assert found.num_tokens != ours.num_tokens

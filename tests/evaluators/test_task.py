"""Tasks: reading the items, and scoring models whose knowledge is known."""

import json
import math
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.data.task_items import (
    ChoiceItem,
    CompletionItem,
    PairItem,
    chance_accuracy,
    parse_item,
    read_task,
)
from archsmith.errors import ConfigError, EvaluationError
from archsmith.evaluators.base import Request
from archsmith.evaluators.task import Task, evaluate_task, wilson_interval

END = 0


class ByteModel:
    """Tokens are bytes (0 ends a text). Knows some texts: their next byte is likely, e to 1."""

    def __init__(self, *known: str, context_tokens: int | None = None) -> None:
        self.known = [b"\0" + text.encode() + b"\0" for text in known]
        self.bos_token_id = self.eos_token_id = END
        self.context_tokens = context_tokens
        self.longest = 0

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def logits(self, tokens: list[int]) -> np.ndarray:
        self.longest = max(self.longest, len(tokens))
        found = np.zeros((len(tokens), 256), dtype=np.float32)
        for position in range(len(tokens)):
            seen = bytes(tokens[max(0, position - 4) : position + 1])
            for text in self.known:
                at = text.find(seen)
                if 0 <= at < len(text) - len(seen):
                    found[position, text[at + len(seen)]] = 6.0
        return found

    def token_pieces(self) -> list[bytes]:
        return [b"", *(bytes([value]) for value in range(1, 256))]


class WithNats(ByteModel):
    """The same, with llama.cpp's other methods."""

    def token_nats(self, tokens: list[int], num_scored: int) -> np.ndarray:
        logits = self.logits(tokens[:-1])[-num_scored:].astype(np.float64)
        chosen = logits[np.arange(num_scored), tokens[-num_scored:]]
        return np.log(np.exp(logits).sum(axis=-1)) - chosen

    def generate(self, tokens: list[int], *, max_new_tokens: int) -> list[int]:
        made: list[int] = []
        for _ in range(max_new_tokens):
            token = int(self.logits([*tokens, *made])[-1].argmax())
            if token == END:
                break
            made.append(token)
        return made


ITEMS = (
    PairItem(good="the cat sits", bad="the cat sit on"),
    ChoiceItem(prompt="two and two is", choices=(" five", " four"), answer=1),
    CompletionItem(prompt="red, green and", answer="blue"),
)
KNOWING = ("the cat sits", "two and two is four", "red, green and blue")


@pytest.mark.parametrize("kind", [ByteModel, WithNats])
def test_a_model_that_knows_gets_all_right_and_one_that_does_not_none(
    kind: type[ByteModel],
) -> None:
    knowing = evaluate_task(kind(*KNOWING), ITEMS)
    assert (knowing.accuracy, knowing.error_rate, knowing.outcomes) == (1.0, 0.0, (True,) * 3)
    wrong = evaluate_task(
        kind("the cat sit on", "two and two is five", "red, green and cold"), ITEMS
    )
    assert (wrong.num_correct, wrong.error_rate) == (0, 1.0)


def test_a_tie_is_wrong() -> None:
    item = ChoiceItem(prompt="a", choices=("bb", "cc"), answer=0)
    assert evaluate_task(ByteModel(), [item]).outcomes == (False,)


def test_length_normalization_is_by_bytes() -> None:
    # nothing is known: each byte costs ln 256, so a sum prefers the shorter choice
    item = ChoiceItem(prompt="a", choices=("b", "known words"), answer=1)
    model = ByteModel("known words")
    assert evaluate_task(model, [item], length_normalized=True).outcomes == (True,)
    assert evaluate_task(model, [item], length_normalized=False).outcomes == (False,)


def test_a_completion_ends_at_its_first_line() -> None:
    item = CompletionItem(prompt="Q", answer=" 42 ")
    assert evaluate_task(ByteModel("Q 42\nQ"), [item]).outcomes == (True,)
    assert evaluate_task(ByteModel("Q\n 42"), [item]).outcomes == (True,)
    assert evaluate_task(ByteModel("Q 421\n"), [item]).outcomes == (False,)
    assert evaluate_task(ByteModel("Q 4\n2"), [item]).outcomes == (False,)


def test_a_token_over_the_border_is_scored_whole() -> None:
    class Merging(ByteModel):
        def tokenize(self, text: str) -> list[int]:
            return list(text.replace("is f", "\x01").encode())

    item = ChoiceItem(prompt="two and two is", choices=(" five", " four"), answer=1)
    assert evaluate_task(Merging("two and two \x01our"), [item]).outcomes == (True,)


def test_long_prompts_lose_their_beginning() -> None:
    model = ByteModel("two is four", context_tokens=16)
    item = ChoiceItem(prompt="x" * 50 + "two is", choices=(" five", " four"), answer=1)
    found = evaluate_task(model, [item, item])
    assert (found.outcomes, found.num_truncated) == ((True, True), 2)
    assert model.longest <= 16
    assert "2 prompts were cut" in "\n".join(found.lines())


def test_an_answer_longer_than_the_context_is_named() -> None:
    item = ChoiceItem(prompt="a", choices=("b" * 40, "c"), answer=0)
    with pytest.raises(ConfigError, match=r"item 2 of the task: .* the context has 16"):
        evaluate_task(ByteModel(context_tokens=16), [ITEMS[0], item])


def test_a_sentence_as_long_as_the_context_is_scored() -> None:
    model = ByteModel("the cat sits", context_tokens=13)
    found = evaluate_task(model, [PairItem(good="the cat sits", bad="the cat sitz")])
    assert (found.outcomes, found.num_truncated) == ((True,), 0)


def test_wilson_intervals_are_those_of_the_formula() -> None:
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(20, 20)[1] == 1.0


def test_chance_stands_beside_the_accuracy() -> None:
    items = [*ITEMS, ChoiceItem(choices=("a", "b", "c", "d"), answer=2)]
    assert chance_accuracy(items) == pytest.approx((0.5 + 0.5 + 0 + 0.25) / 4)
    few = evaluate_task(ByteModel(*KNOWING), ITEMS[:1])
    assert not few.above_chance
    assert "chance 50.0%: cannot be told from guessing" in few.lines()[1]
    many = evaluate_task(ByteModel(*KNOWING), ITEMS[:1] * 30)
    assert many.above_chance
    assert "above it" in many.lines()[1]


def test_log_likelihood_is_that_of_the_bytes() -> None:
    # an unknown byte costs ln 256 and a known one ln(e^6 + 255) - 6
    known, unknown = math.log(math.exp(6) + 255) - 6, math.log(256)
    model = ByteModel("abcd")
    for good, bad, expected in (("abcd", "abzz", True), ("zzzz", "abcd", False)):
        assert evaluate_task(model, [PairItem(good=good, bad=bad)]).outcomes == (expected,)
    assert known < unknown


def write(path: Path, *lines: object) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_a_file_of_all_kinds_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "task.jsonl",
        "\ufeff" + json.dumps({"good": "a b", "bad": "b a"}),
        "",
        {"prompt": "x", "choices": [" y", " z"], "answer": 1},
        {"prompt": "x", "answer": "y"},
    )
    kinds = [type(item) for item in read_task(path)]
    assert kinds == [PairItem, ChoiceItem, CompletionItem]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"task.jsonl:2: not valid JSON"),
        ("[1]", r"task.jsonl:2: an item is a JSON object, got list"),
        ('{"question": "x"}', r"task.jsonl:2: cannot tell the kind .* \['question'\]"),
        ('{"good": "x"}', r"task.jsonl:2: bad: this key is required"),
        ('{"good": "x", "bad": "x"}', r"task.jsonl:2: .*the same text"),
        ('{"prompt": "x", "choices": ["a"], "answer": 0}', r"task.jsonl:2: choices: .*2 items"),
        ('{"prompt": "x", "choices": ["a", "b"], "answer": 2}', r"of a choice, 0 to 1, got 2"),
        ('{"prompt": "x", "choices": ["a", "a"], "answer": 0}', r"two choices are the same"),
        ('{"prompt": "x", "choices": ["a", ""], "answer": 0}', r"must not be empty"),
        ('{"prompt": "x", "chioces": ["a"], "answer": "0"}', r"did you mean|known:"),
        ('{"prompt": "x", "answer": "a\\nb"}', r"single line"),
        ('{"prompt": "x", "answer": " "}', r"must not be empty"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "task.jsonl", {"good": "a b", "bad": "b a"}, line)
    with pytest.raises(ConfigError, match=message):
        read_task(path)


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_task(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="holds no items"):
        read_task(write(tmp_path / "empty.jsonl", "", ""))
    with pytest.raises(ConfigError, match="at least one item"):
        evaluate_task(ByteModel(), [])


def test_the_evaluator_is_found_by_name_and_needs_a_model(tmp_path: Path) -> None:
    assert registry.find("evaluators", "task") is Task
    evaluator = Task(file="t.jsonl")
    assert evaluator.metrics() == ("task:t.jsonl",)
    request = Request(architecture=None, rung=None, seed=0, checkpoint_dir=tmp_path)
    with pytest.raises(EvaluationError, match="checkpoint_in"):
        evaluator.evaluate(request)


def test_completions_need_the_bytes_of_tokens() -> None:
    class Bare:
        def tokenize(self, text: str) -> list[int]:
            return list(text.encode())

        def logits(self, tokens: list[int]) -> np.ndarray:
            return np.zeros((len(tokens), 256), dtype=np.float32)

    with pytest.raises(EvaluationError, match="token_pieces"):
        evaluate_task(Bare(), [CompletionItem(prompt="a", answer="b")])
    assert evaluate_task(Bare(), [PairItem(good="ab", bad="abc")]).num_correct == 1


def test_minimal_pairs_of_blimp_are_read(real_texts: Path) -> None:
    with ZipFile(real_texts / "blimp" / "blimp.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jsonl")]
        rows = [json.loads(line) for line in archive.read(names[0]).decode().splitlines()]
    items = [
        parse_item({"good": r["sentence_good"], "bad": r["sentence_bad"]}, source="blimp")
        for r in rows
    ]
    assert len(items) == 1000
    assert chance_accuracy(items) == 0.5


@pytest.mark.slow
def test_the_exported_files_of_one_model_agree(tmp_path: Path) -> None:
    """A GGUF file and a transformers folder of the same weights give the same outcomes."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    from archsmith.data.corpus import Corpus, CorpusConfig
    from archsmith.data.tokenizer import Tokenizer
    from archsmith.model.transformer import build, to_numpy

    (tmp_path / "text").mkdir()
    for number in range(40):
        text = f"The {number}th cat sat on the mat and the dog ran away with {number} fish.\n" * 30
        (tmp_path / "text" / f"{number}.txt").write_text(text, encoding="utf-8")
    corpus = Corpus.prepare(
        CorpusConfig(
            files=(str(tmp_path / "text"),), near_duplicates=False, minimum_split_bytes=256,
            validation_fraction=0.1, test_fraction=0.1,
        ),
        tmp_path / "corpus",
    )  # fmt: skip
    tokenizer = Tokenizer.train(corpus, vocab_size=300)
    attention = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    layer = {
        "mixer": {"type": "attention", **attention},
        "feed_forward": {"type": "gated_mlp", "intermediate_size": 64},
    }
    architecture = Architecture.model_validate(
        {
            "hidden_size": 32, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": 64,
            "layers": [layer, layer], "quantization": "F32",
        }
    )  # fmt: skip
    # larger than at the start of training, so that likelihoods differ by more than rounding
    weights = {name: 4 * array for name, array in to_numpy(build(architecture, seed=1)).items()}
    paths = {"gguf": tmp_path / "model.gguf", "huggingface": tmp_path / "model"}
    for name, path in paths.items():
        registry.find("exporters", name).write(
            path, weights=weights, architecture=architecture, tokenizer=tokenizer, metadata={}
        )
    items = [
        *(PairItem(good=f"the cat sat {i}", bad=f"sat the {i} cat") for i in range(12)),
        *(PairItem(good=f"sat the {i} cat", bad=f"the cat sat {i}") for i in range(12)),
        *(
            ChoiceItem(prompt="The dog", choices=(f" ran {i}", f" fish {i}"), answer=0)
            for i in range(9)
        ),
        CompletionItem(prompt="The cat", answer="sat"),
    ]
    found = {name: evaluate_task(path, items) for name, path in paths.items()}
    assert found["gguf"].outcomes == found["huggingface"].outcomes
    assert 0 < found["gguf"].num_correct < len(items)

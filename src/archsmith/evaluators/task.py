"""Score a deployed model on a task of the user's own: the metric `task:FILE.jsonl`.

Likelihoods of right against wrong answers (as lm-evaluation-harness does, Gao et al. 2021), exact
match of greedy completions, minimal pairs. The metric to minimize is the error rate; its interval
is Wilson's (1927), and chance is always shown beside it. T tokens, V entries of the vocabulary.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import PositiveInt

from archsmith.config import Spec
from archsmith.data.task_items import (
    ChoiceItem,
    CompletionItem,
    PairItem,
    TaskItem,
    chance_accuracy,
    read_task,
)
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, EvaluationError, MissingExtraError
from archsmith.evaluators.base import Evaluator, Request, Result

if TYPE_CHECKING:
    from archsmith.export.worker import IsolatedLlamaCpp

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_EXTRA_TOKENS = 8  # room for white space and a line end beyond the answer itself


class Scorer(Protocol):
    """What a model must offer.

    `bos_token_id`, `eos_token_id`, `context_tokens`, `generate` and `token_nats` are used where it
    has them, as `export.llamacpp.LlamaCpp` does; completions need `token_pieces`, the bytes of
    each token.
    """

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, nothing added."""

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Logits after every token of a window that starts afresh, float32 [T, V]."""


class TaskResult(Spec):
    """What a model got right.

    Attributes:
        error_rate: 1 - accuracy, the metric to minimize.
        accuracy_low, accuracy_high: Wilson's 95 % interval over items.
        chance_accuracy: what guessing gets on average.
        num_truncated: items whose prompt was cut from the left to fit the context.
        outcomes: right or wrong, item by item, for paired comparisons.
    """

    accuracy: float
    error_rate: float
    accuracy_low: float
    accuracy_high: float
    chance_accuracy: float
    num_items: int
    num_correct: int
    num_truncated: int
    length_normalized: bool
    outcomes: tuple[bool, ...]

    @property
    def above_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.accuracy_low > self.chance_accuracy

    def lines(self) -> list[str]:
        """The result for people."""
        told = [
            f"accuracy {self.accuracy:.1%} "
            f"(95 % interval {self.accuracy_low:.1%} to {self.accuracy_high:.1%}, "
            f"{self.num_correct:,} of {self.num_items:,} items)",
            f"chance {self.chance_accuracy:.1%}: "
            + ("above it" if self.above_chance else "cannot be told from guessing"),
        ]
        if self.num_truncated:
            told.append(f"{self.num_truncated:,} prompts were cut to fit the context")
        return told


class Task(Evaluator):
    """Scores the file given as a job's `checkpoint_in`, a GGUF file or transformers folder.

    Nothing is trained: it belongs after export. `file` is the task, JSON Lines.
    """

    type: Literal["task"] = "task"
    file: str
    length_normalized: bool = True
    context_tokens: PositiveInt | None = None

    def metrics(self) -> tuple[str, ...]:
        return (f"task:{self.file}",)

    def evaluate(self, request: Request) -> Result:
        if request.checkpoint_in is None:
            raise EvaluationError(
                f"the task {self.file} is scored on an exported model; "
                "give its GGUF file or transformers folder as the job's checkpoint_in"
            )
        found = evaluate_task(
            request.checkpoint_in,
            read_task(Path(self.file)),
            length_normalized=self.length_normalized,
            context_tokens=self.context_tokens,
            num_threads=request.num_threads,
        )
        details = found.model_dump(mode="json", exclude={"outcomes"})
        return Result(metrics={f"task:{self.file}": found.error_rate}, details=details)


PART = Task


def evaluate_task(
    model: str | Path | Scorer,
    items: Sequence[TaskItem],
    *,
    length_normalized: bool = True,
    context_tokens: int | None = None,
    num_threads: int = 1,
) -> TaskResult:
    """Score a model on a task.

    Args:
        model: a GGUF file, a transformers folder, or anything with `tokenize` and `logits`.
        items: at least one, from `data.task_items.read_task`.
        length_normalized: compare choices by log-likelihood per byte; else by their sum. Minimal
            pairs are always compared by their sum, as their authors do.
        context_tokens: longest window; by default what the model was made for.
        num_threads: for a GGUF file.

    Raises:
        ConfigError: there are no items, or one does not fit the context.
        MissingExtraError: the runtime for a file is not installed.
    """
    if not items:
        raise ConfigError("a task needs at least one item")
    if not isinstance(model, str | Path):
        return _evaluate(model, items, length_normalized, context_tokens)
    path = Path(model)
    if path.is_dir():
        return _evaluate(_HuggingFace(path), items, length_normalized, context_tokens)
    with _open_gguf(path, context_tokens, num_threads) as scorer:
        return _evaluate(scorer, items, length_normalized, context_tokens)


def wilson_interval(num_correct: int, num_items: int) -> tuple[float, float]:
    """95 % interval of a proportion; sound for small counts and near 0 and 1."""
    share = num_correct / num_items
    shrink = 1 + _Z**2 / num_items
    middle = share + _Z**2 / (2 * num_items)
    half = _Z * math.sqrt(share * (1 - share) / num_items + _Z**2 / (4 * num_items**2))
    return max(0.0, (middle - half) / shrink), min(1.0, (middle + half) / shrink)


def _evaluate(
    scorer: Scorer,
    items: Sequence[TaskItem],
    length_normalized: bool,  # noqa: FBT001 - private, passed through
    context_tokens: int | None,
) -> TaskResult:
    window = _Window(scorer, context_tokens)
    outcomes, num_truncated = [], 0
    for number, item in enumerate(items, start=1):
        window.truncated = False
        try:
            outcomes.append(_is_right(window, item, length_normalized=length_normalized))
        except _TooLongError as error:
            raise ConfigError(f"item {number} of the task: {error}") from None
        num_truncated += window.truncated
    num_correct = sum(outcomes)
    low, high = wilson_interval(num_correct, len(items))
    return TaskResult(
        accuracy=num_correct / len(items),
        error_rate=1 - num_correct / len(items),
        accuracy_low=low,
        accuracy_high=high,
        chance_accuracy=chance_accuracy(items),
        num_items=len(items),
        num_correct=num_correct,
        num_truncated=num_truncated,
        length_normalized=length_normalized,
        outcomes=tuple(outcomes),
    )


def _is_right(window: "_Window", item: TaskItem, *, length_normalized: bool) -> bool:
    """Whether the model gets an item right. A tie is wrong."""
    match item:
        case PairItem():
            return window.log_likelihood("", item.good) > window.log_likelihood("", item.bad)
        case ChoiceItem():
            scores = [window.log_likelihood(item.prompt, choice) for choice in item.choices]
            if length_normalized:
                scores = [
                    score / len(choice.encode())
                    for score, choice in zip(scores, item.choices, strict=True)
                ]
            right = scores.pop(item.answer)
            return right > max(scores)
        case CompletionItem():
            return window.first_line(item) == item.answer.strip()


class _TooLongError(Exception):
    """A text does not fit the context; the caller knows which item it was."""


class _Window:
    """A scorer with its context, its first token, and what the last item needed."""

    def __init__(self, scorer: Scorer, context_tokens: int | None) -> None:
        self.scorer = scorer
        self.limit: int | None = context_tokens or getattr(scorer, "context_tokens", None)
        special = [getattr(scorer, name, -1) for name in ("bos_token_id", "eos_token_id")]
        known = [token for token in special if isinstance(token, int) and token >= 0]
        # training texts begin behind the document token; without one the first token is given
        self.start = known[:1]
        self.stops = set(known)
        self.truncated = False
        self._pieces: Sequence[bytes] = ()

    def log_likelihood(self, prompt: str, text: str) -> float:
        """log p of `text` after `prompt`, nats.

        The two are tokenized as one text; where a token straddles the border it is scored whole.
        """
        tokens = self.start + self.scorer.tokenize(prompt + text)
        given = self.start + (self.scorer.tokenize(prompt) if prompt else [])
        first = next(
            (i for i, (a, b) in enumerate(zip(tokens, given, strict=False)) if a != b),
            min(len(tokens), len(given)),
        )
        first = max(first, 1)
        if first == len(tokens):  # a single token and nothing before it
            return 0.0
        tokens, cut = self._fit(tokens, kept=len(tokens) - first + 1)
        first -= cut
        if hasattr(self.scorer, "token_nats"):
            return -float(self.scorer.token_nats(tokens, len(tokens) - first).sum())
        logits = self.scorer.logits(tokens[:-1])[first - 1 :].astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        totals = np.log(np.exp(shifted).sum(axis=-1))
        targets = np.asarray(tokens[first:])
        return float((shifted[np.arange(len(targets)), targets] - totals).sum())

    def first_line(self, item: CompletionItem) -> str:
        """The greedy completion up to its first line end, without white space around it."""
        room = item.max_new_tokens or len(self.scorer.tokenize(item.answer)) + _EXTRA_TOKENS
        tokens, _ = self._fit(self.start + self.scorer.tokenize(item.prompt), kept=1, room=room)
        if hasattr(self.scorer, "generate"):
            return self._line(self.scorer.generate(tokens, max_new_tokens=room))[0]
        made: list[int] = []
        for _ in range(room):
            token = int(self.scorer.logits([*tokens, *made])[-1].argmax())
            if token in self.stops:
                break
            made.append(token)
            if self._line(made)[1]:
                break
        return self._line(made)[0]

    def _line(self, tokens: Sequence[int]) -> tuple[str, bool]:
        """The first line of some tokens' text, and whether it has ended."""
        if not self._pieces:
            if not hasattr(self.scorer, "token_pieces"):
                raise EvaluationError(
                    "completions need a model that can turn tokens into text (token_pieces)"
                )
            self._pieces = self.scorer.token_pieces()
        text = b"".join(self._pieces[token] for token in tokens).decode(errors="replace")
        line, ended, _ = text.lstrip().partition("\n")
        return line.strip(), bool(ended)

    def _fit(self, tokens: list[int], *, kept: int, room: int = 0) -> tuple[list[int], int]:
        """Tokens cut from the left to the context, and how many were cut.

        The first token stays; the last `kept` must, and `room` tokens more must fit behind.
        """
        excess = len(tokens) + room - self.limit if self.limit else 0
        if excess <= 0:
            return tokens, 0
        head = len(self.start)
        if len(tokens) - head - excess < kept - (kept == len(tokens)):
            raise _TooLongError(
                f"its answer alone needs {kept + room + head} tokens, the context has {self.limit}"
            )
        self.truncated = True
        return self.start + tokens[head + excess :], excess


def _open_gguf(path: Path, context_tokens: int | None, num_threads: int) -> "IsolatedLlamaCpp":
    from archsmith.export.worker import IsolatedLlamaCpp

    if context_tokens is None:
        with IsolatedLlamaCpp(path, context_tokens=32) as model:
            context_tokens = model.max_position_embeddings
    return IsolatedLlamaCpp(path, context_tokens=context_tokens, num_threads=num_threads)


class _HuggingFace:
    """A transformers folder as a scorer, in float32 on the CPU. No remote code is run."""

    def __init__(self, path: Path) -> None:
        try:
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        except ImportError:
            raise MissingExtraError("scoring a transformers folder", "export") from None
        for name in ("config.json", "tokenizer.json"):
            if not (path / name).is_file():
                raise ConfigError(f"{path}: holds no {name}, so it is no transformers model")
        self._tokenizer = Tokenizer.from_file(path / "tokenizer.json")
        logging.disable_progress_bar()
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            str(path), dtype="float32", local_files_only=True
        ).eval()
        config = self._model.config.get_text_config()
        self.context_tokens: int | None = getattr(config, "max_position_embeddings", None)
        self.bos_token_id = self._tokenizer.document_token_id

    def tokenize(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            found = self._model(input_ids=torch.tensor([list(tokens)]), use_cache=False)
            return found.logits[0].float().numpy()

    def token_pieces(self) -> list[bytes]:
        size = self._tokenizer.vocab_size
        return [self._tokenizer.decode_bytes([token]) for token in range(size)]

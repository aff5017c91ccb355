"""Items of a task: one JSON object per line, of three kinds that tell themselves apart by keys.

    {"prompt": "2 + 2 =", "choices": [" 4", " 5"], "answer": 0}    the likelier continuation
    {"prompt": "2 + 2 =", "answer": " 4"}                          the greedy completion
    {"good": "She walks.", "bad": "She walk."}                     the likelier of two sentences

Texts are joined as they stand: a space between prompt and choice must be written. Minimal pairs
are those of BLiMP (Warstadt et al. 2020, arXiv 1912.00582) and Zorro (Huebner et al. 2021).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PositiveInt, model_validator

from archsmith.config import Spec, validate
from archsmith.errors import ConfigError


class ChoiceItem(Spec):
    """The `answer`-th of `choices` (counted from 0) should be the likeliest after `prompt`."""

    prompt: str = ""
    choices: tuple[str, ...] = Field(min_length=2)
    answer: int

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(
                f"answer must be the index of a choice, 0 to {len(self.choices) - 1}, "
                f"got {self.answer}"
            )
        if "" in self.choices:
            raise ValueError("a choice must not be empty")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("two choices are the same text")
        return self

    @property
    def chance(self) -> float:
        """Probability that a guess is right."""
        return 1 / len(self.choices)


class CompletionItem(Spec):
    """The first line of the greedy completion of `prompt` should be `answer`.

    White space around both is left aside.
    """

    prompt: str = Field(min_length=1)
    answer: str
    max_new_tokens: PositiveInt | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.answer.strip():
            raise ValueError("answer must not be empty")
        if "\n" in self.answer.strip():
            raise ValueError("answer must be a single line: a completion is read to its line end")
        return self

    @property
    def chance(self) -> float:
        """Probability that a guess is right: none to speak of."""
        return 0.0


class PairItem(Spec):
    """The `good` sentence should be likelier than the `bad` one, as a whole."""

    good: str = Field(min_length=1)
    bad: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.good == self.bad:
            raise ValueError("good and bad are the same text")
        return self

    @property
    def chance(self) -> float:
        """Probability that a guess is right."""
        return 0.5


TaskItem = ChoiceItem | CompletionItem | PairItem


def read_task(path: Path) -> tuple[TaskItem, ...]:
    """The items of a JSON Lines file; empty lines are passed over.

    Raises ConfigError that names the line.
    """
    items = tuple(parse_item(data, source=f"{path}:{line}") for line, data in _lines(path))
    if not items:
        raise ConfigError(
            f"{path}: holds no items; write one JSON object per line, "
            'such as {"good": "She walks.", "bad": "She walk."}'
        )
    return items


def parse_item(data: Any, *, source: str) -> TaskItem:
    """One item from JSON, its kind told by its keys. Raises ConfigError that names `source`."""
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: an item is a JSON object, got {type(data).__name__}")
    if "choices" in data:
        return validate(ChoiceItem, data, source=source)
    if "good" in data or "bad" in data:
        return validate(PairItem, data, source=source)
    if "answer" in data or "prompt" in data:
        return validate(CompletionItem, data, source=source)
    raise ConfigError(
        f"{source}: cannot tell the kind of item from the keys {sorted(data)}; write prompt, "
        "choices and answer, or prompt and answer, or good and bad"
    )


def chance_accuracy(items: Sequence[TaskItem]) -> float:
    """The share a guesser gets right on average."""
    return sum(item.chance for item in items) / len(items)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        raise ConfigError(f"{path}:{number}: not valid JSON: {error}") from None
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None

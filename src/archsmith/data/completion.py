"""Held-out prompts with the text that really follows, to show what a model writes beside it."""

import hashlib
import heapq
from collections.abc import Iterator
from typing import NamedTuple

from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split
from archsmith.errors import ConfigError, CorpusError


class Prompt(NamedTuple):
    """The beginning of a held-out text, and what follows it there."""

    prompt: str
    reference: str


def prompts(
    corpus: Corpus,
    split: Split,
    *,
    count: int,
    prompt_bytes: int = 256,
    reference_bytes: int = 256,
    seed: int = 0,
) -> list[Prompt]:
    """`count` prompts of at most `prompt_bytes` bytes, always the same ones for a seed.

    They begin and end at line borders where the lines allow. Longer texts give several candidates;
    where texts are short, fewer prompts come back. Raises ConfigError, CorpusError.
    """
    for name, value in (
        ("count", count),
        ("prompt_bytes", prompt_bytes),
        ("reference_bytes", reference_bytes),
    ):
        if value < 1:
            raise ConfigError(f"{name}: {value} is below 1")
    # the largest draws win: one pass, and memory for `count` prompts
    best: list[tuple[int, int, Prompt]] = []
    for number, made in enumerate(_candidates(corpus, split, prompt_bytes, reference_bytes)):
        digest = hashlib.blake2b(f"{seed}:{made.prompt}".encode(), digest_size=8).digest()
        entry = (int.from_bytes(digest, "big"), number, made)
        if len(best) < count:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    if not best:
        raise CorpusError(
            f"no text of the {split.value} split is long enough for a prompt of "
            f"{prompt_bytes} bytes and a continuation; ask for shorter prompts"
        )
    return [made for _, _, made in sorted(best, reverse=True)]


def _candidates(
    corpus: Corpus, split: Split, prompt_bytes: int, reference_bytes: int
) -> Iterator[Prompt]:
    """One prompt from every stretch of text twice as long as prompt and reference."""
    stretch = 2 * (prompt_bytes + reference_bytes)
    for text in corpus.documents(split):
        data = text.encode()
        for start in range(0, len(data), stretch):
            made = _cut(data[start : start + stretch], prompt_bytes, reference_bytes, start)
            if made is not None:
                yield made


def _cut(data: bytes, prompt_bytes: int, reference_bytes: int, start: int) -> Prompt | None:
    """A prompt from a piece of text, or None when too little is left to continue it."""
    begin = 0
    if start:  # inside a document: skip the rest of a line, else of a character
        newline = data.find(b"\n", 0, prompt_bytes)
        begin = newline + 1 if newline >= 0 else 0
    text = data[begin:].decode("utf-8", errors="ignore")
    head = text.encode()[:prompt_bytes]
    newline = head.rfind(b"\n", len(head) // 2)
    prompt = (head[: newline + 1] if newline >= 0 else head).decode("utf-8", errors="ignore")
    rest = text[len(prompt) :].encode()[:reference_bytes]
    reference = rest.decode("utf-8", errors="ignore")
    if not prompt.strip() or len(rest) < min(reference_bytes, 32) or not reference.strip():
        return None
    return Prompt(prompt, reference)

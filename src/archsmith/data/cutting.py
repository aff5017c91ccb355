"""Cutting a long document into pieces at borders that its content decides.

Content-defined chunking (Muthitacharoen, Chen and Mazières 2001, LBFS) over paragraphs: a piece
ends where a paragraph's hash says so. A border depends on the text near it and not on its
position, so adding or deleting text early in a file leaves later pieces, and therefore the split
they belong to, as they were.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_BLANK_LINE = re.compile(r"(?<=\n)[ \t\r]*\n(?![ \t\r]*\n)")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s")


class Piece(NamedTuple):
    """Part of a document; `first` begins one."""

    text: str
    first: bool


def pieces(
    chunks: Iterable[str], *, piece_bytes: int, separators: Sequence[str] = ()
) -> Iterator[Piece]:
    """Cut the text that `chunks` spell at `separators`, then into blocks of paragraphs.

    Separators are removed; otherwise the pieces joined are the text. Pieces are about
    `piece_bytes` long, and below six times that. Needs memory for one chunk and one piece.
    """
    for document in _separated(chunks, separators):
        for index, text in enumerate(_blocks(document, piece_bytes)):
            yield Piece(text, first=index == 0)


def _separated(chunks: Iterable[str], separators: Sequence[str]) -> Iterator[Iterator[str]]:
    """One iterator of text for each part between separators; each must be used up in turn."""
    if not separators:
        yield iter(chunks)
        return
    pattern = re.compile("|".join(re.escape(s) for s in sorted(separators, key=len, reverse=True)))
    longest = max(len(separator) for separator in separators)
    source = iter(chunks)
    state = {"rest": "", "done": False}

    def part() -> Iterator[str]:
        while True:
            rest = str(state["rest"])
            found = pattern.search(rest)
            # a separator may be cut by the chunk's end: wait until the next chunk has come
            if found and (found.start() + longest <= len(rest) or state["done"]):
                state["rest"] = rest[found.end() :]
                yield rest[: found.start()]
                return
            if state["done"]:
                state["rest"] = ""
                yield rest
                return
            if found is None and len(rest) >= longest:
                yield rest[: 1 - longest] if longest > 1 else rest
                state["rest"] = rest[1 - longest :] if longest > 1 else ""
            chunk = next(source, None)
            if chunk is None:
                state["done"] = True
            else:
                state["rest"] = str(state["rest"]) + chunk

    while not state["done"] or state["rest"]:
        yield part()


def _blocks(chunks: Iterator[str], piece_bytes: int) -> Iterator[str]:
    held: list[str] = []
    held_bytes = 0
    for paragraph in _paragraphs(chunks, limit_bytes=piece_bytes):
        held.append(paragraph)
        num_bytes = len(paragraph.encode())
        held_bytes += num_bytes
        if held_bytes >= 2 * piece_bytes or (
            held_bytes >= piece_bytes // 2 and _is_border(paragraph, num_bytes, piece_bytes)
        ):
            yield "".join(held)
            held, held_bytes = [], 0
    if held:
        yield "".join(held)


def _is_border(paragraph: str, num_bytes: int, piece_bytes: int) -> bool:
    """True for a paragraph with a chance that grows with its length, decided by its hash."""
    draw = int.from_bytes(hashlib.blake2b(paragraph.encode(), digest_size=8).digest(), "big")
    return draw / 2**64 < min(1.0, 2 * num_bytes / piece_bytes)


def _paragraphs(chunks: Iterator[str], *, limit_bytes: int) -> Iterator[str]:
    """Paragraphs with the blank lines after them; those above the limit are cut at finer borders.

    `limit_bytes` bounds characters here, hence bytes within a factor of four.
    """
    rest = ""
    for chunk in chunks:
        rest += chunk
        start = 0
        for found in _BLANK_LINE.finditer(rest):
            # the blank line may go on in the next chunk
            if found.end() < len(rest):
                yield from _finer(rest[start : found.end()], limit_bytes)
                start = found.end()
        rest = rest[start:]
        while len(rest) > 8 * limit_bytes:
            *ready, rest = _finer(rest, limit_bytes)
            yield from ready
    if rest:
        yield from _finer(rest, limit_bytes)


def _finer(text: str, limit: int) -> list[str]:
    """Cut text of more than `limit` characters at lines, else at white space, else anywhere."""
    parts = []
    while len(text) > limit:
        for border in (_LINE, _WORD):
            ends = [found.end() for found in border.finditer(text, 1, limit)]
            if ends:
                break
        else:
            ends = [limit]
        parts.append(text[: ends[-1]])
        text = text[ends[-1] :]
    return [*parts, text]


def middle_border(text: str, target_bytes: int) -> int:
    """The character at which to cut so that about `target_bytes` bytes stand before it.

    The paragraph border nearest to the target, the end of the text being one; in a text without
    paragraphs the nearest end of a line, else of a word, else of a character.
    """
    for border in (_BLANK_LINE, _LINE, _WORD):
        ends = [found.end() for found in border.finditer(text)]
        if not ends:
            continue
        best, best_distance = len(text), abs(len(text.encode()) - target_bytes)
        start = num_bytes = 0
        for end in ends:
            num_bytes += len(text[start:end].encode())
            start = end
            if abs(num_bytes - target_bytes) < best_distance:
                best, best_distance = end, abs(num_bytes - target_bytes)
        return best
    return len(text.encode()[: max(target_bytes, 0)].decode("utf-8", errors="ignore"))

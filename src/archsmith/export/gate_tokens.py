"""The gate's first question: do all tokenizers of an export give the same ids?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archsmith.errors import ArchsmithError, GateError, MissingExtraError
from archsmith.export.worker import IsolatedLlamaCpp

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer

STRESS_TEXTS = (
    "Plain words, and some more of them.",
    "   leading and trailing   ",
    "tabs\tand\n\nnew lines\r\n and     runs of spaces",
    "def f(x):\n    return {x: [1, 22, 333, 4444, 12345678]}  # code",
    "I'll don't WE'VE they're It'S",
    "emoji 🙂🏳️‍🌈👩‍👩‍👧 and combining e\u0301 a\u0308",
    "Ελληνικά, кириллица, 日本語のテキスト, العربية, हिन्दी, ไทย",
    "<|endoftext|> in the text, and <|endoftext",
    "\u00a0no-break\u2003em space\u200bzero width\ufeff",
    "!?...---===((([[[{{{`~@#$%^&*+|\\/",
    "",
)


def check_tokens(tokenizer: "Tokenizer", huggingface: Path, gguf: Path) -> None:
    """Ours, transformers' and llama.cpp's ids are equal on texts chosen to break tokenizers.

    Compared as text without control tokens, and as users meet it: with the document token in front
    and control tokens in the text read as such. Raises GateError naming the text and the token.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("checking an export", "export") from None
    stock = AutoTokenizer.from_pretrained(str(huggingface), local_files_only=True)
    try:
        model = IsolatedLlamaCpp(gguf, context_tokens=256)
    except ArchsmithError as error:
        raise GateError(str(error)) from None
    with model:
        if model.eos_token_id != tokenizer.document_token_id:
            raise GateError(
                f"{gguf.name}: the end-of-text token is {model.eos_token_id}, "
                f"expected {tokenizer.document_token_id}"
            )
        for text in STRESS_TEXTS:
            own = tokenizer.encode(text)
            # not verbose: a stress text may be longer than the context, which harms nobody here
            plain = stock(
                text, add_special_tokens=False, split_special_tokens=True, verbose=False
            ).input_ids
            _same_tokens(text, own, list(plain), tokenizer, "transformers")
            _same_tokens(text, own, model.tokenize(text), tokenizer, f"llama.cpp ({gguf.name})")
            users = list(stock(text, verbose=False).input_ids)
            theirs = model.tokenize(text, add_special=True, parse_special=True)
            _same_tokens(text, users, theirs, tokenizer, "llama.cpp with control tokens")
            if users[:1] != [tokenizer.document_token_id]:
                raise GateError("transformers puts no document token in front of a text")


def _same_tokens(
    text: str, expected: Sequence[int], found: Sequence[int], tokenizer: "Tokenizer", who: str
) -> None:
    if list(expected) == list(found):
        return
    place = next(
        (i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]),
        min(len(expected), len(found)),
    )
    entries = tokenizer.tokens()

    def shown(ids: Sequence[int]) -> str:
        named = [repr(entries[i]) if i < len(entries) else str(i) for i in ids[place : place + 3]]
        return " ".join(named) or "nothing"

    raise GateError(
        f"{who} reads {text!r} as other tokens: at token {place} {shown(found)}, "
        f"expected {shown(expected)}"
    )

"""The pre-tokenizers that `tokenizers` and llama.cpp compute alike, and GPT-2's byte alphabet."""

from pathlib import Path
from typing import Any

from tokenizers import Regex, pre_tokenizers

from archsmith.errors import ConfigError, did_you_mean

# as published with Llama 3 and Qwen2, and as llama.cpp has them for "llama-bpe" and "qwen2"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES = {"llama-bpe": _WORDS % "{1,3}", "qwen2": _WORDS % ""}
PRE_TOKENIZERS = ("gpt-2", *REGEXES)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    stand_ins = {chr(byte): byte for byte in printable}
    return stand_ins | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()


def pre_tokenizer_named(name: str) -> Any:
    """The library's part for a name. Raises ConfigError."""
    if name not in PRE_TOKENIZERS:
        known = did_you_mean(name, PRE_TOKENIZERS)
        raise ConfigError(f"pre_tokenizer: unknown pre-tokenizer '{name}'; {known}")
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(REGEXES[name]), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def kind_of_file(data: dict[str, Any], path: Path) -> str:
    """The name of a file's pre-tokenizer. Raises ConfigError where the file is of no known kind."""
    model = data.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        given = "BPE with byte fallback" if model.get("byte_fallback") else model.get("type")
        raise ConfigError(f"{path}: a byte-level BPE tokenizer is needed; this one is {given}")
    normalizer = data.get("normalizer")
    if normalizer is not None and normalizer.get("type") != "NFC":
        raise ConfigError(
            f"{path}: its normalizer {normalizer.get('type')} changes the text; "
            "a byte-level BPE without one is needed"
        )
    found = data.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    last = steps[-1]
    if last.get("type") == "ByteLevel" and not last.get("add_prefix_space"):
        regexes = [step.get("pattern", {}).get("Regex") for step in steps[:-1]]
        if not regexes and last.get("use_regex", True):
            return "gpt-2"
        for name, regex in REGEXES.items():
            if regexes == [regex] and not last.get("use_regex", True):
                return name
    raise ConfigError(
        f"{path}: its pre-tokenizer is none of {', '.join(PRE_TOKENIZERS)}, "
        "the ones llama.cpp computes alike"
    )

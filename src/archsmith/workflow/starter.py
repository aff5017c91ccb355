"""The `search.toml` that `archsmith init` writes: commented, sized to corpus and machine."""

from collections.abc import Sequence
from pathlib import Path

from archsmith.units import format_bytes, parse_bytes

_TEMPLATE = """\
# {study_name}: written by `archsmith init` for {corpus_bytes} of text on {num_cores} cores.
# Check it with `archsmith check`, run it with `archsmith search`; a second start continues.
# Every key may be left out; `archsmith check --json` prints the file with all defaults filled in.

study_name = "{study_name}"
storage = "sqlite:///archsmith.db"        # or postgresql://user@host/database
output_dir = "archsmith-output"           # token files, checkpoints, the models handed over
objectives = ["bits_per_byte"]            # also "file_bytes", "task:FILE.jsonl", …
limits = [{limits}]
timeout = "{timeout}"                          # the whole job: search, final training, export
n_jobs = {n_jobs}                                # candidates trained side by side, one core each
seed = 0
# baselines = []                          # no parameter maximizer, tuned and trained for what the
#                                         # search cost: more time for it, but no verdict

[corpus]
files = [{files}]
exclude = []                              # globs, as "drafts/**"
{fractions}# text_field = "text"                     # for .jsonl files
# near_duplicates = true                  # drop documents that nearly repeat another

[tokenizer]
vocab_sizes = {vocab_sizes}               # the vocabulary is searched too
# file = "tokenizer.json"                 # or use your own

[space]
preset = "portable"                       # loads in transformers and llama.cpp; or "phi"
quantizations = ["Q8_0", "Q4_0"]          # of the file that is deployed

[strategy]
type = "law_guided"                       # "regularized_evolution", "nsga2", "random", …

[plan]
context_bytes = {context_bytes}                     # text that one context covers
rungs = [0.03, 0.1, 0.3]                  # shares of the final training
search_share = 0.25                       # of the time; calibration and export are set aside first

[training]
optimizer = "muon"                        # or "adamw"
"""

_FRACTIONS = """\
validation_fraction = {held_out}                # of a small corpus, enough to tell models apart
test_fraction = {held_out}
"""
# Held-out text below this says little, and the splits of a small corpus vary around their share.
_HELD_OUT_BYTES = 32_768


def starter_text(
    *,
    study_name: str,
    files: Sequence[str],
    corpus_bytes: int,
    num_cores: int,
    limits: Sequence[str] = (),
    timeout: str = "8h",
) -> str:
    """The text of a search file for a corpus of `corpus_bytes` bytes."""
    held_out = held_out_fraction(corpus_bytes)
    return _TEMPLATE.format(
        study_name=study_name,
        corpus_bytes=format_bytes(corpus_bytes),
        num_cores=num_cores,
        limits=", ".join(f'"{limit}"' for limit in limits or ("file_bytes <= 16MiB",)),
        timeout=timeout,
        n_jobs=max(num_cores, 1),
        files=", ".join(f'"{pattern}"' for pattern in files),
        vocab_sizes=list(vocab_sizes_for(corpus_bytes)),
        fractions="" if held_out <= 0.02 else _FRACTIONS.format(held_out=held_out),
        context_bytes=1024 if corpus_bytes < parse_bytes("20MB") else 2048,
    )


def vocab_sizes_for(corpus_bytes: int) -> tuple[int, ...]:
    """Vocabularies worth offering: at most five, from 512 entries up.

    The largest has about 500 bytes of corpus per entry: rarer entries are seen too seldom to learn.
    """
    largest = max(512, corpus_bytes // 500)
    sizes = [size for size in (512, 1024, 2048, 4096, 8192, 16384, 32768) if size <= largest]
    return tuple(sizes[-5:])


def held_out_fraction(corpus_bytes: int) -> float:
    """Share of the text for each held-out split: 2 %, more of a corpus below 1.6 MB."""
    return round(min(max(_HELD_OUT_BYTES / max(corpus_bytes, 1), 0.02), 0.2), 3)


def study_name_of(folder: Path) -> str:
    """A study name from a folder's name: letters, digits, dots, dashes and underscores."""
    name = folder.resolve().name
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in name if c.isascii())
    return kept.strip("-.") or "study"

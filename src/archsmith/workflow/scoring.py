"""Score any GGUF file or transformers folder on a corpus's split, with its interval."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from archsmith.config import Spec
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.intervals import score_interval
from archsmith.data.protocol import Score, ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import StoreError
from archsmith.export.score import score_path
from archsmith.store.store import connect
from archsmith.store.urls import resolve_storage
from archsmith.workflow.search_config import load_search_config
from archsmith.workflow.workspace import Workspace, prepare_corpus


class PathScore(Spec):
    """A score with its 95 % interval over blocks of text.

    `word_perplexity` is `exp(nats / words)`, words being what white space divides with an end of
    line each, as WikiText counts them; None where the score covers only a part of the split.
    """

    path: str
    split: str
    score: Score
    low: float
    high: float
    num_words: int
    word_perplexity: float | None


def score_model_path(
    path: Path,
    *,
    config_file: Path,
    files: Sequence[str] = (),
    split: str,
    report: Callable[[str, float], None] = lambda what, fraction: None,
    num_threads: int = 1,
) -> PathScore:
    """Score on the corpus of a search file, or on `files` divided in the same way.

    Raises ConfigError, CorpusError, ExportError.
    """
    chosen = Split(split)
    if files:
        with tempfile.TemporaryDirectory(prefix="archsmith-score-") as folder:
            work = Path(folder)
            config = CorpusConfig(files=tuple(files))
            corpus = prepare_corpus(config, work, root=Path(), report=report)
            return score_on(
                path, corpus, chosen, ScoringProtocol(), tokens_dir=work, num_threads=num_threads
            )
    search, root = load_search_config(config_file)
    workspace = Workspace(search, root=root, report=report)
    if chosen is Split.TEST:
        note_opening(search.storage, root, search.study_name, str(path))
    return score_on(
        path,
        workspace.corpus,
        chosen,
        search.protocol,
        tokens_dir=workspace.tokens_dir,
        num_threads=num_threads,
    )


def note_opening(storage: str, root: Path, study_name: str, what: str) -> None:
    """Keep with the study that its sealed test was read once more; nothing without a study."""
    try:
        store = connect(resolve_storage(storage, root))
        notes = store.notes(study_name)
    except StoreError:
        return
    opened = [*notes.get("test_opened", []), {"time": time.time(), "what": what}]
    store.put_note(study_name, "test_opened", opened)


def score_on(
    path: Path,
    corpus: Corpus,
    split: Split,
    protocol: ScoringProtocol,
    *,
    tokens_dir: Path,
    num_threads: int = 1,
) -> PathScore:
    """Score a model on a prepared corpus, with the model's own tokenizer."""

    def token_file_for(tokenizer: Tokenizer) -> TokenFile:
        return TokenFile.build(corpus, split, tokenizer, tokens_dir)

    score = score_path(path, token_file_for, protocol, num_threads=num_threads)
    interval = score_interval(score)
    num_words = count_words(corpus, split)
    whole = score.num_bytes == corpus.split_bytes(split)
    return PathScore(
        path=str(path),
        split=split.value,
        score=score,
        low=interval.low,
        high=interval.high,
        num_words=num_words,
        word_perplexity=word_perplexity(score.nats, num_words) if whole else None,
    )


def count_words(corpus: Corpus, split: Split) -> int:
    """Words between white space, and one for each end of line."""
    return sum(len(text.split()) + text.count("\n") for text in corpus.documents(split))


def word_perplexity(nats: float, num_words: int) -> float:
    """Perplexity per word of the nats spent on a whole text."""
    return math.exp(nats / max(num_words, 1))

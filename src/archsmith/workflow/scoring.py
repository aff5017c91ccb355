"""Score any GGUF file or transformers folder on a corpus's split, with its interval."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from archsmith.config import Spec
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.intervals import score_interval
from archsmith.data.protocol import Score, ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.export.score import score_path
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
    if files:
        protocol = ScoringProtocol()
        work = Path(".archsmith")
        corpus = prepare_corpus(CorpusConfig(files=tuple(files)), work, root=Path(), report=report)
        tokens_dir = work / "tokens"
    else:
        config, root = load_search_config(config_file)
        workspace = Workspace(config, root=root, report=report)
        protocol, corpus, tokens_dir = config.protocol, workspace.corpus, workspace.tokens_dir
    return score_on(
        path, corpus, Split(split), protocol, tokens_dir=tokens_dir, num_threads=num_threads
    )


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

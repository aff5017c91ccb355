"""A suggestion for a prepared corpus: how hard its text is, how fast this machine trains."""

import time
from collections.abc import Callable

from archsmith.architecture.tree import Architecture
from archsmith.data.ngram import NGramModel
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.presets import scaled_llama
from archsmith.train.recipe import Recipe
from archsmith.workflow.suggestion import Suggestion, measure_speed, require_feasible, suggest
from archsmith.workflow.throughput import training_tokens_per_second
from archsmith.workflow.workspace import Workspace

# The corpus's difficulty, measured as it was for the runs behind the prior.
_CORPUS_SAMPLE_BYTES = 2_000_000
_DIFFICULTY_BYTES = 1 << 17


def make_suggestion(
    workspace: Workspace,
    *,
    recipe: Recipe,
    seconds: float | None,
    train_bytes: int | None,
    num_threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Suggestion:
    """Measure the corpus and this machine for a moment, then ask the prior.

    `clock` measures the training speed; its seconds are those that the plan is made for.
    """
    corpus, problem = workspace.corpus, workspace.problem()
    require_feasible(problem)
    difficulty = (
        NGramModel.fit(corpus, order=6, max_bytes=_CORPUS_SAMPLE_BYTES)
        .score(corpus, Split.SEARCH, ScoringProtocol(max_bytes=_DIFFICULTY_BYTES))
        .bits_per_byte
    )
    reference = _reference_architecture()
    speed = measure_speed(
        reference,
        tokens_per_second=lambda architecture: training_tokens_per_second(
            architecture, recipe=recipe, num_threads=num_threads, clock=clock
        ),
        threads=num_threads,
    )
    return suggest(
        problem,
        bytes_per_token=workspace.bytes_per_token,
        corpus_bits_per_byte=difficulty,
        speed=speed,
        corpus_train_bytes=corpus.split_bytes(Split.TRAIN),
        seconds=None if train_bytes is not None else seconds,
        train_bytes=train_bytes,
    )


def _reference_architecture() -> Architecture:
    """What training speed is measured on: 1.3M parameters, an update takes a fraction of a second.

    Larger networks reach more FLOPs per second, so times predicted for them are on the long side.
    """
    return scaled_llama(160, vocab_size=1024, context_tokens=256, quantization="Q8_0")

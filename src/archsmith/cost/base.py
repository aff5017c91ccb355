"""What every cost model is: a function from architecture to one metric."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.device.training_choice import NumberFormat
from archsmith.errors import ExportError

# bytes of GGUF metadata that a vocabulary of this size needs (tokens, types, merges)
TokenizerBytes = Callable[[int], int]


class TrainingSettings(NamedTuple):
    """What of a training recipe decides about memory; as it stands, the default recipe's.

    Attributes:
        optimizer: `muon` or `adamw`.
        batch_tokens: tokens per update, rounded to whole windows of the context.
        dtype: of weights and activations.
    """

    optimizer: Literal["muon", "adamw"] = "muon"
    batch_tokens: int = 1024
    dtype: NumberFormat = "float32"


class CostContext(NamedTuple):
    """What a cost model may need beside the architecture.

    Attributes:
        tokenizer_bytes: GGUF metadata bytes for a vocabulary size; None if no tokenizer is known,
            then `file_bytes` counts tensors and architecture keys only.
        context_length: tokens at which memory is counted; None for the architecture's own maximum.
        training: how candidates are trained.
    """

    tokenizer_bytes: TokenizerBytes | None = None
    context_length: int | None = None
    training: TrainingSettings = TrainingSettings()


class CostModel(NamedTuple):
    """A metric and how to compute it. `exact`: equal to the measured value, not an estimate."""

    metric: str
    exact: bool
    estimate: Callable[[Architecture, CostContext], float]


def static_metrics(architecture: Architecture, context: CostContext) -> dict[str, float]:
    """Every metric that some cost model computes, kept per architecture and context.

    A metric that an architecture cannot have (a file size where no GGUF file can hold it) is
    absent.
    """
    return dict(_metrics(architecture, context))


@lru_cache(maxsize=1 << 16)
def _metrics(architecture: Architecture, context: CostContext) -> Mapping[str, float]:
    metrics = {}
    for name in registry.names("cost"):
        model: CostModel = registry.find("cost", name)
        try:
            metrics[model.metric] = model.estimate(architecture, context)
        except ExportError:
            continue
    return metrics

"""The scoring protocol on a torch model, several windows at a time."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from archsmith.data.protocol import Score, ScoringProtocol, Window, plan, summarize, windows
from archsmith.data.token_file import TokenFile
from archsmith.model.transformer import Transformer
from archsmith.train.faults import memory_errors

_BATCH_TOKENS = 4096  # tokens read at once


def score_model(model: Transformer, token_file: TokenFile, protocol: ScoringProtocol) -> Score:
    """Held-out bits per byte of a model by a protocol, on the model's device and in its dtype.

    Raises CorpusError for an empty split, OutOfMemoryError.
    """
    made = plan(
        token_file,
        protocol,
        max_position_embeddings=model.architecture.max_position_embeddings,
    )
    nats = np.empty(made.num_tokens - 1, dtype=np.float64)
    device = model.lm_head.weight.device
    found = windows(
        token_file,
        context_tokens=made.context_tokens,
        stride_tokens=made.stride_tokens,
        max_tokens=made.num_tokens,
    )
    with memory_errors(f"scoring {model.architecture.summary()}"):
        for batch in _batches(found, max(1, _BATCH_TOKENS // made.context_tokens)):
            num_scored = batch[0].num_scored
            stream = torch.from_numpy(np.stack([window.tokens for window in batch])).to(device)
            batch_nats = model.token_nats(stream[:, :-1], stream[:, -num_scored:])
            for window, row in zip(batch, batch_nats.double().cpu().numpy(), strict=True):
                nats[window.start - 1 : window.start - 1 + num_scored] = row
    return summarize(token_file, protocol, made, nats)


def _batches(found: Iterable[Window], size: int) -> Iterator[list[Window]]:
    """Neighbouring windows of one length and one number of scored tokens, at most `size`."""
    batch: list[Window] = []
    for window in found:
        shape = (len(window.tokens), window.num_scored)
        if batch and (len(batch) == size or shape != (len(batch[0].tokens), batch[0].num_scored)):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch

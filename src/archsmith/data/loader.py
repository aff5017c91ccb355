"""Training batches in an order that is a pure function of the step, so a resumed run continues it.

The token stream is a ring: its end is followed by its start, which is a document token. In each
epoch it is cut into windows of `context_tokens` from a new random offset, and every window comes
once, in a new random order.
"""

from functools import lru_cache

import numpy as np

from archsmith.data.token_file import TokenFile
from archsmith.errors import CorpusError


class BatchOrder:
    """Which windows of a token stream make up each training batch.

    Attributes:
        windows_per_epoch: windows an epoch has; less than one window of the ring is left out,
            at a different place each time.
    """

    def __init__(
        self, tokens: TokenFile, *, context_tokens: int, batch_size: int, seed: int
    ) -> None:
        if tokens.num_tokens < context_tokens + 1:
            raise CorpusError(
                f"the {tokens.split.value} split has {tokens.num_tokens:,} tokens, too few for a "
                f"context of {context_tokens:,}; give more text or a shorter context"
            )
        self.tokens = tokens
        self.context_tokens = context_tokens
        self.batch_size = batch_size
        self.seed = seed
        self.windows_per_epoch = tokens.num_tokens // context_tokens
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    @property
    def batch_tokens(self) -> int:
        """Tokens predicted in a batch."""
        return self.batch_size * self.context_tokens

    @property
    def batch_bytes(self) -> float:
        """Bytes of text a batch stands for, on average."""
        return self.batch_tokens * self.tokens.bytes_per_token

    def batch(self, step: int) -> np.ndarray:
        """int64 [batch_size, context_tokens + 1]: inputs and, shifted by one, their targets."""
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        return np.stack([self._window(number) for number in numbers])

    def _window(self, number: int) -> np.ndarray:
        epoch, index = divmod(number, self.windows_per_epoch)
        offset, order = self._epoch(epoch)
        start = (offset + int(order[index]) * self.context_tokens) % self.tokens.num_tokens
        stream = self.tokens.tokens
        window = np.array(stream[start : start + self.context_tokens + 1], dtype=np.int64)
        short = self.context_tokens + 1 - len(window)
        if short:
            window = np.concatenate([window, np.array(stream[:short], dtype=np.int64)])
        return window

    def _make_epoch(self, epoch: int) -> tuple[int, np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        offset = int(rng.integers(self.tokens.num_tokens))
        order = np.arange(self.windows_per_epoch, dtype=np.uint32)
        rng.shuffle(order)
        return offset, order

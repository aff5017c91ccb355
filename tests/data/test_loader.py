from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsmith.data.loader import BatchOrder
from archsmith.data.token_file import TokenFile
from archsmith.errors import CorpusError

Stream = Callable[[int], TokenFile]


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """A token file in which the id is the position."""

    def make(num_tokens: int) -> TokenFile:
        token_bytes = np.full(num_tokens, 3)
        token_bytes[0] = 0
        return TokenFile.from_tokens(
            np.arange(num_tokens), tmp_path / f"{num_tokens}.tokens", token_bytes=token_bytes
        )

    return make


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    num_tokens=st.integers(20, 300),
    context=st.integers(1, 19),
    batch_size=st.integers(1, 7),
    seed=st.integers(0, 5),
)
def test_an_epoch_covers_each_window_once(
    stream: Stream, num_tokens: int, context: int, batch_size: int, seed: int
) -> None:
    order = BatchOrder(stream(num_tokens), context_tokens=context, batch_size=batch_size, seed=seed)
    windows = order.windows_per_epoch
    steps = -(-2 * windows // batch_size)
    rows = np.concatenate([order.batch(step) for step in range(steps)])
    assert rows.shape[1] == context + 1
    assert rows.dtype == np.int64
    assert (np.diff(rows, axis=1) % num_tokens == 1).all()  # neighbours on the ring
    for epoch in range(2):
        inputs = rows[epoch * windows : (epoch + 1) * windows, :-1].ravel()
        assert len(set(inputs.tolist())) == len(inputs) == windows * context
        assert num_tokens - len(inputs) < context


def test_a_batch_is_a_pure_function_of_the_step(stream: Stream) -> None:
    settings_ = {"context_tokens": 7, "batch_size": 4, "seed": 3}
    tokens = stream(500)
    first = BatchOrder(tokens, **settings_)
    batches = [first.batch(step) for step in range(60)]
    resumed = BatchOrder(tokens, **settings_)
    for step in (59, 0, 31, 17, 31):
        np.testing.assert_array_equal(resumed.batch(step), batches[step])
    other = BatchOrder(tokens, **(settings_ | {"seed": 4}))
    assert not np.array_equal(other.batch(0), batches[0])


def test_epochs_differ_in_order_and_offset(stream: Stream) -> None:
    order = BatchOrder(stream(1000), context_tokens=10, batch_size=100, seed=0)
    first, second = order.batch(0)[:, 0], order.batch(1)[:, 0]
    assert set(first % 10) != set(second % 10)
    assert np.argsort(first).tolist() != np.argsort(second).tolist()


def test_bytes_of_a_batch(stream: Stream) -> None:
    order = BatchOrder(stream(300), context_tokens=10, batch_size=4, seed=0)
    assert order.batch_tokens == 40
    assert order.batch_bytes == pytest.approx(40 * 299 * 3 / 300)


def test_too_short_a_stream_is_refused(stream: Stream) -> None:
    with pytest.raises(CorpusError, match="has 20 tokens, too few for a context of 20"):
        BatchOrder(stream(20), context_tokens=20, batch_size=1, seed=0)

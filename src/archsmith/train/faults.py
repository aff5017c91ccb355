"""Turn what torch raises when memory runs out into our own error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archsmith.errors import OutOfMemoryError

# the CPU allocator has no exception of its own
_ALLOCATOR_WORDS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator")


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Raises OutOfMemoryError, naming what needed the memory, in place of three others."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemoryError(f"out of memory {what}: {_first_line(error)}") from error
    except RuntimeError as error:
        if any(words in str(error) for words in _ALLOCATOR_WORDS):
            raise OutOfMemoryError(f"out of memory {what}: {_first_line(error)}") from error
        raise


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

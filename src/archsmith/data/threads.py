"""How many threads the `tokenizers` library uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads(num_threads: int | None) -> Iterator[None]:
    """Run the library's parallel parts on `num_threads` threads; None leaves it to the machine.

    One thread always holds; a larger number holds if it is asked for before the first parallel
    call of the process, when the library makes its pool.
    """
    if num_threads is None:
        yield
        return
    wanted = {"TOKENIZERS_PARALLELISM": "true" if num_threads > 1 else "false"}
    if num_threads > 1:
        wanted["RAYON_NUM_THREADS"] = str(num_threads)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""What the tests of processes share."""

from collections.abc import Callable

import psutil
import pytest


@pytest.fixture
def children() -> Callable[[], list[psutil.Process]]:
    """Gives the processes that came up below this one since the test began.

    Those that were there are others' business: libraries leave helpers of their own.
    """

    def all_of_them() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    before = {child.pid for child in all_of_them()}
    return lambda: [child for child in all_of_them() if child.pid not in before]

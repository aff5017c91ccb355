"""An evaluator that cannot be forked, without torch; imported by tests and their workers."""

import threading
from typing import Literal

from helpers_study import Toy


class Threaded(Toy):
    """An evaluator whose library keeps a thread."""

    type: Literal["threaded"] = "threaded"  # type: ignore[assignment]

    def warm_up(self, *, num_threads: int) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()

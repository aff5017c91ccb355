"""Evaluators that tell what their process is like, or bring it into trouble.

Imported by the tests and, through PYTHONPATH, by their worker processes.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from archsmith.evaluators.base import Progress, Request, Result
from archsmith.evaluators.trunk_training import TrunkTraining


class Spy(TrunkTraining):
    """Trains, and writes a line of JSON on its process to `log` at every reading and at the end.

    At the reading of step `dies_at` it kills its process with SIGKILL, the first time.
    """

    type: Literal["spy"] = "spy"  # type: ignore[assignment]
    log: Path
    dies_at: int | None = None

    def evaluate(self, request: Request) -> Result:
        def tell(progress: Progress) -> None:
            self._write(step=progress.step)
            mark = request.checkpoint_dir / "died"
            if progress.step == self.dies_at and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            request.on_progress(progress)

        result = super().evaluate(replace(request, on_progress=tell))
        import torch

        product = torch.ones(600, 600) @ torch.ones(600, 600)
        self._write(
            modules=sorted(sys.modules),
            num_threads=torch.get_num_threads(),
            tasks=len(list(Path("/proc/self/task").iterdir())),
            session=os.getsid(0) == os.getpid(),
            product=float(product[0, 0]),
        )
        return result

    def _write(self, **what: Any) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), "parent": os.getppid(), **what}) + "\n")

"""The arms beside a search's winner: their names, and their training side by side."""

import re
from collections.abc import Callable, Sequence

from archsmith.evaluators.base import Progress
from archsmith.workflow.arms import ArmProcess, ArmTask, wait_for

MAXIMIZER = "parameter maximizer"
# strategy -> its arm's name in tables
BASELINES = {
    "parameter_maximizer": MAXIMIZER,
    "llama_shape": "fitted Llama shape",
    "phi3_shape": "fitted Phi-3 shape",
}


def train_side_by_side(
    tasks: Sequence[ArmTask], *, at_once: int, on_progress: Callable[[str, Progress], None]
) -> None:
    """Train each in a process of its own, `at_once` at a time. Raises EvaluationError."""
    waiting = list(tasks)
    while waiting:
        group, waiting = waiting[:at_once], waiting[at_once:]
        wait_for([ArmProcess(task, on_progress=on_progress) for task in group])


def folder_name(name: str) -> str:
    """An arm's name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()

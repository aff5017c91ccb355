"""The user's own task as an objective: errors on `task:FILE.jsonl`, measured on the exported file.

While candidates are trained, bits per byte stands in as the cheap signal; the finalists, and at the
end the winner, are exported and asked the task itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from archsmith.data.task_items import read_task
from archsmith.evaluators.task import evaluate_task

_PREFIX = "task:"
SIGNAL = "bits_per_byte"
# What training alone tells. Every other metric of a network is computed or measured before it.
LEARNED = frozenset({SIGNAL, "train_seconds"})


def is_task(objective: str) -> bool:
    """Whether an objective is a task's error rate."""
    return objective.startswith(_PREFIX)


def search_objectives(objectives: Sequence[str]) -> tuple[str, ...]:
    """What rungs are compared by: bits per byte in the place of tasks."""
    return tuple(dict.fromkeys(SIGNAL if is_task(name) else name for name in objectives))


def check_tasks(objectives: Sequence[str], root: Path) -> None:
    """Read every task file once, before anything is trained. Raises ConfigError."""
    for name in filter(is_task, objectives):
        read_task(root / name.removeprefix(_PREFIX))


def task_errors(gguf: Path, objectives: Sequence[str], root: Path) -> Mapping[str, float]:
    """Error rate by objective name, of a GGUF file in llama.cpp."""
    return {
        name: evaluate_task(gguf, read_task(root / name.removeprefix(_PREFIX))).error_rate
        for name in filter(is_task, objectives)
    }

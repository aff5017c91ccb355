"""A toy search: points on a grid, a quality that training reveals, evaluators that misbehave.

Imported by the tests and, through PYTHONPATH, by their worker processes.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archsmith.config import Spec
from archsmith.errors import CheckpointError, ConfigError, DivergedError, InfeasibleError
from archsmith.evaluators.base import Evaluator, Progress, Request, Result
from archsmith.store.store import connect
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal, Rung

if TYPE_CHECKING:  # workers need no search
    from archsmith.study import Study

RUNGS = [
    Rung(index=index, fraction=fraction, train_bytes=round(10_000 * fraction))
    for index, fraction in enumerate((0.03, 0.1, 0.3))
]
STEPS = 3  # of the toy training, per rung


class Point(Spec):
    """A point of the toy grid."""

    x: int
    y: int


class Grid:
    """All points with coordinates below `size`."""

    def __init__(self, size: int = 20) -> None:
        self.size = size

    def sample(self, rng: random.Random) -> Point:
        return Point(x=rng.randrange(self.size), y=rng.randrange(self.size))

    def mutate(self, point: Point, rng: random.Random) -> Point:
        return rng.choice(list(self.neighbours(point)))

    def crossover(self, first: Point, second: Point, rng: random.Random) -> Point:
        return Point(x=first.x, y=second.y)

    def neighbours(self, point: Point) -> Iterable[Point]:
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            if 0 <= point.x + dx < self.size and 0 <= point.y + dy < self.size:
                yield Point(x=point.x + dx, y=point.y + dy)

    def contains(self, point: Any) -> bool:
        return isinstance(point, Point) and max(point.x, point.y) < self.size

    def encode(self, point: Point) -> np.ndarray:
        return np.array([point.x, point.y], dtype=np.float64)

    def features(self, point: Point) -> Mapping[str, float]:
        return {"x": float(point.x), "y": float(point.y)}

    def log10_size(self) -> float:
        return float(np.log10(self.size**2))


class Sampler(Strategy):
    """Feasible points at random; near the best every other time, so that history matters."""

    type: Literal["toy_sampler"] = "toy_sampler"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        seen = {observation.architecture for observation in history}
        done = [o for o in history if o.values(problem.objectives) is not None]
        if done and rng.random() < 0.5:
            best = min(done, key=lambda o: (o.values(problem.objectives), o.number))
            near = [p for p in problem.space.neighbours(best.architecture) if p not in seen]
            near = [p for p in near if problem.feasible(p)]
            if near:
                return Proposal(
                    architecture=rng.choice(near), strategy="toy", parents=(best.number,)
                )
        for _ in range(500):
            point = problem.space.sample(rng)
            if point not in seen and problem.feasible(point):
                return Proposal(architecture=point, strategy="toy")
        raise InfeasibleError("the toy grid has no new feasible point")


class Unfiltered(Strategy):
    """Points at random, feasible or not."""

    type: Literal["toy_unfiltered"] = "toy_unfiltered"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return Proposal(architecture=problem.space.sample(rng), strategy="unfiltered")


class Toy(Evaluator):
    """Bits per byte of a point: its distance from (7, 11), blurred less by longer training.

    `trouble` maps "x" to what happens at that column: fail, diverge, nan, memory, hang, die (the
    first time), always_die.
    `log` is a file that gets a line per step, so that tests see what ran where, and how often.
    """

    type: Literal["toy"] = "toy"
    step_seconds: float = 0.0
    checkpoints: bool = True
    checkpoint_bytes: int = 10
    trouble: Mapping[str, str] = {}
    log: str = ""

    def metrics(self) -> tuple[str, ...]:
        return ("bits_per_byte",)

    def evaluate(self, request: Request) -> Result:
        point = request.architecture
        unknown = set(request.options) - {"steps", "cooldown"}
        if unknown:
            raise ConfigError(f"options: unknown {sorted(unknown)}")
        begun = self._begin(request)
        trouble = self.trouble.get(str(point.x), "")
        total = STEPS * (request.rung.index + 1) if request.rung else STEPS
        total = int(request.options.get("steps", total))
        for step in range(begun, total):
            self._note(f"{request.checkpoint_dir.parent.name} {step} {os.getpid()}")
            if step == begun:
                self._misbehave(trouble, request.checkpoint_dir)
            time.sleep(self.step_seconds)
            score = self.score(point, step + 1)
            request.on_progress(
                Progress(
                    step=step + 1,
                    train_bytes=(step + 1) * 100,
                    fraction_done=(step + 1) / total,
                    metrics={"bits_per_byte": score},
                )
            )
            saved = self._save(request.checkpoint_dir, step + 1) if self.checkpoints else None
            if request.should_stop() and step + 1 < total:
                return Result(metrics={}, checkpoint=saved, complete=False)
        score = float("nan") if trouble == "nan" else self.score(point, total)
        saved = self._save(request.checkpoint_dir, total) if self.checkpoints else None
        return Result(
            metrics={"bits_per_byte": score},
            checkpoint=saved,
            details={"threads": request.num_threads, "flops": 1e6 * (total - begun)},
        )

    @staticmethod
    def score(point: Point, step: int) -> float:
        blur = random.Random(f"{point.x},{point.y}").random() / (1 + step)
        return 1.0 + 0.01 * (abs(point.x - 7) + abs(point.y - 11)) + blur

    def _begin(self, request: Request) -> int:
        if request.checkpoint_in is None:
            return 0
        try:
            return int(json.loads(request.checkpoint_in.read_text())["step"])
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{request.checkpoint_in}: cannot be read: {error}") from None

    def _save(self, folder: Path, step: int) -> Path:
        path, partial = folder / "checkpoint.json", folder / ".partial"
        partial.write_text(json.dumps({"step": step}).ljust(self.checkpoint_bytes))
        partial.replace(path)
        return path

    def _note(self, line: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(line + "\n")

    def _misbehave(self, trouble: str, folder: Path) -> None:
        mark = folder / "died"
        if trouble == "fail":
            raise RuntimeError("this column is broken")
        if trouble == "diverge":
            raise DivergedError("loss became infinite at step 3")
        if trouble == "memory":
            hoard = [bytearray(64 * 2**20) for _ in range(12)]
            time.sleep(60 + len(hoard))
        if trouble == "hang":
            time.sleep(60)
        if trouble == "always_die" or (trouble == "die" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def static_metrics(point: Point) -> dict[str, float]:
    """Bytes grow with x, parameters with y."""
    return {"file_bytes": 100.0 * (point.x + 1), "num_params": 1000.0 * (point.y + 1)}


def make_study(path: Path, **parts: Any) -> "Study":
    """The toy study in a file of `path`, continued if it is there."""
    from archsmith.halving.settings import Halving
    from archsmith.study import create_study

    given = {
        "study_name": "toy",
        "storage": path / "studies.db",
        "space": Grid(),
        "strategy": Sampler(),
        "objectives": ["bits_per_byte"],
        "limits": ["file_bytes <= 1500"],
        "rungs": RUNGS,
        "halving": Halving(audit_share=0.2),
        "static_metrics": static_metrics,
        "load_if_exists": True,
        "seed": 3,
        **parts,
    }
    return create_study(**given)


def summary(study: "Study") -> list[tuple[Any, ...]]:
    """What must be equal when a search is repeated."""
    return [
        (
            *(t.number, t.architecture, t.state, t.strategy, t.parents, t.rung, t.eliminated_rung),
            [(j.kind, j.rung, j.state, dict(j.options), dict(j.metrics)) for j in t.jobs],
        )
        for t in connect(study.store.url, read_only=True).trials(study.study_name)
    ]

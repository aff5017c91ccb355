"""Many repeats of many strategies on one table, paired by seed."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from archsmith import registry
from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.replay.curves import Truth
from archsmith.replay.outcome import Arm, Replay, default_checkpoints
from archsmith.replay.processes import results
from archsmith.replay.repeat_store import Repeat, RepeatStore
from archsmith.replay.table import Table
from archsmith.strategies.base import Strategy

# (what is going on, share done, seconds left or None)
Report = Callable[[str, float, float | None], None]
USUAL = ("random", "law_guided")  # strategies where none is named


def read_strategy(text: str) -> Strategy:
    """`NAME` or `NAME:SETTING=VALUE,SETTING=VALUE`, as `nsga2:population_size=32`.

    Raises ConfigError for an unknown name or setting.
    """
    name, _, settings = text.partition(":")
    values: dict[str, str] = {}
    for part in filter(None, settings.split(",")):
        key, found, value = part.partition("=")
        if not found:
            raise ConfigError(
                f"cannot read strategy {text!r}; write NAME or NAME:SETTING=VALUE,SETTING=VALUE"
            )
        if key.strip() in values:
            raise ConfigError(f"strategy {text!r} has the setting '{key.strip()}' twice")
        values[key.strip()] = value.strip()
    strategy: Strategy = validate(
        registry.find("strategies", name), values, source=f"strategy {name}"
    )
    return strategy


def read_strategies(texts: Sequence[str]) -> dict[str, Strategy]:
    """Strategies by their texts, all different; the usual ones where there is none.

    Raises ConfigError.
    """
    found: dict[str, Strategy] = {}
    for text in texts or USUAL:
        strategy = read_strategy(text)
        for other, known in found.items():
            if known == strategy:
                words = "" if other == text else f" (as {other!r})"
                raise ConfigError(f"strategy {text!r} is given twice{words}; once is enough")
        found[text] = strategy
    return found


def replay(
    table: Table,
    strategies: Mapping[str, Strategy],
    *,
    n_trials: int,
    repeats: int,
    seed: int = 0,
    n_jobs: int = 1,
    checkpoints: Sequence[int] = (),
    store: Path | None = None,
    report: Report = lambda what, share, left: None,
) -> Replay:
    """Every strategy `repeats` times on the table; repeat r has the same seed in every arm.

    With `n_jobs` above 1 the repeats run in as many processes of one thread each; figures do not
    depend on it. Finished repeats are added to the file `store`, and those it has of the same
    replay are not run again. Raises ConfigError for more evaluations than rows that may be tried.
    """
    steps = tuple(checkpoints) or tuple(default_checkpoints(n_trials))
    if max(steps) > n_trials or min(steps) < 1:
        raise ConfigError(f"figures are asked for after {max(steps)} of {n_trials} evaluations")
    tryable = _num_tryable(table)
    if n_trials > tryable:
        raise ConfigError(
            f"{n_trials} evaluations are asked for and {table.name} has {tryable} models"
            f"{' within the limits' if table.limits else ''}; a search would only repeat itself: "
            f"n_trials (--n-trials) may be {tryable} at most"
        )
    arms = list(strategies.items())
    seeds, plain = range(seed, seed + repeats), [strategy for _, strategy in arms]
    kept = None if store is None else RepeatStore(store, table, plain, n_trials=n_trials)
    found = {} if kept is None else kept.read(seeds)
    missing = [[s for s in seeds if (arm, s) not in found] for arm in range(len(arms))]
    told = _Progress(report, table.name, total=repeats * len(arms), found=len(found), store=store)
    with closing(results(table, plain, n_trials, missing, n_jobs)) as running:
        for task, done in running:
            by_seed = dict(zip(task.seeds, done, strict=True))
            if kept is not None:
                kept.append(task.arm, by_seed)
            found |= {(task.arm, s): repeat for s, repeat in by_seed.items()}
            told.tell(len(found))
    truth = Truth(table)
    return Replay(
        table=table.name,
        num_rows=len(table.space),
        num_failed=int((~np.isfinite(table.scored).all(axis=1)).sum()),
        num_allowed=int(table.allowed.sum()),
        objectives=table.objectives,
        directions=tuple("maximize" if sign < 0 else "minimize" for sign in table.signs),
        limits=tuple(str(limit) for limit in table.limits),
        measure=truth.measure,
        front_size=truth.front_size,
        reference=truth.reference,
        arms=tuple(
            _arm(name, strategy, [found[place, s] for s in seeds])
            for place, (name, strategy) in enumerate(arms)
        ),
        checkpoints=steps,
        n_trials=n_trials,
        repeats=repeats,
        seed=seed,
    )


def _arm(name: str, strategy: Strategy, repeats: Sequence[Repeat]) -> Arm:
    lacks = ""
    if strategy.halving() is not None:
        lacks = "a recorded table has no rungs: every model is trained in full"
    elif strategy.supernet_methods:
        lacks = "a recorded table has no shared weights: every score is that of a training"
    return Arm(
        name=name,
        settings=strategy.model_dump(mode="json"),
        curves=np.array([repeat.curve for repeat in repeats]),
        seconds=sum(repeat.seconds for repeat in repeats),
        proposals=dict(sum((Counter(repeat.notes) for repeat in repeats), Counter()).most_common()),
        is_random=strategy.type != "random" and all(repeat.is_random for repeat in repeats),
        lacks=lacks,
    )


class _Progress:
    """Tells what share of the repeats is there, and when the others will be."""

    def __init__(
        self, report: Report, table: str, *, total: int, found: int, store: Path | None
    ) -> None:
        self._report, self._total, self._found = report, total, found
        self._what, self._start = f"replaying {table}", time.monotonic()
        if found and store is not None:
            self._what += f" ({found} of {total} repeats found in {store})"
            report(self._what, found / total, None)

    def tell(self, done: int) -> None:
        each = (time.monotonic() - self._start) / (done - self._found)
        self._report(self._what, done / self._total, each * (self._total - done))


def _num_tryable(table: Table) -> int:
    """Rows that meet the limits, failed ones included."""
    kept = np.ones(len(table.space), dtype=bool)
    for limit in table.limits:
        kept &= np.array([limit.holds(float(v)) for v in table.static[limit.metric]])
    return int(kept.sum())

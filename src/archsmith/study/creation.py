"""Studies made, continued with the settings they were begun with, and opened to be read."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsmith import registry
from archsmith.errors import ConfigError, StoreError
from archsmith.halving.settings import Halving
from archsmith.runtime.folders import named_root
from archsmith.runtime.search import Measure
from archsmith.store.store import Store, connect
from archsmith.strategies.base import Strategy
from archsmith.study.study import Study
from archsmith.trial import Limit, Problem, Rung, Space

StaticMetrics = Callable[[Any], Mapping[str, float]]


def create_study(
    *,
    study_name: str,
    storage: str | Path | Store,
    space: Space,
    strategy: Strategy | str,
    objectives: Sequence[str],
    static_metrics: StaticMetrics,
    limits: Sequence[Limit | str] = (),
    rungs: Sequence[Rung] = (),
    halving: Halving | None = None,
    seed: int = 0,
    start: Sequence[Any] = (),
    corpus_train_bytes: int | None = None,
    corpus_bits_per_byte: float | None = None,
    root: Path = Path(),
    final_bytes: Callable[[Any], float] | None = None,
    measure: Measure | None = None,
    load_if_exists: bool = False,
    checkpoint_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Study:
    """Make a study, or with `load_if_exists` continue the one of that name.

    Args:
        study_name: unique in its storage.
        storage: a file, a database URL, or a connected store. A file is made if missing.
        space: where candidates come from.
        strategy: who proposes them, or its registered name for its default settings.
        objectives: metrics to minimize; the first is the one best trials are sorted by.
        static_metrics: metrics known without running anything, in microseconds.
        limits: hard constraints, as `Limit` or text such as "file_bytes <= 16MiB".
        rungs: the ladder, see `halving.rungs`; none for evaluators of one fidelity.
        halving: how rungs eliminate; the strategy's own discipline, else the ladder, if not told.
        seed: of proposals, weights and data order.
        start: points to try first, before the strategy is asked.
        corpus_train_bytes, corpus_bits_per_byte: what is known of the text, see `Problem`; a study
            that is continued keeps what it was begun with.
        root: the folder that relative paths in the strategy's settings start from.
        final_bytes: bytes of text that a point would be trained on in the end, see `Problem`.
        measure: gives metrics by running a candidate untrained; its results are stored, and
            limits on them are decided before training.
        load_if_exists: continue a study of that name, which must have the same settings.
        checkpoint_dir: where checkpoints go; beside the storage's file if not told.
        settings: anything to keep with the study, JSON values (the expanded search file).

    Raises:
        ConfigError: an unknown strategy or metric, a file of the strategy's settings that will not
            do, or other settings than the stored study has.
        StoreError: the name is taken, or the storage cannot be used.
    """
    chosen = strategy if isinstance(strategy, Strategy) else _default_strategy(strategy)
    problem = Problem(
        space=space,
        objectives=objectives,
        limits=[Limit.parse(limit) if isinstance(limit, str) else limit for limit in limits],
        rungs=rungs,
        static_metrics=static_metrics,
        seed=seed,
        start=start,
        corpus_train_bytes=corpus_train_bytes,
        corpus_bits_per_byte=corpus_bits_per_byte,
        root=root,
        final_bytes=final_bytes,
    )
    if not problem.objectives:
        raise ConfigError("objectives: a study needs at least one, such as 'bits_per_byte'")
    halving = halving or chosen.halving() or Halving()
    spec = {
        "objectives": list(problem.objectives),
        "limits": [limit.model_dump(mode="json") for limit in problem.limits],
        "rungs": [rung.model_dump(mode="json") for rung in rungs],
        "strategy": chosen.model_dump(mode="json"),
        "halving": halving.model_dump(mode="json"),
        "seed": seed,
        "corpus_train_bytes": corpus_train_bytes,
        "corpus_bits_per_byte": corpus_bits_per_byte,
        "measured": measure is not None,
        "settings": dict(settings or {}),
    }
    store = storage if isinstance(storage, Store) else connect(storage, create=True)
    spec["checkpoint_dir"] = named_root(store, checkpoint_dir) if checkpoint_dir else ""
    known = {study.name for study in store.studies()}
    if study_name in known and load_if_exists:
        stored = store.study(study_name).spec
        _check_same(study_name, stored, spec)
        # a study of before they were kept goes on without them
        problem.corpus_train_bytes = stored.get("corpus_train_bytes")
        problem.corpus_bits_per_byte = stored.get("corpus_bits_per_byte")
    else:
        chosen.check_files(root)
        store.create_study(study_name, spec=spec, seed=seed)
    return Study(store, study_name, problem, chosen, halving=halving, measure=measure)


def load_study(*, study_name: str, storage: str | Path | Store, **parts: Any) -> Study:
    """Open an existing study: to look at it, or with the parts of `create_study` to continue it.

    Without `space` and `static_metrics` a study can be read and extended, not optimized.

    Raises:
        StoreError: there is no such store or study.
        ConfigError: parts that differ from the stored ones.
    """
    store = storage if isinstance(storage, Store) else connect(storage)
    spec = store.study(study_name).spec
    stored = _stored_parts(spec)
    if "space" in parts:
        given = {**stored, **parts}
        if "strategy" not in given:
            kind = registry.find("strategies", spec["strategy"]["type"])
            given["strategy"] = kind.model_validate(spec["strategy"])
        return create_study(study_name=study_name, storage=store, load_if_exists=True, **given)
    halving = stored.pop("halving")
    problem = Problem(space=_NoSpace(), static_metrics=lambda point: {}, **stored)
    return Study(store, study_name, problem, None, halving=halving, measure=None)


def _stored_parts(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What was stored of the arguments of `create_study`, but for the strategy."""
    return {
        "objectives": spec["objectives"],
        "limits": [Limit.model_validate(limit) for limit in spec["limits"]],
        "rungs": [Rung.model_validate(rung) for rung in spec["rungs"]],
        "halving": Halving.model_validate(spec["halving"]),
        "seed": spec["seed"],
        "corpus_train_bytes": spec.get("corpus_train_bytes"),
        "corpus_bits_per_byte": spec.get("corpus_bits_per_byte"),
    }


def _default_strategy(name: str) -> Strategy:
    return registry.find("strategies", name)()  # type: ignore[no-any-return, unused-ignore]


def _check_same(name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ConfigError where other settings would make a study's trials incomparable."""
    # settings that did not exist yet stand at their defaults
    halving = Halving.model_validate(stored["halving"]).model_dump(mode="json")
    stored = {**stored, "halving": halving}
    for key in ("objectives", "limits", "rungs", "strategy", "halving", "seed", "measured"):
        if stored[key] != given[key]:
            raise ConfigError(
                f"study '{name}' was started with {key} = {stored[key]}, now it is {given[key]}; "
                "give the study another name, or the settings it was started with"
            )


class _NoSpace:
    """Stands for the space of a study that is only read."""

    def __getattr__(self, name: str) -> Any:
        raise StoreError("this study was loaded for reading; its space was not given")

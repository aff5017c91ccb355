"""Trials of earlier studies, as files that another study may begin with.

One JSON object a line: the features and metrics of a trial, and the text it was trained on. Another
corpus, device or recipe shifts all values of a file alike, by an amount that is not known; so the
readings of a file share one trunk, and only their differences tell much.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from archsmith.errors import ConfigError
from archsmith.prior import REFERENCE_BITS_PER_BYTE
from archsmith.surrogate.readings import Reading
from archsmith.trial import Observation, Problem, TrialState

_NUMBERS = ("train_bytes", "unique_bytes", "corpus_bits_per_byte")


def write_earlier(
    path: Path,
    problem: Problem,
    history: Sequence[Observation],
    *,
    corpus_bits_per_byte: float | None = None,
) -> int:
    """Write the complete trials of a study for later ones; returns how many."""
    lines = []
    for observation in history:
        if observation.state is not TrialState.COMPLETE or not observation.metrics:
            continue
        record: dict[str, Any] = {
            "features": dict(problem.space.features(observation.architecture)),
            "metrics": {k: v for k, v in observation.metrics.items() if math.isfinite(v)},
        }
        if problem.rungs and observation.rung >= 0:
            record["train_bytes"] = problem.rungs[observation.rung].train_bytes
        if corpus_bits_per_byte is not None:
            record["corpus_bits_per_byte"] = corpus_bits_per_byte
        lines.append(json.dumps(record))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


@lru_cache(maxsize=32)
def read_earlier(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The records of a file. Raises ConfigError naming the line that cannot be read."""
    records = []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the earlier study {path}: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
            numbers = [*record["features"].values(), *record["metrics"].values()]
            numbers += [record[name] for name in _NUMBERS if name in record]
            if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
                raise ValueError
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ConfigError(
                f"{path}, line {number}: expected a JSON object with 'features' and 'metrics', "
                "names with finite numbers"
            ) from None
        records.append(record)
    return tuple(records)


def earlier_readings(
    paths: Sequence[str], metric: str, names: Sequence[str], *, knows_text: bool
) -> list[Reading]:
    """The readings of a metric that have all features of a space, of each file on one trunk.

    Args:
        knows_text: leave out what does not tell how much text it read.
    """
    found = []
    for path in paths:
        for record in read_earlier(Path(path)):
            features, text = record["features"], record.get("train_bytes")
            if metric not in record["metrics"] or not all(name in features for name in names):
                continue
            if knows_text and text is None:
                continue
            found.append(
                Reading(
                    {name: features[name] for name in names},
                    record["metrics"][metric],
                    text if knows_text else None,
                    record.get("unique_bytes"),
                    ("earlier", path),
                    path,
                    record.get("corpus_bits_per_byte", REFERENCE_BITS_PER_BYTE),
                )
            )
    return found

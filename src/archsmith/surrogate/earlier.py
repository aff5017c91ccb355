"""Trials of earlier studies, as files that another study may begin with.

One JSON object a line: the features and metrics of a trial, and the text it was trained on. Another
corpus, device or recipe changes all values of a file alike, by amounts that are not known: they are
fitted with the rest (`Reading.source`), so that a file tells of differences and not of levels.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from archsmith.data.storage import write_text
from archsmith.errors import ConfigError
from archsmith.prior import REFERENCE_BITS_PER_BYTE
from archsmith.surrogate.readings import Reading
from archsmith.trial import Observation, Problem, TrialState

_AMOUNTS = ("train_bytes", "unique_bytes", "corpus_bits_per_byte")


def write_earlier(path: Path, problem: Problem, history: Sequence[Observation]) -> int:
    """Write the complete trials of a study for later ones, whole or not at all.

    Returns:
        How many.

    Raises:
        ConfigError: the file exists, cannot be written, or no trial is complete.
    """
    if path.exists():
        raise ConfigError(f"{path} exists; choose another file")
    text = {
        "unique_bytes": problem.corpus_train_bytes,
        "corpus_bits_per_byte": problem.corpus_bits_per_byte,
    }
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
        record |= {name: value for name, value in text.items() if value is not None}
        lines.append(json.dumps(record))
    if not lines:
        raise ConfigError("the study has no complete trial yet, so there is nothing to write")
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


@lru_cache(maxsize=32)
def read_earlier(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The records of a file. Raises ConfigError naming the line and the value that will not do."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the earlier study {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read the earlier study {path}: it is not text") from None
    return tuple(
        _record(line, f"{path}, line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
    )


def _record(line: str, place: str) -> Mapping[str, Any]:
    """What a line tells; raises ConfigError."""
    try:
        record = json.loads(line)
        tables = [(name, record[name].items()) for name in ("features", "metrics")]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ConfigError(
            f"{place}: expected a JSON object with 'features' and 'metrics', "
            "names with finite numbers"
        ) from None
    for table, items in tables:
        for name, value in items:
            if not _is_finite(value):
                raise ConfigError(
                    f"{place}: {table}: {name}: expected a finite number, got {value}"
                )
    for name in _AMOUNTS:
        if name in record and not (_is_finite(record[name]) and record[name] > 0):
            raise ConfigError(f"{place}: {name}: expected a positive number, got {record[name]}")
    return record  # type: ignore[no-any-return, unused-ignore]


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def earlier_readings(
    path: Path,
    metric: str,
    names: Sequence[str],
    *,
    knows_text: bool,
    own_bits_per_byte: float | None = None,
) -> list[Reading]:
    """The readings of a metric that have all features of a space; warns where there are none.

    Args:
        knows_text: leave out what does not tell how much text it read.
        own_bits_per_byte: of this study's text; files that do not tell theirs are taken to be as
            hard, and where it is None all are.

    Raises:
        ConfigError: the file cannot be read.
    """
    own = REFERENCE_BITS_PER_BYTE if own_bits_per_byte is None else own_bits_per_byte
    found = []
    reason = "it holds no trial"
    for record in read_earlier(path):
        features, text = record["features"], record.get("train_bytes")
        lacking = [name for name in names if name not in features]
        if metric not in record["metrics"]:
            reason = f"its trials have no '{metric}'"
        elif lacking:
            reason = f"its trials lack the feature '{lacking[0]}'"
        elif knows_text and text is None:
            reason = "its trials do not tell how much text they were trained on"
        else:
            told = own if own_bits_per_byte is None else record.get("corpus_bits_per_byte", own)
            found.append(
                Reading(
                    {name: features[name] for name in names},
                    record["metrics"][metric],
                    text if knows_text else None,
                    record.get("unique_bytes") if knows_text else None,
                    corpus=str(path),
                    corpus_bits_per_byte=told,
                    source=str(path),
                )
            )
    if not found:
        warnings.warn(f"{path} tells nothing of {metric}: {reason}", stacklevel=2)
    return found

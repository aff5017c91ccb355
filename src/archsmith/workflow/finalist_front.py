"""The front among finalists, by what their written files scored."""

from collections.abc import Mapping, Sequence

from archsmith.halving.ranking import first_front
from archsmith.store.records import TrialRecord
from archsmith.workflow.selection import Finalist
from archsmith.workflow.tasks import SIGNAL


def front_among(
    finalists: Sequence[Finalist],
    trials: Mapping[int, TrialRecord],
    objectives: Sequence[str],
) -> list[Finalist]:
    """Those that no other finalist dominates, in the order given.

    Args:
        trials: by number; they know the objectives that need no training.
        objectives: as the search file has them: tasks count by their errors, bits per byte as
            predicted from the file's score for the final training.
    """
    values = {
        place: found
        for place, one in enumerate(finalists)
        if (found := _values(one, trials[one.trial].metrics, objectives)) is not None
    }
    places = list(values)
    return [finalists[places[index]] for index in first_front(list(values.values()))]


def _values(
    finalist: Finalist, metrics: Mapping[str, float], objectives: Sequence[str]
) -> tuple[float, ...] | None:
    """None where one is unknown, as errors on tasks are of a network that GGUF does not carry."""
    known = {**metrics, **finalist.task_errors, SIGNAL: finalist.predicted_bits_per_byte}
    if any(name not in known for name in objectives):
        return None
    return tuple(known[name] for name in objectives)

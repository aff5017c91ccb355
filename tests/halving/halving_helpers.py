"""Entries for tests of halving: three rungs, scores in a row, trunks with their seconds."""

from archsmith.halving.decision import decide
from archsmith.halving.entries import Entry
from archsmith.halving.rungs import plan_rungs
from archsmith.halving.settings import Halving

RUNGS = plan_rungs((0.03, 0.1, 0.3), 10_000, 1)
QUIET = Halving(audit_share=0.0)


def at(rung: int, scores: list[float], started: dict[int, int] | None = None) -> list[Entry]:
    return [
        Entry(number=n, scores={rung: (score,)}, started_rung=(started or {}).get(n, rung))
        for n, score in enumerate(scores)
    ]


def promoted(entries: list[Entry], **options: object) -> list[tuple[int, int]]:
    options = {"halving": QUIET, "rungs": RUNGS, "seed": 0, **options}
    found = decide(entries, **options).promotions  # type: ignore[arg-type]
    return [(promotion.number, promotion.rung) for promotion in found]


def trunks(readings: dict[int, list[tuple[float, float]]]) -> list[Entry]:
    """Trials with (seconds, bits per byte) at each rung from the first on."""
    return [
        Entry(
            number=number,
            scores={rung: (score,) for rung, (_, score) in enumerate(points)},
            seconds={rung: seconds for rung, (seconds, _) in enumerate(points)},
            started_rung=len(points) - 1,
        )
        for number, points in readings.items()
    ]

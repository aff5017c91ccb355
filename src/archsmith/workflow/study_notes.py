"""What a whole job writes down beside its trials: decisions as notes, work in the ledger."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from archsmith.errors import StoreError
from archsmith.store.records import LedgerEntry
from archsmith.store.store import Store

FINAL_TRAINING, BASELINE_TRAINING = "final training", "baselines"
# Phases that are no search: what all arms share, other arms, and what comes after training.
_OTHERS = ("prepare", "export", "floors", BASELINE_TRAINING)


class Spent(NamedTuple):
    """Work: seconds of one core, and training FLOPs."""

    core_seconds: float
    flops: float


class StudyNotes:
    """Notes and ledger of one study, which need not exist yet: what is put then is kept until
    `write` is called, once it does.

    Args:
        store: gives the database, which is not opened before it is needed.
    """

    def __init__(self, store: Callable[[], Store], name: str) -> None:
        self._store, self._name = store, name
        self._waiting: dict[str, Any] = {}
        self._waiting_seconds: dict[str, float] = {}

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """What the study was begun with; None while there is no study."""
        try:
            return self._store().study(self._name).spec
        except StoreError:
            return None

    @property
    def exist(self) -> bool:
        """Whether there is a study to hold them."""
        return self.spec is not None

    def get(self, key: str) -> Any:
        """A note, None if there is none."""
        if key in self._waiting:
            return self._waiting[key]
        return self._store().notes(self._name).get(key) if self.exist else None

    def put(self, key: str, value: Any) -> None:
        """Write a note. The study must exist."""
        self._store().put_note(self._name, key, value)

    def wait(self, key: str, value: Any) -> None:
        """Keep a note until `write`."""
        self._waiting[key] = value

    def wait_seconds(self, phase: str, seconds: float) -> None:
        """Keep seconds of work until `write`."""
        self._waiting_seconds[phase] = seconds

    def write(self) -> None:
        """Write what waits: the study exists now."""
        for key, value in self._waiting.items():
            self.put(key, value)
        for phase, seconds in self._waiting_seconds.items():
            self.spend(phase, seconds)
        self._waiting.clear()
        self._waiting_seconds.clear()

    def spend(self, phase: str, seconds: float, *, flops: float = 0.0) -> None:
        """Enter seconds of work: processes that worked side by side are added up."""
        self._store().spend(self._name, phase, seconds=seconds, flops=flops)

    def spend_once(self, phase: str, *, seconds: float, flops: float) -> None:
        """Enter a finished training, also if it is opened again: the same phase, seconds and FLOPs
        are the same work."""
        same = phase, seconds, flops
        if all((one.phase, one.seconds, one.flops) != same for one in self._ledger()):
            self.spend(phase, seconds, flops=flops)

    def search_spent(self, *, final_threads: int, of_job: Callable[[LedgerEntry], float]) -> Spent:
        """What the search took so far, from the suggestion to the end of its final training.

        Args:
            final_threads: cores that the final training had.
            of_job: core-seconds of a job's entry.
        """

        def core_seconds(entry: LedgerEntry) -> float:
            if entry.number is not None:
                return of_job(entry)
            return entry.seconds * (final_threads if entry.phase == FINAL_TRAINING else 1)

        own = [entry for entry in self._ledger() if entry.phase not in _OTHERS]
        return Spent(sum(map(core_seconds, own)), sum(entry.flops for entry in own))

    def job_seconds(self) -> float:
        """Seconds of all jobs so far; an entry of a job names its trial."""
        return sum(entry.seconds for entry in self._ledger() if entry.number is not None)

    def _ledger(self) -> list[LedgerEntry]:
        return self._store().ledger(self._name)

"""Who is told how a whole job goes on: a terminal, a notebook, a log."""

from archsmith.evaluators.base import Progress
from archsmith.runtime.events import Event


class Watcher:
    """Who watches a job; every method may be overridden, none has to be."""

    def phase(self, name: str, seconds: float | None) -> None:
        """A phase begins, with the time set aside for it."""

    def progress(self, what: str, fraction: float) -> None:
        """Preparation or export goes on."""

    def event(self, event: Event) -> None:
        """Something happened in the search."""

    def training(self, name: str, progress: Progress) -> None:
        """An arm's training goes on."""

    def note(self, text: str) -> None:
        """Something worth a line."""

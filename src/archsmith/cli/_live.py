"""Live progress of a job on stderr: a panel on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from archsmith.evaluators.base import Progress
from archsmith.runtime import events
from archsmith.units import format_bytes, format_seconds
from archsmith.workflow.watcher import Watcher

_LINE_SECONDS = 15.0  # between two lines about the same training where there is no terminal
_KEPT_LINES = 8
_BLOCKS = "▁▂▃▄▅▆▇█"


@contextmanager
def watcher(*, quiet: bool) -> Iterator[Watcher]:
    """The watcher that suits where stderr goes; nothing is shown with `quiet`."""
    if quiet:
        yield Watcher()
    elif sys.stderr.isatty():
        panel = _Panel()
        with panel.live:
            yield panel
    else:
        yield _Lines()


class _State(Watcher):
    """What is known of the job under way; how it is shown is the sub-class's."""

    def __init__(self) -> None:
        self.started = self.phase_started = time.monotonic()
        self.phase_name = ""
        self.phase_seconds: float | None = None
        self.running: dict[int, str] = {}
        self.best: tuple[float, int] | None = None
        self.rejected = self.failed = self.finished = 0
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def say(self, text: str) -> None:
        """One line for people."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Something changed that is not worth a line."""

    def phase(self, name: str, seconds: float | None) -> None:
        """A phase begins."""
        self.phase_name, self.phase_seconds = name, seconds
        self.phase_started = time.monotonic()
        self.running.clear()
        planned = "" if seconds is None else f" ({format_seconds(seconds)} set aside)"
        self.say(f"== {name}{planned}")

    def time_left(self) -> float | None:
        """Seconds left of the phase, by its plan."""
        if self.phase_seconds is None:
            return None
        return max(self.phase_seconds - (time.monotonic() - self.phase_started), 0.0)

    def note(self, text: str) -> None:
        """A line."""
        self.say(text)

    def event(self, event: events.Event) -> None:
        """Something happened in the search."""
        match event:
            case events.Proposed():
                summary = getattr(event.architecture, "summary", lambda: str(event.architecture))
                self.running[event.number] = summary()
                self.say(f"trial {event.number}: {summary()} ({event.strategy})")
            case events.Rejected():
                self.rejected += 1
                self.running.pop(event.number, None)
                self.say(f"trial {event.number} rejected: {event.reason}")
            case events.Progressed():
                shown = ", ".join(f"{k} {v:.3f}" for k, v in _shown(event.metrics))
                self.running[event.number] = (
                    f"rung {event.rung}, {event.fraction_done:.0%} "
                    f"({format_bytes(event.train_bytes)}) {shown}"
                )
                self.refresh()
            case events.Finished() if "bits_per_byte" in event.metrics:
                self.finished += 1
                self.running.pop(event.number, None)
                value = event.metrics["bits_per_byte"]
                if event.kind == "rung" and (self.best is None or value < self.best[0]):
                    self.best = (value, event.number)
                self.say(
                    f"trial {event.number}, {event.kind} {event.rung}: {value:.4f} bits per byte "
                    f"in {format_seconds(event.wall_seconds)}"
                )
            case events.Failed():
                self.failed += 1
                self.running.pop(event.number, None)
                self.say(f"trial {event.number} failed: {event.reason.splitlines()[-1]}")
            case events.Lost():
                self.say(f"trial {event.number}: {event.reason}; it is taken up again")
            case events.Promoted():
                audit = " as an audit" if event.audit else ""
                self.say(f"trial {event.number} goes on to rung {event.rung}{audit}")
            case events.Eliminated():
                self.say(f"trial {event.number} eliminated at rung {event.rung}")
            case events.Notice():
                self.say(event.text)
            case _:
                self.refresh()

    def training(self, name: str, progress: Progress) -> None:
        """An arm's training goes on."""
        curve = self.curves.setdefault(name, [])
        if "bits_per_byte" in progress.metrics:
            curve.append((progress.train_bytes, progress.metrics["bits_per_byte"]))
        self.running[-1 - list(self.curves).index(name)] = (
            f"{name}: {progress.fraction_done:.0%}, {format_bytes(progress.train_bytes)} of text, "
            + ", ".join(f"{key} {value:.4g}" for key, value in progress.metrics.items())
        )
        self.refresh()


class _Lines(_State):
    """One line for each thing that happens."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}
        self._done = ""

    def say(self, text: str) -> None:
        """Print with the seconds since the start."""
        elapsed = format_seconds(time.monotonic() - self.started)
        sys.stderr.write(f"[{elapsed:>6}] {text}\n")
        sys.stderr.flush()

    def progress(self, what: str, fraction: float) -> None:
        """Preparation goes on; its end is worth a line, once."""
        if fraction >= 1.0 and self._done != what:
            self._done = what
            self.say(what)

    def training(self, name: str, progress: Progress) -> None:
        """Every held-out reading, and a sign of life now and then."""
        super().training(name, progress)
        now = time.monotonic()
        if "bits_per_byte" in progress.metrics or now - self._said.get(name, 0) > _LINE_SECONDS:
            self._said[name] = now
            left = self.time_left()
            ending = "" if left is None else f", {format_seconds(left)} left"
            self.say(self.running[-1 - list(self.curves).index(name)] + ending)


class _Panel(_State):
    """A live panel: phase and time left, jobs under way, learning curves, the last lines."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._lines: list[str] = []
        self._preparing = ""
        self._console = Console(stderr=True)
        self.live = Live(
            get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=True
        )

    def say(self, text: str) -> None:
        """Keep the last lines; everything scrolls by above the panel."""
        self._preparing = ""
        self._console.print(text, highlight=False, markup=False)

    def progress(self, what: str, fraction: float) -> None:
        """Preparation goes on."""
        self._preparing = f"{what}: {fraction:.0%}" if fraction < 1 else ""

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        left = self.time_left()
        head = [
            f"elapsed {format_seconds(time.monotonic() - self.started)}",
            *([f"{format_seconds(left)} left in this phase"] if left is not None else []),
            f"{self.finished} results, {self.rejected} rejected, {self.failed} failed",
            *([f"best {self.best[0]:.4f} (trial {self.best[1]})"] if self.best else []),
        ]
        body = [Text(" · ".join(head), style="bold")]
        if self._preparing:
            body.append(Text(self._preparing))
        body += [Text(line) for line in self.running.values()]
        body += [
            Text(f"{name:>24} {sparkline([v for _, v in curve])} {curve[-1][1]:.4f}")
            for name, curve in self.curves.items()
            if curve
        ]
        return Panel(Group(*body), title=self.phase_name or "archsmith", title_align="left")


def sparkline(values: list[float], *, width: int = 40) -> str:
    """Values as bars between their own minimum and maximum, the last `width` of them."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    if high == low:
        return _BLOCKS[0] * len(shown)
    return "".join(_BLOCKS[round((v - low) / (high - low) * (len(_BLOCKS) - 1))] for v in shown)


def _shown(metrics: Any) -> list[tuple[str, float]]:
    wanted = ("bits_per_byte", "train_bits_per_byte", "tokens_per_second")
    return [(name, metrics[name]) for name in wanted if name in metrics]

"""How a search's time is divided: `--timeout` is the whole job, export included."""

from typing import NamedTuple

from archsmith.config import Spec
from archsmith.errors import ConfigError
from archsmith.units import format_seconds

# Shares of what remains after preparation and export are set aside.
SEARCH_SHARE = 0.25
CALIBRATION_SHARE = 0.08
# Below this a calibration's runs would be shorter than their warm-up: the recipe's rate is used.
SHORTEST_CALIBRATED_SECONDS = 30 * 60.0
# Reloading in two runtimes, scoring, latency, floors and the page: an allowance; one demo took 59 s
# for four models of 1M to 2M parameters.
EXPORT_SECONDS = 45.0
EXPORT_SHARE = 0.05
SHORTEST_SECONDS = 60.0


class Budget(Spec):
    """Seconds for each phase of a whole job.

    `prepare_seconds` is an allowance, not a limit. `baselines_seconds` are what baselines take if
    the phases they are to equal use all of theirs.
    """

    total_seconds: float
    prepare_seconds: float
    calibration_seconds: float
    search_seconds: float
    training_seconds: float
    export_seconds: float
    baselines_seconds: float = 0.0

    def lines(self) -> list[tuple[str, float]]:
        """(phase, seconds) in the order the phases run, without those that get no time."""
        phases = [
            ("prepare corpus and tokenizer", self.prepare_seconds),
            ("calibrate the learning rate", self.calibration_seconds),
            ("search", self.search_seconds),
            ("final training", self.training_seconds),
            ("baselines", self.baselines_seconds),
            ("export, check and score", self.export_seconds),
        ]
        return [(phase, seconds) for phase, seconds in phases if seconds]


class Arrangement(NamedTuple):
    """How baselines are trained: `at_once` of them, on `threads` cores each, in `rounds`."""

    at_once: int
    threads: int
    rounds: int


def arrange(num_baselines: int, *, num_cores: int, lone_threads: int) -> Arrangement:
    """Side by side on one core each as far as there are cores; a few share the cores among them,
    each on no more than `lone_threads`, beyond which a training gains nothing."""
    at_once = max(min(num_baselines, num_cores), 1)
    threads = max(min(lone_threads, num_cores // at_once), 1)
    return Arrangement(at_once, threads, -(-num_baselines // at_once))


def divide(
    total_seconds: float,
    *,
    calibrate: bool = True,
    search_share: float = SEARCH_SHARE,
    num_baselines: int = 0,
    n_jobs: int = 1,
    num_cores: int = 1,
    lone_threads: int = 1,
) -> Budget:
    """Divide the time of a whole job among its phases.

    Args:
        total_seconds: the `--timeout`.
        calibrate: whether the learning rate is to be calibrated where there is time for it.
        search_share: of the time left for calibration, search and training; 0 to 0.9.
        num_baselines: each gets as many core-seconds as calibration, search and training take.
        n_jobs: candidates side by side.
        num_cores: of this machine.
        lone_threads: cores that the final training takes.

    Raises:
        ConfigError: the time is too short for any search.
    """
    if total_seconds < SHORTEST_SECONDS:
        raise ConfigError(
            f"timeout: {format_seconds(total_seconds)} is too short for a search; "
            f"give at least {format_seconds(SHORTEST_SECONDS)}"
        )
    if not 0.0 < search_share <= 0.9:
        raise ConfigError(f"search_share: must be above 0 and at most 0.9, got {search_share}")
    export = max(min(EXPORT_SECONDS, total_seconds / 4), EXPORT_SHARE * total_seconds)
    prepare = 0.03 * total_seconds
    calibrated = calibrate and total_seconds >= SHORTEST_CALIBRATED_SECONDS
    calibration_share = CALIBRATION_SHARE if calibrated else 0.0
    training_share = 1.0 - calibration_share - search_share
    # core-seconds for each second of the three phases, if all of them are used
    held = (
        calibration_share * num_cores
        + search_share * min(n_jobs, num_cores)
        + training_share * min(lone_threads, num_cores)
    )
    place = arrange(num_baselines, num_cores=num_cores, lone_threads=lone_threads)
    again = place.rounds * held / place.threads
    rest = (total_seconds - export - prepare) / (1.0 + again)
    return Budget(
        total_seconds=total_seconds,
        prepare_seconds=prepare,
        calibration_seconds=calibration_share * rest,
        search_seconds=search_share * rest,
        training_seconds=training_share * rest,
        export_seconds=export,
        baselines_seconds=again * rest,
    )

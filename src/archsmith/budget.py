"""How a search's time is divided: `--timeout` is the whole job, export included."""

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
    """Seconds for each phase of a whole job; `prepare_seconds` is an allowance, not a limit."""

    total_seconds: float
    prepare_seconds: float
    calibration_seconds: float
    search_seconds: float
    training_seconds: float
    export_seconds: float
    baselines_seconds: float = 0.0

    def lines(self) -> list[tuple[str, float]]:
        """(phase, seconds) in the order the phases run."""
        return [
            ("prepare corpus and tokenizer", self.prepare_seconds),
            ("calibrate the learning rate", self.calibration_seconds),
            ("search", self.search_seconds),
            ("final training", self.training_seconds),
            ("baselines", self.baselines_seconds),
            ("export, check and score", self.export_seconds),
        ]


def divide(
    total_seconds: float,
    *,
    calibrate: bool = True,
    search_share: float = SEARCH_SHARE,
    baseline_rounds: int = 0,
    num_cores: int = 1,
) -> Budget:
    """Divide the time of a whole job among its phases.

    Args:
        total_seconds: the `--timeout`.
        calibrate: whether the learning rate is to be calibrated where there is time for it.
        search_share: of the time left for calibration, search and training; 0 to 0.9.
        baseline_rounds: rounds of baselines, `num_cores` at a time on one core each; each gets as
            many core-seconds as calibration, search and training took together.

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
    rest = (total_seconds - export - prepare) / (1 + baseline_rounds * num_cores)
    calibrated = calibrate and total_seconds >= SHORTEST_CALIBRATED_SECONDS
    calibration = CALIBRATION_SHARE * rest if calibrated else 0.0
    search = search_share * rest
    return Budget(
        total_seconds=total_seconds,
        prepare_seconds=prepare,
        calibration_seconds=calibration,
        search_seconds=search,
        training_seconds=rest - calibration - search,
        export_seconds=export,
        baselines_seconds=rest * baseline_rounds * num_cores,
    )

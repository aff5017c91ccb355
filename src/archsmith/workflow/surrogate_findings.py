"""What `archsmith surrogate` tells of a study, as values and in words."""

from collections.abc import Mapping

from archsmith.config import Spec
from archsmith.units import format_bytes


class LeftOut(Spec):
    """Groups predicted from the others; `reason` says why there is nothing to tell.

    Attributes:
        mean_error: bits per byte, over all readings left out.
        difference_error: the same once each group's mean error is taken off.
        coverage: share of them inside their intervals of 90 %, which are not calibrated.
        error_by_group: mean absolute error.
    """

    num_readings: int = 0
    mean_error: float | None = None
    difference_error: float | None = None
    coverage: float | None = None
    error_by_group: Mapping[str, float] = {}
    reason: str = ""


class WinnerForecast(Spec):
    """What the rungs foretold of the winner at the end of its training, and what was read there.

    Attributes:
        train_bytes: where it was read last before its cooldown, or where it was not, after it.
        low, high: the calibrated interval of 90 % of that reading.
        measured: held-out bits per byte read there.
        cooled: the same after the cooldown, which rungs do not foresee.
        file_bits_per_byte: of the written file, on the text of the final comparison.
    """

    trial: int
    train_bytes: float
    bits_per_byte: float
    low: float
    high: float
    measured: float
    cooled: float
    file_bits_per_byte: float | None

    @property
    def is_inside(self) -> bool:
        """Whether the interval held."""
        return self.low <= self.measured <= self.high


class SurrogateCheck(Spec):
    """How well the surrogate of a study predicts.

    Attributes:
        num_readings, num_trials, num_earlier: what it was fitted to: scores at rungs, of how many
            trials, and readings of earlier studies.
        scale: what deviations were multiplied by to match the errors of readings left out.
        widens_beyond: bytes of text from which on intervals widen.
        winner: None for the reason given.
    """

    study: str
    description: str
    num_readings: int
    num_trials: int
    num_earlier: int
    scale: float
    widens_beyond: float | None
    sizes: LeftOut
    corpora: LeftOut
    winner: WinnerForecast | None
    winner_reason: str = ""

    def lines(self) -> list[str]:
        """For people."""
        earlier = f" and {self.num_earlier} of earlier studies" if self.num_earlier else ""
        told = [
            f"study {self.study}: how well the surrogate predicts bits per byte",
            f"fitted to {self.num_readings} scores of {self.num_trials} trials{earlier}: "
            f"{self.description}",
        ]
        if self.widens_beyond is not None:
            told.append(f"intervals widen beyond {format_bytes(self.widens_beyond)} of text")
        told += _left_out_lines("sizes", self.sizes)
        told += _left_out_lines("corpora", self.corpora)
        if self.winner is None:
            return [*told, f"the winner's end: {self.winner_reason}"]
        one = self.winner
        told.append(
            f"the winner, trial {one.trial}: foreseen {one.bits_per_byte:.4f} [{one.low:.4f}, "
            f"{one.high:.4f}] after {format_bytes(one.train_bytes)} of text, measured "
            f"{one.measured:.4f}, {'inside' if one.is_inside else 'outside'} the interval of 90 %"
        )
        file = one.file_bits_per_byte
        ends = "" if file is None else f"; the written file, on its own text, {file:.4f}"
        return [*told, f"  after the cooldown, which rungs do not foresee: {one.cooled:.4f}{ends}"]


def _left_out_lines(what: str, found: LeftOut) -> list[str]:
    if found.mean_error is None:
        return [f"{what} left out: {found.reason}"]
    groups = len(found.error_by_group)
    told = [
        f"{what} left out: mean error {found.mean_error:.4f} over {found.num_readings} scores in "
        f"{groups} groups, {found.difference_error:.4f} without each group's shift; intervals of "
        f"90 %, not calibrated, held {100 * (found.coverage or 0.0):.0f} %"
    ]
    return [*told, *(f"  {name}: {error:.4f}" for name, error in found.error_by_group.items())]

"""How rungs eliminate: what a study is told of halving, and what follows for one trial."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from archsmith.config import Spec
from archsmith.halving.brackets import Bracket, bracket_of, hyperband_cycle, successive_cycle


class Halving(Spec):
    """How rungs eliminate.

    Attributes:
        eta: one of `eta` candidates goes on from a rung.
        margin: share by which an uncertain score may still improve; on rungs below a tenth of
            the plan a candidate loses only if it loses with that much in its favour.
        audit_share: share of the eliminated that runs on; where no new trials come, at least one.
        rule: `ladder`, see `ladder.py`; `asynchronous` as ASHA has it (no margin, no audit, no
            rounding up at the end); `successive` and `hyperband`: brackets of a fixed size, each
            rung decided when all of its candidates are back.
        num_candidates: of a `successive` bracket; None for as many as leave one at the last rung.
        first_rung: where `asynchronous` candidates begin: ASHA's minimum early-stopping rate.
        horizon_seconds: halve by the loss predicted for this training time, from a tenth of the
            plan on; None for the loss at the rung. Training seconds must be among the metrics.
    """

    eta: int = Field(default=3, ge=2)
    margin: float = Field(default=0.05, ge=0.0, lt=1.0)
    audit_share: float = Field(default=0.1, ge=0.0, le=1.0)
    rule: Literal["ladder", "asynchronous", "successive", "hyperband"] = "ladder"
    num_candidates: int | None = Field(default=None, ge=1)
    first_rung: NonNegativeInt = 0
    horizon_seconds: PositiveFloat | None = None

    @property
    def has_brackets(self) -> bool:
        """Whether trials belong to brackets; otherwise all stand on one ladder."""
        return self.rule in ("successive", "hyperband")

    def quota(self, count: int, *, rounded_up: bool) -> int:
        """How many of `count` go on from a rung; `rounded_up` at least one does."""
        return max(-(-count // self.eta), 1) if rounded_up else count // self.eta

    def rung_of_first_job(self, number: int, num_rungs: int) -> int:
        """The rung at which trial `number` begins."""
        if num_rungs < 1:
            return 0
        if self.rule == "asynchronous":
            return min(self.first_rung, num_rungs - 1)
        if self.has_brackets:
            return self.bracket(number, num_rungs).rung
        return 0

    def bracket(self, number: int, num_rungs: int) -> Bracket:
        """The bracket of trial `number`, under a rule that has brackets."""
        if self.rule == "hyperband":
            return bracket_of(number, hyperband_cycle(num_rungs, self.eta))
        return bracket_of(number, successive_cycle(num_rungs, self.eta, self.num_candidates))

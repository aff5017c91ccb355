"""The rungs of a plan: at which shares of it trunks are read, and where true halving begins.

Constant-rate trunks read at 3/10/30 % of their plan rank candidates of one size at Kendall tau
0.61/0.83/0.94. So a rung below a tenth of the plan eliminates only what clearly loses, and its
single reading foretells nothing.
"""

from collections.abc import Sequence

from archsmith.errors import ConfigError
from archsmith.trial import Rung

TRUE_HALVING_FRACTION = 0.1


def plan_rungs(fractions: Sequence[float], plan_bytes: int, min_bytes: int) -> list[Rung]:
    """The rungs of a plan of `plan_bytes` bytes of text.

    Args:
        fractions: shares of the plan, such as (0.03, 0.1, 0.3); at most 1.
        plan_bytes: bytes of text of the whole plan.
        min_bytes: no rung ends earlier: bytes of twice the warm-up and of 200 updates, whichever
            is more. Rungs before that are dropped; a plan shorter than that is one rung.

    Raises:
        ConfigError: a fraction outside (0, 1], none at all, or a plan without bytes.
    """
    ordered = sorted(set(fractions))
    if not ordered or ordered[0] <= 0 or ordered[-1] > 1:
        raise ConfigError(
            f"rungs: fractions must be above 0 and at most 1, got {list(fractions)}; "
            "try 0.03, 0.1, 0.3"
        )
    if plan_bytes < 1:
        raise ConfigError(f"plan_bytes: a plan needs at least one byte of text, got {plan_bytes}")
    kept = [fraction for fraction in ordered if fraction * plan_bytes >= min_bytes]
    if not kept:
        # too short for any rung: one, as long as its warm-up asks, but never beyond the plan
        kept = [max(ordered[-1], min(min_bytes / plan_bytes, 1.0))]
    return [
        Rung(index=index, fraction=fraction, train_bytes=max(round(fraction * plan_bytes), 1))
        for index, fraction in enumerate(kept)
    ]


def halves_truly(rung: Rung) -> bool:
    """Whether a rung is late enough for its ranking to be trusted."""
    return rung.fraction >= TRUE_HALVING_FRACTION

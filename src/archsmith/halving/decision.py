"""Who goes on and who does not, under whichever rule a study has."""

from collections.abc import Sequence

from archsmith.halving.entries import Decision, Entry
from archsmith.halving.ladder import decide_ladder
from archsmith.halving.settings import Halving
from archsmith.halving.synchronous import decide_brackets
from archsmith.trial import Rung


def decide(
    entries: Sequence[Entry],
    *,
    rungs: Sequence[Rung],
    halving: Halving,
    seed: int,
    uncertain: Sequence[bool] = (True,),
    closing: bool = False,
) -> Decision:
    """Who goes on and who does not, as things stand.

    A trial that is eliminated now may be promoted later, when more results make its rung's quota
    larger; so may one that is audited, which then counts as promoted. `closing`: no new trials will
    come, so quotas are rounded up and every rung sends on at least its best.

    Args:
        entries: all trials of the study, in any order.
        rungs: by index; the last one promotes nobody.
        halving: the settings.
        seed: of the study; with the trials' numbers it decides who of the eliminated is audited.
        uncertain: per objective, whether training longer changes it.
        closing: see above.
    """
    if halving.has_brackets:
        return decide_brackets(entries, rungs=rungs, halving=halving, closing=closing)
    return decide_ladder(
        entries, rungs=rungs, halving=halving, seed=seed, uncertain=uncertain, closing=closing
    )

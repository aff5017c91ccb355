"""Successive halving over rungs, decided from results alone (Jamieson & Talwalkar 2016, arXiv
1502.07943; promotion as results arrive: Li et al. 2020, arXiv 1810.05934; brackets: Li et al. 2018,
arXiv 1603.06560).

Constant-rate trunks read at 3/10/30 % of their plan rank candidates of one size at Kendall tau
0.61/0.83/0.94. So the first rung, below a tenth of the plan, eliminates only what clearly loses;
true halving starts at a tenth. A share of the eliminated runs on as an audit, so that a search can
say how often it was wrong. With several objectives candidates are ranked by front and crowding;
what breaks a limit stands behind all that meet them and is never promoted. With a horizon in
seconds true halving goes by the loss predicted for it, from each trunk's readings up to the rung.

Pure: the same entries give the same decision, in whatever process it is made.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat

from archsmith.brackets import Bracket, bracket_of, hyperband_cycle, successive_cycle
from archsmith.config import Spec
from archsmith.errors import ConfigError
from archsmith.horizon import Reading, predict, shared_slope
from archsmith.trial import Rung

TRUE_HALVING_FRACTION = 0.1


class Halving(Spec):
    """How rungs eliminate.

    Attributes:
        eta: one of `eta` candidates goes on from a rung.
        margin: share by which an uncertain score may still improve; on rungs below a tenth of
            the plan a candidate loses only if it loses with that much in its favour.
        audit_share: share of the eliminated that runs on.
        rule: `ladder`, as above; `asynchronous` as ASHA has it (no margin, no audit, no rounding up
            at the end); `successive` and `hyperband`: brackets of a fixed size, each rung decided
            when all of its candidates are back.
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

    def rung_of_first_job(self, number: int, num_rungs: int) -> int:
        """The rung at which trial `number` begins."""
        if num_rungs < 1:
            return 0
        if self.rule == "asynchronous":
            return min(self.first_rung, num_rungs - 1)
        if self.rule in ("successive", "hyperband"):
            return self.bracket(number, num_rungs).rung
        return 0

    def bracket(self, number: int, num_rungs: int) -> Bracket:
        """The bracket of trial `number`, under a rule that has brackets."""
        if self.rule == "hyperband":
            return bracket_of(number, hyperband_cycle(num_rungs, self.eta))
        return bracket_of(number, successive_cycle(num_rungs, self.eta, self.num_candidates))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What halving knows of one trial.

    Attributes:
        scores: rung to the objectives' values there, for rungs it has finished. All minimized.
        started_rung: the highest rung that has a job.
        alive: False once it failed or broke a limit: counted, never promoted.
        feasible: False where a known metric breaks a limit: it ranks behind all that meet them.
        seconds: rung to seconds of training at its end, where they are known.
        audited_from: the rung it lost at, if it runs on as an audit.
    """

    number: int
    scores: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    started_rung: int = -1
    alive: bool = True
    feasible: bool = True
    seconds: Mapping[int, float] = field(default_factory=dict)
    audited_from: int | None = None


class Promotion(NamedTuple):
    """Trial `number` goes on to `rung`; `audit` although it lost."""

    number: int
    rung: int
    audit: bool = False


class Elimination(NamedTuple):
    """Trial `number` is not promoted beyond `rung` as things stand."""

    number: int
    rung: int


class Decision(NamedTuple):
    """Promotions, highest rung and best trial first, and eliminations."""

    promotions: tuple[Promotion, ...]
    eliminations: tuple[Elimination, ...]


class Audit(NamedTuple):
    """Of `audited` eliminated trials that ran on, those that proved to belong to the kept."""

    audited: tuple[int, ...]
    false_eliminations: tuple[int, ...]


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
    larger. `closing`: no new trials will come, so quotas are rounded up and every rung sends on at
    least its best.

    Args:
        entries: all trials of the study, in any order.
        rungs: by index; the last one promotes nobody.
        halving: the settings.
        seed: of the study; with the trial's number it decides who is audited.
        uncertain: per objective, whether training longer changes it.
        closing: see above.
    """
    if halving.rule in ("successive", "hyperband"):
        return _decide_brackets(entries, rungs=rungs, halving=halving, closing=closing)
    promotions: list[Promotion] = []
    eliminations: list[Elimination] = []
    for rung in reversed(rungs[:-1]):
        here = [entry for entry in entries if rung.index in entry.scores]
        audits = [e for e in here if e.audited_from is not None and e.audited_from < rung.index]
        contest = [e for e in here if e.audited_from is None or e.audited_from >= rung.index]
        ranked = _ranked(_foreseen(contest, rungs, rung.index, halving), rung.index)
        pure = halving.rule == "asynchronous"
        quota = _quota(len(ranked), halving.eta, closing=closing and not pure)
        if rung.fraction < TRUE_HALVING_FRACTION and not pure:
            kept = _without_clear_losers(ranked, rung.index, halving, uncertain)
        else:
            kept = _within_quota(ranked, quota, rung.index)
        settled = (closing and not pure) or len(ranked) >= halving.eta
        keep = {entry.number for entry in kept}
        lost = [entry for entry in ranked if entry.number not in keep] if settled else []
        if not pure:
            share = halving.audit_share
            audits += [e for e in lost if is_audited(e.number, seed=seed, share=share)]
        running_on = {entry.number for entry in audits}
        promotions += [
            Promotion(entry.number, rung.index + 1, audit)
            for group, audit in ((kept, False), (audits, True))
            for entry in group
            if entry.alive and entry.started_rung <= rung.index
        ]
        eliminations += [
            Elimination(entry.number, rung.index)
            for entry in lost
            if entry.alive and entry.started_rung <= rung.index and entry.number not in running_on
        ]
    return Decision(tuple(promotions), tuple(eliminations))


def audit(entries: Sequence[Entry], *, rungs: Sequence[Rung], halving: Halving) -> Audit:
    """How the audited trials fared: falsely eliminated is who ranks among the kept one rung on."""
    audited, wrong = [], []
    for entry in sorted(entries, key=lambda e: e.number):
        if entry.audited_from is None or entry.audited_from + 1 not in entry.scores:
            continue
        audited.append(entry.number)
        rung = entry.audited_from + 1
        others = [e for e in entries if rung in e.scores and e.audited_from is None]
        ranked = _ranked(_foreseen([*others, entry], rungs, rung, halving), rung)
        last = rung == rungs[-1].index
        kept = ranked[: 1 if last else _quota(len(ranked), halving.eta, closing=True)]
        if entry.number in {one.number for one in kept}:
            wrong.append(entry.number)
    return Audit(tuple(audited), tuple(wrong))


def is_audited(number: int, *, seed: int, share: float) -> bool:
    """Whether a trial runs on if it is eliminated; decided by its number before it is born."""
    digest = hashlib.sha256(f"audit:{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def rank(scores: Sequence[Sequence[float]]) -> list[int]:
    """Indices from best to worst: by value, or by front and then crowding distance."""
    if not scores:
        return []
    values = np.asarray(scores, dtype=np.float64)
    if values.shape[1] == 1:
        return [int(i) for i in np.argsort(values[:, 0], kind="stable")]
    # imported here: it takes most of a second, and only several objectives need it
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    order: list[int] = []
    for front in NonDominatedSorting().do(values):
        crowding = calc_crowding_distance(values[front])
        by_room = sorted(zip(-crowding, front, strict=True))  # ties: the earlier one
        order += [int(index) for _, index in by_room]
    return order


def _ranked(entries: Sequence[Entry], rung: int) -> list[Entry]:
    """From best to worst: what meets the limits first, whatever the other scored."""
    ordered = sorted(entries, key=lambda entry: entry.number)
    groups = ([e for e in ordered if e.feasible], [e for e in ordered if not e.feasible])
    return [
        group[index] for group in groups for index in rank([entry.scores[rung] for entry in group])
    ]


def _foreseen(
    entries: Sequence[Entry], rungs: Sequence[Rung], rung: int, halving: Halving
) -> list[Entry]:
    """The same entries with their score at a rung as predicted for the horizon.

    The learned objective is the first; readings after the rung play no part. Below a tenth of the
    plan scores stand as they are: from one reading nothing can be foreseen but that fast networks
    are fast. Entries without training seconds keep their score as well.
    """
    if halving.horizon_seconds is None or rungs[rung].fraction < TRUE_HALVING_FRACTION:
        return list(entries)
    curves = {}
    for entry in entries:
        known = [index for index in entry.seconds if index <= rung and index in entry.scores]
        curves[entry.number] = [
            Reading(entry.seconds[index], rungs[index].train_bytes, entry.scores[index][0])
            for index in known
        ]
    slope = shared_slope(list(curves.values()))
    found = []
    for entry in entries:
        scores = dict(entry.scores)
        if rung in entry.seconds:
            ahead = predict(
                curves[entry.number], seconds=halving.horizon_seconds, shared_slope=slope
            )
            scores[rung] = (ahead.bits_per_byte, *scores[rung][1:])
        found.append(replace(entry, scores=scores))
    return found


def _decide_brackets(
    entries: Sequence[Entry], *, rungs: Sequence[Rung], halving: Halving, closing: bool
) -> Decision:
    """Synchronous brackets: a rung is decided when the last of its candidates is back.

    A candidate that failed or was rejected is back, and lost. Where no new trials will come, a
    bracket that is not full goes on with those it has, one in eta of them but at least one.
    """
    promotions: list[Promotion] = []
    eliminations: list[Elimination] = []
    by_bracket: dict[Bracket, list[Entry]] = {}
    for entry in entries:
        by_bracket.setdefault(halving.bracket(entry.number, len(rungs)), []).append(entry)
    for bracket, members in sorted(by_bracket.items()):
        full = len(members) == bracket.sizes[0]
        for level, rung in enumerate(rungs[bracket.rung : -1]):
            here = [one for one in members if level == 0 or one.started_rung >= rung.index]
            back = [one for one in here if rung.index in one.scores]
            waiting = [one for one in here if one.alive and rung.index not in one.scores]
            if waiting or not (full or closing):
                break
            keep = bracket.sizes[level + 1] if full else max(len(here) // halving.eta, 1)
            ranked = _ranked(_foreseen(back, rungs, rung.index, halving), rung.index)
            still = [e.alive and e.started_rung == rung.index for e in ranked]
            going = [
                e.number for e, here_yet in zip(ranked[:keep], still, strict=False) if here_yet
            ]
            promotions += [Promotion(number, rung.index + 1) for number in going]
            eliminations += [
                Elimination(e.number, rung.index)
                for e, here_yet in zip(ranked[keep:], still[keep:], strict=True)
                if here_yet
            ]
            if going:
                break  # the next rung waits for all of them
    promotions.sort(key=lambda promotion: -promotion.rung)
    return Decision(tuple(promotions), tuple(eliminations))


def _within_quota(ranked: Sequence[Entry], quota: int, rung: int) -> list[Entry]:
    """The best `quota`. With several objectives no more go on than that, those gone included: every
    arrival shuffles fronts and crowding, and whoever is on top for a moment would be sent on."""
    best = list(ranked[:quota])
    if not best or len(best[0].scores[rung]) == 1:
        return best
    gone = [entry for entry in ranked if entry.started_rung > rung]
    next_ones = [entry for entry in best if entry.started_rung <= rung]
    return [*gone, *next_ones[: max(quota - len(gone), 0)]]


def _quota(count: int, eta: int, *, closing: bool) -> int:
    return max(-(-count // eta), 1) if closing else count // eta


def _without_clear_losers(
    ranked: Sequence[Entry], rung: int, halving: Halving, uncertain: Sequence[bool]
) -> list[Entry]:
    """All but those that would lose even with the margin in their favour.

    Beaten by as many as halving would keep, although their uncertain scores are improved. What
    breaks a limit beats nobody and loses.
    """
    quota = _quota(len(ranked), halving.eta, closing=True)
    if len(ranked) < halving.eta:
        return list(ranked)
    ranked = [entry for entry in ranked if entry.feasible]
    if not ranked:
        return []
    values = np.array([entry.scores[rung] for entry in ranked], dtype=np.float64)
    slack = np.asarray(uncertain, dtype=np.float64) * halving.margin
    hopeful = values - slack * np.abs(values)
    better = np.all(values[None] <= hopeful[:, None], axis=2)
    better &= np.any(values[None] < hopeful[:, None], axis=2)
    return [
        entry for entry, beaten in zip(ranked, better.sum(axis=1), strict=True) if beaten < quota
    ]


def first_front(scores: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that none dominates, in order."""
    if not scores:
        return []
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    fronts = NonDominatedSorting().do(
        np.asarray(scores, dtype=np.float64), only_non_dominated_front=True
    )
    return sorted(int(index) for index in fronts)

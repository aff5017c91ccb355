"""What follows from a study's values: best trials, fronts, counts of reasons, rows of tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from archsmith.report.comparison import Comparison, Outcome
from archsmith.report.figures import NONE, plural, show_limit, show_ratio
from archsmith.report.study_report import STATES, ArmRow, Spending, StudyReport, TrialRow
from archsmith.report.verdict import Verdict, bits_per_byte_interval


@dataclass(frozen=True, kw_only=True)
class ArmLine:
    """One arm of the comparison, its training seeds averaged.

    Attributes:
        interval: 95 % interval of its own score over held-out text.
        comparison: the winner against it; None for the winner itself and for floors.
        misses: limits its file does not meet, as people write them.
    """

    arm: ArmRow
    num_seeds: int
    bits_per_byte: float | None
    interval: tuple[float, float] | None
    comparison: Comparison | None
    is_primary: bool
    misses: tuple[str, ...]

    @property
    def verdict_text(self) -> str:
        """The winner's outcome against this arm, seen from the winner."""
        if self.comparison is None:
            return "the winner" if self.arm.kind == "search" else "floor"
        words = {
            Outcome.BEAT: "beaten",
            Outcome.TIED: "tied",
            Outcome.LOST: "better than the winner",
            Outcome.UNDECIDED: "undecided",
        }
        reason = self.comparison.reason
        return words[self.comparison.outcome] + (f": {reason}" if reason else "")

    @property
    def cost_text(self) -> tuple[str, str]:
        """What the winner cost as a multiple of this arm: CPU seconds, FLOPs."""
        if self.comparison is None:
            return NONE, NONE
        found = self.comparison
        return show_ratio(found.cpu_ratio), show_ratio(found.flops_ratio)


def arm_lines(report: StudyReport, verdict: Verdict) -> list[ArmLine]:
    """The rows of the final comparison: winner, baselines by score, floors."""
    comparisons = {c.baseline: c for c in verdict.secondary}
    if verdict.primary is not None:
        comparisons[verdict.primary.baseline] = verdict.primary
    lines = []
    for name in dict.fromkeys(arm.name for arm in report.arms):
        rows = [arm for arm in report.arms if arm.name == name]
        scores = [arm.metrics["bits_per_byte"] for arm in rows if "bits_per_byte" in arm.metrics]
        lines.append(
            ArmLine(
                arm=rows[0],
                num_seeds=len(rows),
                bits_per_byte=fmean(scores) if scores else None,
                interval=bits_per_byte_interval(rows[0]),
                comparison=comparisons.get(name),
                is_primary=name == report.primary_baseline,
                misses=tuple(show_limit(*limit) for limit in report.missed_limits(rows[0].metrics)),
            )
        )
    order = {"search": 0, "baseline": 1, "floor": 2}
    infinite = float("inf")
    return sorted(
        lines,
        key=lambda line: (
            order.get(line.arm.kind, 1),
            infinite if line.bits_per_byte is None else line.bits_per_byte,
        ),
    )


def state_counts(report: StudyReport) -> dict[str, int]:
    """Trials by state; every state is present."""
    counts = Counter(trial.state for trial in report.trials)
    return {state: counts[state] for state in STATES} | {
        state: count for state, count in counts.items() if state not in STATES
    }


def rejections(report: StudyReport) -> dict[str, int]:
    """How many trials were rejected by each limit (or reason), the most frequent first.

    A trial that breaks two limits counts under both.
    """
    limits = {limit.metric: show_limit(*limit) for limit in report.limits}
    counts: Counter[str] = Counter()
    for trial in report.trials:
        if trial.state == "rejected":
            names = [limits.get(metric, metric) for metric in trial.broken_limits]
            counts.update(names or [trial.reason or "no reason noted"])
    return dict(counts.most_common())


def failures(report: StudyReport) -> dict[str, int]:
    """How many trials failed for each reason, the most frequent first."""
    return dict(
        Counter(
            (trial.reason or "no reason noted").strip().splitlines()[0]
            for trial in report.trials
            if trial.state == "failed"
        ).most_common()
    )


def top_trials(report: StudyReport, *, count: int = 10) -> list[TrialRow]:
    """Scored trials, the highest rung first, then by the first objective.

    Scores of different rungs are never mixed: a longer trained trial stands above a shorter one.
    """
    objective = report.objectives[0]
    scored = [
        trial
        for trial in report.trials
        if objective in trial.metrics and trial.state in ("complete", "pending") and trial.rung >= 0
    ]
    return sorted(scored, key=lambda t: (-t.rung, t.metrics[objective], t.number))[:count]


def audit_sentence(report: StudyReport) -> str:
    """How often stopping early was wrong, as far as the audit shows, or that nothing shows it;
    empty where nothing was stopped early."""
    if not report.audited:
        last = report.rungs[-1].index if report.rungs else 0
        stopped = sum(trial.state == "complete" and trial.rung < last for trial in report.trials)
        if not stopped:
            return ""
        whom = "the one trial" if stopped == 1 else f"the {stopped} trials"
        return (
            f"Audit of early stopping: none of {whom} that stopped below the last rung was "
            "audited, so nothing tells how often stopping was wrong."
        )
    wrong = ", ".join(map(str, report.false_eliminations))
    told = f"{len(report.false_eliminations)} should have been kept" + (
        f" (trial {wrong})" if wrong else ""
    )
    return (
        f"Audit of early stopping: of {plural(len(report.audited), 'trial')} that ran on, {told}."
    )


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (both minimized) that no other dominates, by the first coordinate."""
    kept: list[tuple[float, float]] = []
    for point in sorted(points):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def total_spending(ledger: Sequence[Spending]) -> Spending:
    """The sum of all phases."""
    planned = [row.planned_seconds for row in ledger if row.planned_seconds is not None]
    return Spending(
        phase="total",
        seconds=sum(row.seconds for row in ledger),
        flops=sum(row.flops for row in ledger),
        jobs=sum(row.jobs for row in ledger),
        failed_jobs=sum(row.failed_jobs for row in ledger),
        failed_seconds=sum(row.failed_seconds for row in ledger),
        planned_seconds=sum(planned) if planned else None,
    )

"""Several finished studies as the runs of one certificate: search seeds of the same question.

The search arm of a study is called after its strategy, baselines keep their names. What an arm cost
is the end of its anytime curve, which enters the certificate too. Their trials are pooled for what
each group of choices contributed. Studies must agree on limits,
margin and primary baseline, which each noted before its first training.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from archsmith.config import content_hash
from archsmith.errors import ConfigError
from archsmith.report.certificate import Certificate, certify
from archsmith.report.contributions import pooled_contributions
from archsmith.report.equal_cost import arm_cost
from archsmith.report.figures import show_limit
from archsmith.report.mean_curves import averaged
from archsmith.report.seed_comparison import ArmRun
from archsmith.report.study_report import ArmRow, StudyReport


def certify_studies(studies: Sequence[StudyReport], *, arm: str | None = None) -> Certificate:
    """The certificate over several studies, paired by seed and corpus.

    Args:
        arm: the strategy whose claim is primary; needed where the studies have several.

    Raises:
        ConfigError: none is finished, they answer different questions, or two have the same
            strategy, seed and corpus.
    """
    finished = [study for study in studies if any(one.kind == "search" for one in study.arms)]
    open_ = [study.name for study in studies if study not in finished]
    if not finished:
        raise ConfigError(
            f"none of {len(studies)} studies has a finished model yet; see 'archsmith status'"
        )
    _check_same(finished)
    baseline = finished[0].primary_baseline
    if baseline is None:
        raise ConfigError(
            "no study has a baseline to compare with; set baselines = "
            '["parameter_maximizer"] in the search files'
        )
    labels = corpus_labels(finished)
    runs: dict[tuple[str, int, str], list[ArmRun]] = {}
    remarks = [f"{name} is not finished and was left out." for name in open_]
    for study, corpus in zip(finished, labels, strict=True):
        if study.fixed is not None and study.trained is not None and study.trained < study.fixed:
            remarks.append(f"{study.name}: the primary comparison was fixed after training began.")
        for row in study.arms:
            missed = study.missed_limits(row.metrics)
            if missed:
                names = ", ".join(show_limit(*limit) for limit in missed)
                remarks.append(f"{study.name}: the {row.name} misses {names} and was left out.")
            elif row.kind != "floor" and "bits_per_byte" in row.metrics:
                run = _run(study, row, corpus)
                runs.setdefault((run.arm, run.seed, run.corpus), []).append(run)
    if any(len(found) > 1 for found in runs.values()):
        remarks.append("A baseline trained in several studies of one seed counts by its mean.")
    claiming = arm or _only_strategy(finished)
    return certify(
        [_mean(found, finished) for found in runs.values()],
        primary=(claiming, baseline),
        margin=finished[0].margin,
        contributions=pooled_contributions(
            finished, claims=[strategy_name(study) == claiming for study in finished]
        ),
        openings=[opening for study in finished for opening in study.openings],
        remarks=remarks,
    )


def strategy_name(study: StudyReport) -> str:
    """What the study's search arm is called in a certificate."""
    strategy = study.settings.get("strategy")
    found = strategy.get("type") if isinstance(strategy, Mapping) else None
    return str(found or "search winner")


def corpus_labels(studies: Sequence[StudyReport]) -> list[str]:
    """A name for each study's corpus: "" where all share one, else its files."""
    keys = [content_hash(_plain(study.corpus)) for study in studies]
    if len(set(keys)) == 1:
        return [""] * len(keys)
    names = {key: _files(study) for key, study in zip(keys, studies, strict=True)}
    if len(set(names.values())) < len(names):
        names = {key: f"corpus {number}" for number, key in enumerate(names, 1)}
    return [names[key] for key in keys]


def _files(study: StudyReport) -> str:
    settings = study.settings.get("settings")
    corpus = settings.get("corpus", {}) if isinstance(settings, Mapping) else {}
    files = corpus.get("files", ()) if isinstance(corpus, Mapping) else ()
    return ", ".join(str(name) for name in files)[:60] or study.name


def _plain(value: Any) -> Any:
    return {str(key): _plain(inner) for key, inner in value.items()} if isinstance(
        value, Mapping
    ) else value  # fmt: skip


def _check_same(studies: Sequence[StudyReport]) -> None:
    first = studies[0]
    for study in studies[1:]:
        pairs = {
            "limits": (sorted(map(str, first.limits)), sorted(map(str, study.limits))),
            "margin": (first.margin, study.margin),
            "primary baseline": (first.primary_baseline, study.primary_baseline),
        }
        for what, (ours, theirs) in pairs.items():
            if ours != theirs:
                raise ConfigError(
                    f"studies '{first.name}' and '{study.name}' cannot be paired: their {what} "
                    f"differ ({ours} and {theirs}); certify them one by one"
                )


def _only_strategy(studies: Sequence[StudyReport]) -> str:
    names = sorted({strategy_name(study) for study in studies})
    if len(names) > 1:
        raise ConfigError(
            f"the studies have several strategies ({', '.join(names)}); say with --arm whose claim "
            "was fixed as the primary one"
        )
    return names[0]


def _run(study: StudyReport, row: ArmRow, corpus: str) -> ArmRun:
    seconds, flops = arm_cost(study, row)
    return ArmRun(
        arm=strategy_name(study) if row.kind == "search" else row.name,
        seed=study.seed if study.seed is not None else 0,
        bits_per_byte=row.metrics["bits_per_byte"],
        cpu_seconds=seconds,
        flops=flops,
        corpus=corpus,
        curve=_curve(study, row.name),
    )


def _curve(study: StudyReport, arm: str) -> tuple[tuple[float, float], ...]:
    """What the arm had reached when, its final training included; empty where that is unknown."""
    if study.spent(arm) is None:
        return ()
    points = next(curve.points for curve in study.anytime if curve.arm == arm)
    return tuple((point.cpu_seconds, point.bits_per_byte) for point in points)


def _mean(runs: Sequence[ArmRun], studies: Sequence[StudyReport]) -> ArmRun:
    """Baselines of one seed, trained in several studies, as one run. Raises ConfigError."""
    if len(runs) == 1:
        return runs[0]
    if runs[0].arm in {strategy_name(study) for study in studies}:
        raise ConfigError(
            f"{len(runs)} studies have strategy {runs[0].arm} and seed {runs[0].seed} on one "
            "corpus; a certificate pairs runs by seed, so give each study its own"
        )
    return runs[0]._replace(
        bits_per_byte=fmean(run.bits_per_byte for run in runs),
        cpu_seconds=_mean_cost([run.cpu_seconds for run in runs]),
        flops=_mean_cost([run.flops for run in runs]),
        curve=averaged([run.curve for run in runs]),
    )


def _mean_cost(costs: Sequence[float]) -> float:
    """0 where one of them is not known."""
    return fmean(costs) if all(costs) else 0.0

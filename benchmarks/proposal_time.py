"""Seconds of CPU a proposal takes against the length of the history, beside Optuna in one run.

    python benchmarks/proposal_time.py --trials 100 1000 10000

The same space, history and machine for all of ours: every strategy but darts and enas, which read
the policy of a supernet and sample without one; Optuna's by adapter where it is installed. Optuna's
own samplers get a flat space of fourteen choices and a history of the same length, as they cannot
express the other; its GP sampler is left out beyond --gp-trials. Each figure is the median of
--repeats proposals, after one that is not counted; before each there is one result more, as in a
search. With --rungs trials are trunks on a ladder, one in three of which goes on from each rung, so
that a result is often one more of an old trial.
"""

import argparse
import importlib.util
import random
import statistics
import time
from collections.abc import Callable

from archsmith import registry
from archsmith.space import presets
from archsmith.testing.toy import toy_metrics, toy_problem
from archsmith.trial import Observation, Problem, Rung, TrialState

OF_SUPERNETS = ("darts", "enas")  # only a supernet's scores hold the policy they read
OBJECTIVES = {
    number: ("bits_per_byte", "decode_ms_per_token", "file_bytes", "cache_bytes")[:number]
    for number in (1, 2, 3, 4)
}
# with several objectives one of them is limited, too: a limit that only a measurement can show
LIMITS = {
    number: ("file_bytes <= 4MiB", "decode_ms_per_token <= 9")[: min(number, 2)]
    for number in OBJECTIVES
}


def measurable() -> list[str]:
    """Registered strategies that need no supernet, without Optuna's where it is not installed."""
    has_optuna = importlib.util.find_spec("optuna") is not None
    return [
        name
        for name in registry.names("strategies")
        if name not in OF_SUPERNETS and (has_optuna or not name.startswith("optuna"))
    ]


def make_history(space: object, count: int) -> list[Observation]:
    """Different architectures with a made-up loss."""
    rng, points = random.Random(0), dict[object, None]()
    while len(points) < count:
        points[space.sample(rng)] = None  # type: ignore[attr-defined]
    return [
        Observation(
            number=number,
            architecture=point,
            state=TrialState.COMPLETE,
            metrics=toy_metrics(point),  # type: ignore[arg-type]
        )
        for number, point in enumerate(points)
    ]


def ladder(count: int) -> list[Rung]:
    """Rungs that end at 100 MB of text, each three times the one before."""
    shares = [3.0 ** (place - count + 1) for place in range(count)]
    return [
        Rung(index=place, fraction=share, train_bytes=round(1e8 * share))
        for place, share in enumerate(shares)
    ]


def climb(
    history: list[Observation], rungs: list[Rung], num_results: int
) -> tuple[list[Observation], int]:
    """The history after so many results, and how many there are in all: every third trial goes on
    from a rung, the later the higher it is."""
    step = {rung.index: 3**rung.index for rung in rungs}
    order = sorted(
        (number * (1 + 0.3 * rung.index) + 4 * rung.index, number, rung.index)
        for rung in rungs
        for number in range(0, len(history), step[rung.index])
    )
    times: dict[int, list[float]] = {}
    for time_, number, _ in order[:num_results]:
        times.setdefault(number, []).append(time_)
    found = []
    for number, own in sorted(times.items()):
        bits = history[number].metrics["bits_per_byte"]
        scores = [bits + 0.5 * (64 * rung.fraction) ** -0.3 for rung in rungs[: len(own)]]
        texts = [float(rung.train_bytes) for rung in rungs]
        update = {
            "metrics": {**history[number].metrics, "bits_per_byte": scores[-1]},
            "rung": len(own) - 1,
            "curve": tuple(zip(texts, scores, strict=False)),
            "finished": tuple(own),
        }
        found.append(history[number].model_copy(update=update))
    return found, len(order)


def median_seconds(propose: Callable[[int], object], repeats: int) -> tuple[float, float]:
    """Median and largest CPU seconds of a call; the first call is not counted."""
    propose(0)
    taken = []
    for number in range(1, repeats + 1):
        start = time.process_time()
        propose(number)
        taken.append(time.process_time() - start)
    return statistics.median(taken), max(taken)


def time_ours(
    name: str, history: list[Observation], objectives: int, repeats: int, num_rungs: int = 0
) -> str:
    space = presets.portable(max_params="8M", quantizations=("Q4_0", "Q4_K_M", "Q8_0"))
    problem = toy_problem(space=space, limits=LIMITS[objectives], objectives=OBJECTIVES[objectives])
    strategy = registry.find("strategies", name)()
    shorter = len(history) - repeats
    histories = [tuple(history[: shorter + number]) for number in range(repeats + 1)]
    if num_rungs:
        rungs = ladder(num_rungs)
        problem = Problem(
            space=space,
            objectives=problem.objectives,
            limits=problem.limits,
            static_metrics=problem.static_metrics,
            rungs=rungs,
        )
        _, total = climb(history, rungs, 0)
        counts = range(total - repeats, total + 1)
        histories = [tuple(climb(history, rungs, count)[0]) for count in counts]

    def propose(number: int) -> object:
        return strategy.propose(problem, histories[number], problem.rng(number))

    return show(*median_seconds(propose, repeats))


def time_optuna(name: str, count: int, objectives: int, repeats: int) -> str:
    """As an in-memory study with a history of `count` trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"TPE": optuna.samplers.TPESampler, "GP": optuna.samplers.GPSampler}
    study = optuna.create_study(
        directions=["minimize"] * objectives, sampler=samplers[name](seed=0)
    )
    rng = random.Random(0)
    places = {f"choice_{place}": optuna.distributions.IntDistribution(0, 7) for place in range(14)}

    def values(params: dict[str, int]) -> list[float]:
        found = [
            sum((choice - 3) ** 2 for choice in params.values()),
            sum(params.values()),
            sum(choice == 0 for choice in params.values()),
            sum(choice % 2 for choice in params.values()),
        ]
        return [float(value) for value in found[:objectives]]

    for _ in range(count - repeats):
        params = {place: rng.randint(0, 7) for place in places}
        study.add_trial(
            optuna.create_trial(params=params, distributions=places, values=values(params))
        )

    def propose(number: int) -> object:
        trial = study.ask(places)
        study.tell(trial, values(trial.params))
        return trial

    return show(*median_seconds(propose, repeats))


def show(median: float, largest: float) -> str:
    return f"{median * 1e3:9.1f} ms  (largest {largest * 1e3:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--objectives", type=int, nargs="+", default=[1, 2], choices=OBJECTIVES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--gp-trials", type=int, default=1000)
    parser.add_argument("--rungs", type=int, default=0, help="of a ladder trials are on; 0: none")
    parser.add_argument("--ours", nargs="+", default=measurable(), help="these of ours, or all")
    parser.add_argument("--without-optuna", action="store_true")
    arguments = parser.parse_args()
    space = presets.portable(max_params="8M", quantizations=("Q4_0", "Q4_K_M", "Q8_0"))
    history = make_history(space, max(arguments.trials))
    others: list[str] = []
    try:
        if not arguments.without_optuna:
            import optuna

            others = [f"Optuna {optuna.__version__} {name}" for name in ("TPE", "GP")]
    except ImportError:
        print("optuna is not installed: its samplers are left out")
    for objectives in arguments.objectives:
        for count in arguments.trials:
            for name in arguments.ours:
                figure = time_ours(
                    name, history[:count], objectives, arguments.repeats, arguments.rungs
                )
                print(
                    f"{objectives} objectives, {count:6d} trials, {name:24s} {figure}", flush=True
                )
            for name in others:
                kind = name.rpartition(" ")[2]
                if kind == "GP" and count > arguments.gp_trials:
                    continue
                figure = time_optuna(kind, count, objectives, arguments.repeats)
                print(
                    f"{objectives} objectives, {count:6d} trials, {name:24s} {figure}", flush=True
                )


if __name__ == "__main__":
    main()

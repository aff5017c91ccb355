"""The search algorithms of PyGlove and of NNI on recorded tables, kept beside those of archsmith.

    pip install --target PEERS/pyglove pyglove==0.4.5
    pip install --target PEERS/nni nni==3.0
    PYTHONPATH=PEERS/pyglove python benchmarks/replay_peers.py FOLDER RESULTS \\
        --run macro_accuracy --peer pyglove_regularized_evolution --seeds 100
    python benchmarks/replay_seeds.py FOLDER RESULTS --summary

Neither is a dependency. Each goes into a folder of its own, because NNI 3.0 pins filelock below
3.12 and typeguard below 4.1.3, and brings a second NumPy, SciPy and scikit-learn; PYTHONPATH names
the folder for the runs of its algorithms alone. A peer that is not installed is passed over with a
sentence. NNI's PolicyBasedRL needs more, without their dependencies: `tianshou==0.4.11 gym==0.26.2
gym-notices`, then `h5py numba tensorboard`. Its tuners GP, Metis, SMAC, PPO, BOHB and
DNGO are left out.

A peer may have settings: `pyglove_nsga2:population_size=16`. Where none are told it has its own
defaults; both libraries' populations are 100 then, so that most of 100 evaluations are random.

What counts: an evaluation is a network that was not asked for before. What is asked again is
answered from memory, and what the table does not hold is said not to exist, both for nothing, as
archsmith's strategies never train twice. After 30 such questions in a row one random network is
trained instead. The measures are those of `replay_seeds.py`, in whose RESULTS the seeds go.
"""

import argparse
import logging
import math
import random
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from replay_seeds import NAMES, keep, load

from archsmith.errors import ArchsmithError, ConfigError
from archsmith.replay.curves import Truth
from archsmith.replay.table import Table

PATIENCE = 30  # questions in a row that bring nothing new, as many as archsmith's strategies try
LEAST_SHARE = 0.1  # of a table's combinations that have to exist
Options = tuple[int, ...]  # a value of each choice, by its place
Settings = dict[str, int]


class Full(Exception):  # noqa: N818 - no error: it ends a peer that would go on for ever
    """As many networks were trained as were asked for."""


class Book:
    """What a peer has had trained.

    Attributes:
        rows: of the table, in order, each once.
        asked: all questions, those that cost nothing included.
    """

    def __init__(self, table: Table, *, n_trials: int, seed: int) -> None:
        self.sizes = table.space.choice_sizes
        self.rows: list[int] = []
        self.asked = 0
        self._table, self._n_trials = table, n_trials
        self._shown = table.shown[table.shown_seed(seed)]
        self._rng, self._known, self._idle = random.Random(seed), set[int](), 0

    def exists(self, options: Sequence[int]) -> bool:
        """Whether the table holds the combination; a question that costs nothing."""
        if self._table.space.at(options) is not None:
            return True
        self._ask(None)
        return False

    def evaluate(self, options: Sequence[int]) -> tuple[float, ...] | None:
        """The objectives, all minimized, or None where the network does not exist or failed.

        Raises Full with the last network that may be trained.
        """
        point = self._table.space.at(options)
        self._ask(None if point is None else point.number)
        values = () if point is None else tuple(self._shown[point.number].tolist())
        return values if values and all(map(math.isfinite, values)) else None

    def _ask(self, row: int | None) -> None:
        self.asked += 1
        self._idle += 1
        if row is not None and row not in self._known:
            self._train(row)
        elif self._idle >= PATIENCE:
            left = [p.number for p in self._table.space.points() if p.number not in self._known]
            self._train(self._rng.choice(left))

    def _train(self, row: int) -> None:
        self._known.add(row)
        self.rows.append(row)
        self._idle = 0
        if len(self.rows) >= self._n_trials:
            raise Full


# asks the book until it is full: (book, seed, settings, number of objectives)
Peer = Callable[[Book, int, Settings, int], None]


def pyglove(name: str) -> Peer:
    """An algorithm of PyGlove (Peng et al. 2020, arXiv 2101.08809), driven as `pg.sample` does."""

    def run(book: Book, seed: int, settings: Settings, num_objectives: int) -> None:
        import pyglove as pg
        from pyglove.ext import evolution

        spec = pg.dna_spec(pg.List([pg.oneof(range(size)) for size in book.sizes]))
        if name == "random":
            algorithm = pg.geno.Random(seed=seed)
        else:
            mutator = evolution.mutators.Uniform(seed=seed)
            algorithm = getattr(evolution, name)(mutator, seed=seed, **settings)
        algorithm.setup(spec)
        while True:
            dna = algorithm.propose()
            values = book.evaluate(dna.to_numbers())
            if values is not None:  # it maximizes
                reward = tuple(-value for value in values)
                algorithm.feedback(dna, reward if num_objectives > 1 else reward[0])

    return run


def nni_tuner(module: str, name: str, *, grid: bool = True) -> Peer:
    """A tuner of NNI 3 (https://nni.readthedocs.io), asked and told without its web server.

    Instead of what they proposed before, its tuners propose the next point of a grid search, which
    begins with the first option of every choice. `grid=False` leaves them their repetitions.
    """

    def run(book: Book, seed: int, settings: Settings, num_objectives: int) -> None:
        import importlib

        random.seed(seed)  # the evolution tuner draws from here, too
        tuner = getattr(importlib.import_module(module), name)(
            **settings,
            **({"seed": seed} if name != "EvolutionTuner" else {}),
            **({"optimize_mode": "minimize"} if name != "RandomTuner" else {}),
        )
        tuner.update_search_space(
            {
                f"choice{place}": {"_type": "choice", "_value": list(range(size))}
                for place, size in enumerate(book.sizes)
            }
        )
        if name == "EvolutionTuner":  # which has no seed: the first population once more
            tuner.random_state, tuner.population = np.random.RandomState(seed), []
            for _ in range(tuner.population_size):
                tuner._random_generate_individual()
        if not grid:
            tuner.dedup = lambda parameters: parameters
        number = 0
        while True:
            asked = tuner.generate_parameters(number)
            values = book.evaluate([asked[f"choice{p}"] for p in range(len(book.sizes))])
            if values is None:
                tuner.trial_end(number, False)
            else:
                tuner.receive_trial_result(number, asked, values[0])
            number += 1

    return run


def nni_strategy(name: str) -> Peer:
    """A strategy of NNI 3's architecture search, over its own engine within this process."""

    def run(book: Book, seed: int, settings: Settings, num_objectives: int) -> None:
        import nni

        nni.set_default_framework("none")  # "pytorch" needs pytorch_lightning to be imported
        from nni.mutable import SampleValidationError
        from nni.nas import strategy
        from nni.nas.evaluator import Evaluator
        from nni.nas.execution import SequentialExecutionEngine
        from nni.nas.space import SimplifiedModelSpace

        def options(sample: dict[str, int]) -> Options:
            return tuple(sample[f"choice{place}"] for place in range(len(book.sizes)))

        class LookUp(Evaluator):
            def _execute(self, model: Any) -> None:
                values = book.evaluate(options(model.sample))
                if values is not None:  # it maximizes
                    nni.report_final_result(-values[0])

        class Space(SimplifiedModelSpace):
            def check_contains(self, sample: dict[str, int]) -> Any:
                wrong = super().check_contains(sample)
                if wrong is not None or book.exists(options(sample)):
                    return wrong
                return SampleValidationError("the table has no such network")

        @nni.trace
        class Model:
            pass

        choices = {
            f"choice{place}": nni.choice(f"choice{place}", list(range(size)))
            for place, size in enumerate(book.sizes)
        }
        if name == "PolicyBasedRL":
            import torch

            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - its replay buffer draws from here
            algorithm = strategy.PolicyBasedRL(**settings)
        else:
            algorithm = getattr(strategy, name)(seed=seed, **settings)
        while True:  # it gives up where it finds nothing new
            algorithm(Space(Model(), choices, LookUp()), SequentialExecutionEngine())

    return run


PEERS: dict[str, Peer] = {
    "pyglove_random": pyglove("random"),
    "pyglove_regularized_evolution": pyglove("regularized_evolution"),
    "pyglove_nsga2": pyglove("nsga2"),
    "nni_random_tuner": nni_tuner("nni.algorithms.hpo.random_tuner", "RandomTuner"),
    "nni_tpe_tuner": nni_tuner("nni.algorithms.hpo.tpe_tuner", "TpeTuner"),
    "nni_tpe_tuner_repeating": nni_tuner("nni.algorithms.hpo.tpe_tuner", "TpeTuner", grid=False),
    "nni_evolution_tuner": nni_tuner("nni.algorithms.hpo.evolution_tuner", "EvolutionTuner"),
    "nni_regularized_evolution": nni_strategy("RegularizedEvolution"),
    "nni_policy_based_rl": nni_strategy("PolicyBasedRL"),
}
SEVERAL_OBJECTIVES = ("pyglove_random", "pyglove_nsga2")


def search_by(table: Table, text: str, *, n_trials: int, seed: int) -> Book:
    """What a peer has trained of a table; `text` as in `pyglove_nsga2:population_size=16`.

    Raises ConfigError for a table that cannot be asked in choices, or a peer that cannot take its
    objectives, and ImportError where the peer is not installed.
    """
    name, _, given = text.partition(":")
    if name not in PEERS:
        raise ConfigError(f"no peer '{name}'; there are {', '.join(PEERS)}")
    settings = {key: int(value) for key, value in (p.split("=") for p in given.split(",") if p)}
    space, several = table.space, len(table.objectives) > 1
    share = len(space) / math.prod(space.choice_sizes)
    if any(space.choice_orders) or share < LEAST_SHARE:
        raise ConfigError(
            f"{table.name} is not asked by peers: its choices have to be unordered and at least "
            f"{LEAST_SHARE:.0%} of their combinations recorded, {share:.2%} are"
        )
    if several and name not in SEVERAL_OBJECTIVES:
        raise ConfigError(f"{name} takes one objective and the table has {len(table.objectives)}")
    book = Book(table, n_trials=n_trials, seed=seed)
    try:
        PEERS[name](book, seed, settings, len(table.objectives))
    except Full:
        return book
    raise ArchsmithError(f"{name} stopped after {len(book.rows)} networks")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the recorded tables")
    parser.add_argument("results", type=Path, help="folder of the results")
    parser.add_argument("--run", action="append", choices=list(NAMES), required=True)
    parser.add_argument("--peer", action="append", required=True, help=", ".join(PEERS))
    parser.add_argument("--seeds", type=int, default=100)
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.ERROR)  # NNI's log takes the end of a search for a failure
    warnings.simplefilter("ignore")
    for name in given.run:
        table = load(given.folder, name)
        truth, most = Truth(table), max(NAMES[name].at)
        for text in given.peer:

            def once(
                seed: int, *, text: str = text, table: Table = table, most: int = most
            ) -> tuple[list[int], dict[str, object]]:
                book = search_by(table, text, n_trials=most, seed=seed)
                return book.rows, {"asked": book.asked}

            try:
                keep(given.results, name, text, once, truth, range(given.seeds))
            except (ImportError, ConfigError) as error:
                what = "is not installed" if isinstance(error, ImportError) else "is passed over"
                print(f"{text} {what}: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ArchsmithError as error:
        sys.exit(f"error: {error}")

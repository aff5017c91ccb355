"""Optuna's samplers as strategies suggest what Optuna itself would."""

import builtins
import warnings

import pytest

from archsmith.errors import ConfigError, MissingExtraError
from archsmith.strategies.optuna_nsga2 import OptunaNsga2
from archsmith.strategies.optuna_tpe import OptunaTpe
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import TableSpace, run_search, toy_problem
from archsmith.trial import Problem

optuna = pytest.importorskip("optuna")


class Ordered(TableSpace):
    """A grid that says that its choices are numbers."""

    @property
    def choice_sizes(self):
        return self.sizes

    @property
    def choice_orders(self):
        return (True,) * len(self.sizes)

    def indices(self, point):
        return point

    def at(self, indices):
        return tuple(indices)


def grid(sizes, objectives=("loss",)):
    return Problem(space=Ordered(sizes), objectives=objectives, static_metrics=lambda point: {})


def bowl(point):
    return {"loss": float(sum((v - 3) ** 2 for v in point)), "cost": float(sum(point))}


@pytest.mark.slow  # with a Parzen estimator per family
class TestOptunaTpe(StrategyContract):
    strategy = pytest.fixture(lambda self: OptunaTpe(n_startup_trials=6, n_ei_candidates=8))


class TestOptunaNsga2(StrategyContract):
    strategy = pytest.fixture(lambda self: OptunaNsga2(population_size=16))


def test_tpe_suggests_what_a_study_of_the_same_trials_suggests():
    problem = grid((9, 9, 9))
    history = run_search(OptunaTpe(), problem, 30, metrics=bowl)
    number = len(history)
    proposed = OptunaTpe().propose(problem, history, problem.rng(number)).architecture
    study = optuna.create_study()
    distributions = {f"0.{i}": optuna.distributions.IntDistribution(0, 8) for i in range(3)}
    for trial in history:
        params = dict(zip(distributions, trial.architecture, strict=True))
        value = trial.metrics["loss"]
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.sampler = optuna.samplers.TPESampler(
            seed=problem.rng(number).randrange(2**32), multivariate=True
        )
    asked = study.ask(distributions)
    assert tuple(asked.params.values()) == proposed


def test_generations_are_counted_as_optuna_counts_them():
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=optuna.samplers.NSGAIISampler(population_size=7)
    )
    for _ in range(30):
        trial = study.ask()
        values = bowl([trial.suggest_int(name, 0, 8) for name in "abc"])
        study.tell(trial, list(values.values()))
    key = optuna.samplers.NSGAIISampler._get_generation_key()
    own = [trial.system_attrs[key] for trial in study.trials]
    strategy = OptunaNsga2(population_size=7)
    assert [strategy._attributes(optuna, told)[key] for told in range(30)] == own


def test_nsga2_mixes_the_parents_of_the_last_generation():
    problem = grid((30,) * 4, ("loss", "cost"))
    history = run_search(OptunaNsga2(population_size=10), problem, 20, metrics=bowl)
    later = run_search(OptunaNsga2(population_size=10), problem, 60, metrics=bowl)[20:]
    values = [set(column) for column in zip(*(o.architecture for o in history), strict=True)]
    kept = sum(v in values[place] for o in later[:10] for place, v in enumerate(o.architecture))
    assert kept > 24  # of 40; drawn at random it would be fewer than half
    assert sum(bowl(o.architecture)["loss"] for o in later[-10:]) < 0.5 * sum(
        bowl(o.architecture)["loss"] for o in history[:10]
    )


def test_families_are_suggested_too():
    history = run_search(OptunaTpe(n_startup_trials=4), toy_problem(), 9)
    assert len({o.architecture.layers[0].residual for o in history}) == 2


def test_a_space_without_choices_is_refused():
    problem = Problem(
        space=TableSpace((3, 3)), objectives=("loss",), static_metrics=lambda point: {}
    )
    with pytest.raises(ConfigError, match="'optuna_tpe' needs a space made of choices"):
        OptunaTpe().propose(problem, (), problem.rng(0))


def test_without_optuna_the_extra_is_named(monkeypatch):
    imported = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.startswith("optuna"):
            raise ImportError(name)
        return imported(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'archsmith\[optuna\]'"):
        OptunaTpe().propose(grid((3, 3)), (), grid((3, 3)).rng(0))

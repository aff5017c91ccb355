"""Optuna's samplers as strategies suggest what Optuna itself would."""

import builtins
import random

import numpy as np
import pytest

from archsmith.errors import ConfigError, MissingExtraError
from archsmith.replay.space import Dimension
from archsmith.replay.space import TableSpace as Table
from archsmith.space import presets
from archsmith.strategies._choices import Answer, Choices
from archsmith.strategies.controller import Controller
from archsmith.strategies.optuna_nsga2 import OptunaNsga2
from archsmith.strategies.optuna_tpe import OptunaTpe
from archsmith.strategies.random import Random
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import TableSpace, run_search, toy_metrics, toy_problem
from archsmith.trial import Limit, Observation, Problem, TrialState

optuna = pytest.importorskip("optuna")
COMPLETE = optuna.trial.TrialState.COMPLETE


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


@pytest.mark.parametrize("objectives", [("loss",), ("loss", "cost")], ids=["one", "two"])
def test_tpe_suggests_what_a_default_study_of_the_same_trials_suggests(objectives):
    problem = grid((9, 9, 9), objectives)
    history = run_search(Random(), problem, 15, metrics=bowl)
    distributions = {f"x{i}": optuna.distributions.IntDistribution(0, 8) for i in range(3)}
    known = {trial.architecture for trial in history}
    compared = 0
    for number in range(len(history), len(history) + 8):
        proposed = OptunaTpe().propose(problem, history, problem.rng(number)).architecture
        study = optuna.create_study(
            directions=["minimize"] * len(objectives),
            sampler=optuna.samplers.TPESampler(seed=problem.rng(number).randrange(2**32)),
        )
        for trial in history:
            params = dict(zip(distributions, trial.architecture, strict=True))
            values = [trial.metrics[name] for name in objectives]
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=distributions, values=values)
            )
        asked = tuple(study.ask(distributions).params.values())
        if asked not in known:  # else ours asks again
            assert asked == proposed
            compared += 1
    assert compared >= 4


def test_tpe_keeps_away_from_what_is_under_way():
    problem = grid((9, 9, 9))
    history = run_search(Random(), problem, 15, metrics=bowl)
    point = OptunaTpe().propose(problem, history, problem.rng(0)).architecture
    # the same point three times over would be no news to the study; its surroundings are
    near = [tuple(min(v + step, 8) for v in point) for step in (0, 1, 2)]
    waiting = [
        Observation(number=15 + i, architecture=other, state=TrialState.PENDING)
        for i, other in enumerate(near)
    ]
    told = []
    add = optuna.study.Study.add_trial

    def record(study, trial):
        told.append((trial.state.name, tuple(trial.params.values())))
        add(study, trial)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.study.Study, "add_trial", record)
        OptunaTpe().propose(problem, (*history, *waiting), problem.rng(0))
        assert told[-3:] == [("RUNNING", other) for other in near]
        told.clear()
        finished = [
            o.model_copy(update={"state": TrialState.COMPLETE, "metrics": bowl(o.architecture)})
            for o in waiting
        ]
        OptunaTpe().propose(problem, (*history, *finished), problem.rng(1))
    assert told == [("COMPLETE", other) for other in near]


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


def test_families_share_the_parameters_they_have_in_common():
    asked = []
    relative = optuna.samplers.NSGAIISampler.sample_relative

    def record(self, study, trial, search_space):
        asked.append((len(study.get_trials(states=[COMPLETE])), set(search_space)))
        return relative(self, study, trial, search_space)

    problem = toy_problem()
    assert len({branch.family.name for branch in problem.space.branches}) > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.samplers.NSGAIISampler, "sample_relative", record)
        run_search(OptunaNsga2(population_size=8), problem, 20)
    later = [names for told, names in asked if told >= 8]
    assert later
    for names in later:
        assert {"family", "hidden_size", "num_hidden_layers", "intermediate_ratio"} <= names


def test_a_dimension_with_other_choices_is_another_parameter():
    space = presets.portable(quantizations=("Q8_0",))
    choices = Choices(space, purpose="test")
    offered = {}
    for branch, group in zip(space.branches, choices.groups, strict=True):
        assert len({choice.name for choice in group}) == len(group)
        for dimension, choice in zip(branch.dimensions, group, strict=True):
            assert offered.setdefault(choice.name, dimension.choices) == dimension.choices
            assert choice.name.partition(":")[0] == dimension.name
    assert "hidden_size" in offered
    assert "intermediate_ratio:1" in offered  # phi's block has no gate, and other ratios


def test_families_are_suggested_too():
    problem = toy_problem(seed=3)
    history = run_search(OptunaTpe(n_startup_trials=4), problem, 24)
    families = [problem.space.values(o.architecture)["family"] for o in history]
    assert len(set(families[:4])) > 1
    assert len(set(families[4:])) > 1


def fallbacks(strategy, problem, *, start, n_trials, metrics):
    """The share of proposals after `start` trials that are feasible samples."""
    history = run_search(Random(), problem, start, metrics=metrics)
    notes = []
    for number in range(start, n_trials):
        proposal = strategy.propose(problem, tuple(history), problem.rng(number))
        notes.append(proposal.note)
        assert problem.feasible(proposal.architecture)
        history.append(
            Observation(
                number=number,
                architecture=proposal.architecture,
                state=TrialState.COMPLETE,
                metrics=metrics(proposal.architecture),
            )
        )
    return notes.count("sampled") / len(notes)


@pytest.mark.parametrize(
    "strategy",
    [OptunaTpe(), OptunaNsga2(population_size=10), Controller(hidden_size=8)],
    ids=lambda strategy: strategy.type,
)
def test_on_a_sparse_table_what_is_asked_for_decides(strategy):
    rng = np.random.default_rng(0)
    levels = np.unique(rng.integers(0, 6, (60, 14)), axis=0)  # of 6^14 combinations
    dimensions = [
        Dimension(f"c{place}", "ordinal" if place % 2 else "categorical", tuple(range(6)))
        for place in range(14)
    ]
    space = Table(dimensions, levels, {})
    for objectives in (("loss",), ("loss", "cost")):
        problem = Problem(space=space, objectives=objectives, static_metrics=lambda point: {})
        share = fallbacks(
            strategy, problem, start=12, n_trials=26, metrics=lambda row: bowl(row.choices)
        )
        assert share < 0.5


@pytest.mark.parametrize(
    "strategy",
    [OptunaTpe(), OptunaNsga2(population_size=10), Controller(hidden_size=8)],
    ids=lambda strategy: strategy.type,
)
def test_under_a_tight_limit_what_is_asked_for_decides(strategy):
    space = presets.portable(quantizations=("Q4_0", "Q8_0"))
    problem = toy_problem(space=space, limits=("file_bytes <= 1MiB",))
    assert fallbacks(strategy, problem, start=12, n_trials=27, metrics=toy_metrics) <= 1 / 3


def test_the_nearest_row_within_the_limits_stands_in():
    levels = np.array([[0, 0], [1, 3], [4, 4]])
    dimensions = [Dimension(name, "ordinal", tuple(range(5))) for name in "ab"]
    space = Table(dimensions, levels, {})
    problem = Problem(
        space=space,
        objectives=("loss",),
        limits=[Limit(metric="num_params", comparison="<=", value=1.0)],
        static_metrics=lambda row: {"num_params": float(row.number == 2) * 9},
    )
    choices = Choices(space, purpose="test")
    first, second, large = space.points()

    def drawn(options, *known):
        found = choices.drafts(problem, Answer(0, options), set(known), random.Random(0))
        return [draft.point for draft in found]

    assert drawn((0, 0)) == [first]
    assert drawn((0, 0), first) == [first]  # known: whoever asked asks again
    assert drawn((2, 3)) == [second]
    assert drawn((2, 3), second) == [first]
    assert drawn((4, 4)) == [large, second]
    assert drawn((2, 3), first, second) == []


def test_an_answer_with_too_many_parameters_becomes_a_smaller_network():
    space = presets.portable(max_params="2M", quantizations=("Q8_0",))
    choices = Choices(space, purpose="test")
    for group, own in enumerate(choices.groups):
        largest = choices.point(Answer(group, tuple(choice.size - 1 for choice in own)))
        assert space.contains(largest)
        assert largest.num_params <= 2_000_000


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

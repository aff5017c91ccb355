"""What guides: outputs are drawn apart, pending trials are allowed for, limits nobody meets yet."""

import random

import numpy as np
import pytest
import torch
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import ModelList

from archsmith.strategies import _guide, law_guided
from archsmith.strategies._drafts import Finished, finished, merit
from archsmith.strategies._outputs import _Recorded
from archsmith.strategies._pool import by_merit, candidates, front
from archsmith.strategies.law_guided import LawGuided
from archsmith.strategies.random import Random
from archsmith.testing.toy import run_search, toy_problem
from archsmith.trial import Limit, Observation, Problem, TrialState

QUICK = {"pool_size": 24, "max_fitted": 24, "refit_share": 3.0, "iterations": 5}
NAMES = ("bits_per_byte", "decode_ms_per_token", "file_bytes")


def recorded(count: int) -> _Recorded:
    return _Recorded(torch.zeros(count).double(), torch.eye(count).double())


def test_outputs_are_drawn_by_numbers_of_their_own() -> None:
    places = torch.arange(5).double().unsqueeze(-1)
    exact = GenericDeterministicModel(lambda X: X, num_outputs=1)
    model = ModelList(recorded(5), exact, recorded(5))
    sampler = _guide._sampler(model, 512, seed=3)
    draws = sampler(model.posterior(places)).numpy()
    assert draws.shape == (512, 5, 3)
    between = np.corrcoef(draws[..., 0].T, draws[..., 2].T)[:5, 5:]
    assert np.abs(between).max() < 0.2
    assert np.allclose(draws[..., 1], np.arange(5))


def test_one_learned_output_is_drawn_quasi_randomly() -> None:
    model = ModelList(recorded(3))
    sampler = _guide._sampler(model, 64, seed=3)
    draws = sampler(model.posterior(torch.arange(3).double().unsqueeze(-1))).numpy()
    assert np.abs(draws.mean(axis=0)).max() < 0.03  # of independent draws it would be 0.12


def test_places_between_and_beyond_those_known_are_those_of_the_nearest() -> None:
    model = recorded(3)
    found = model.posterior(torch.tensor([[-1.0], [0.2], [0.4], [2.2], [7.0]]).double())
    draws = found.rsample(torch.Size([200]))[..., 0].numpy()
    assert np.abs(draws[:, 0] - draws[:, 1]).max() < 1e-2
    assert np.abs(draws[:, 3] - draws[:, 4]).max() < 1e-2
    assert np.abs(np.corrcoef(draws[:, 0], draws[:, 4])[0, 1]) < 0.3


@pytest.mark.parametrize("num_objectives", [1, 2])
@pytest.mark.parametrize("num_feasible", [0, 1])
def test_a_measured_limit_that_hardly_anybody_meets_is_guided_too(
    num_feasible: int, num_objectives: int
) -> None:
    plain = toy_problem()
    history = run_search(Random(), plain, 12)
    measured = sorted(one.metrics["decode_ms_per_token"] for one in history)
    problem = Problem(
        space=plain.space,
        objectives=("bits_per_byte", "file_bytes")[:num_objectives],
        limits=[
            *plain.limits,
            Limit(
                metric="decode_ms_per_token",
                comparison="<=",
                value=measured[0] + (1e-6 if num_feasible else -1e-6),
            ),
        ],
        static_metrics=plain.static_metrics,
    )
    for number in range(3):
        proposal = LawGuided(**QUICK).propose(problem, history, problem.rng(number))
        assert " by " in proposal.note, proposal.note


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_what_a_pending_trial_will_show_is_not_expected_again(num_objectives: int) -> None:
    """The best candidate, asked for beside itself, is no longer what would gain most."""
    problem = toy_problem(objectives=NAMES[:num_objectives])
    history = run_search(Random(), problem, 14)
    trials = finished(problem, history)
    settings = LawGuided(**QUICK)
    points = [draft.point for draft in candidates(problem, history, trials, problem.rng(0), 24)]

    def order(*pending: object) -> list[int]:
        return _guide.rank(
            problem, history, trials, points, pending=pending, seed=5, settings=settings
        )[0]

    first = order()[0]
    assert order(points[first]).index(first) > 0


def test_what_was_tried_is_known_in_the_order_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest are kept away from; a set would keep away from any, by the process' hash seed."""
    problem = toy_problem()
    points = list(dict.fromkeys(problem.space.sample(problem.rng(n)) for n in range(40)))
    history = [
        Observation(number=n, architecture=point, state=TrialState.FAILED)
        for n, point in enumerate(points)
    ]
    told = []
    farthest = law_guided.farthest
    monkeypatch.setattr(
        law_guided,
        "farthest",
        lambda problem, known, rng: told.append(list(known)) or farthest(problem, known, rng),
    )
    LawGuided(**QUICK).propose(problem, history, problem.rng(0))
    assert told == [points]


def test_the_front_of_a_long_search_is_that_of_all_its_trials() -> None:
    rng = random.Random(0)
    trials = [
        Finished(n, n, rng.randrange(2), (rng.random(), rng.random()), max(0.0, rng.random() - 0.7))
        for n in range(1000)
    ]
    keys = merit(trials)
    best = [n for n, key in enumerate(keys) if key == min(keys)]
    assert front(trials) == sorted(front(trials), key=lambda n: (keys[n], n))
    assert sorted(front(trials)) == best
    assert min(best) < 600  # forgotten, if the latest 400 alone counted
    assert by_merit(trials)[: len(best)] == front(trials)

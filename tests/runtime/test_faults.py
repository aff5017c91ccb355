"""Faults that are really caused: memory, divergence and an address the machine does not have."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_helpers import STUDY, add_trial, make_text, network, real_store

from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.runtime.worker import owner_name, work
from archsmith.store.records import JobRecord, JobState
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe
from archsmith.trial import TrialState
from helpers_study import Point, Toy, make_study


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_here(folder: Path, evaluator: TrunkTraining, **shape: Any) -> tuple[TrialState, JobRecord]:
    """A candidate through the worker loop and a store."""
    store = real_store(folder, evaluator)
    add_trial(store, 0, network(**shape), train_bytes=3000)
    work(
        store,
        STUDY,
        evaluator,
        owner=owner_name(),
        threads=1,
        stop=lambda: False,
        stay=False,
    )
    trial = store.trial(STUDY, 0)
    assert trial.reason == trial.jobs[0].error.split("\n", 1)[0]
    return trial.state, trial.jobs[0]


def test_a_candidate_beyond_its_memory_fails_and_its_neighbour_finishes(tmp_path: Path) -> None:
    # 768 MiB are written to; the neighbour is at work meanwhile
    toy = Toy(trouble={"1": "memory"}, step_seconds=0.5, log=str(tmp_path / "log"))
    study = make_study(tmp_path, start=[Point(x=1, y=1), Point(x=2, y=1)], rungs=())
    study.optimize(toy, n_trials=2, n_jobs=2, memory_bytes=512 * 2**20)
    greedy, neighbour = study.trials
    assert greedy.state is TrialState.FAILED
    assert re.fullmatch(
        r"out of memory: used [\d.]+ MiB of the 512\.0 MiB a worker may use", greedy.reason
    )
    assert neighbour.state is TrialState.COMPLETE
    assert [(job.attempt, job.losses) for job in neighbour.jobs] == [(1, 0)]
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    order = [trial for trial, _, _ in lines]
    of_neighbour = [line for line in lines if line[0] == "trial-00001"]
    assert [step for _, step, _ in of_neighbour] == ["0", "1", "2"]
    assert len({pid for _, _, pid in of_neighbour}) == 1
    assert order.index("trial-00000") < len(order) - 1  # it was not over before


def test_a_network_that_no_memory_holds_is_recorded(tmp_path: Path, text: dict[str, Any]) -> None:
    # 2 PiB in each of its matrices
    state, job = run_here(tmp_path, TrunkTraining(**text), intermediate_size=2**44)
    assert (state, job.state) == (TrialState.FAILED, JobState.FAILED)
    assert job.error.startswith("out of memory making 1x32 ")


def test_a_rate_that_diverges_is_recorded_with_its_step(
    tmp_path: Path, text: dict[str, Any]
) -> None:
    recipe = Recipe(
        batch_tokens=48,
        dtype="float32",
        warmup_steps=0,
        learning_rate=1e30,
        embedding_learning_rate=1e30,
    )
    state, job = run_here(tmp_path, TrunkTraining(**{**text, "recipe": recipe}))
    assert (state, job.state) == (TrialState.FAILED, JobState.FAILED)
    assert re.match(
        r"the (loss|gradient) became (nan|inf) at step 1, with a learning rate of 1e\+30; ",
        job.error,
    )


@pytest.mark.parametrize(
    ("mixer", "feed_forward", "what", "value"),
    [
        ("attention", "gated_mlp", "loss", math.nan),
        ("attention", "mlp", "gradient", math.inf),
        ("block_sparse_attention", "gated_mlp", "gradient", math.nan),
        ("attention", "mixture_of_experts", "loss", math.inf),
        ("attention", "mixture_of_experts", "gradient", math.nan),
    ],
)
def test_what_is_not_finite_is_recorded_with_its_step(
    tmp_path: Path,
    text: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    mixer: str,
    feed_forward: str,
    what: str,
    value: float,
) -> None:
    update, steps = Learner.update, []

    def spoilt(learner: Learner, *batch: Any, number: int, factor: float) -> float:
        steps.append(number)
        if number == 7:
            for name, parameter in learner._model.named_parameters():
                if "mlp." in name or "self_attn." in name:
                    if what == "loss":
                        parameter.data.fill_(value)
                    elif parameter.requires_grad:
                        parameter.register_hook(lambda gradient: gradient * value)
        return update(learner, *batch, number=number, factor=factor)

    monkeypatch.setattr(Learner, "update", spoilt)
    state, job = run_here(tmp_path, TrunkTraining(**text), mixer=mixer, feed_forward=feed_forward)
    assert (state, job.state) == (TrialState.FAILED, JobState.FAILED)
    assert re.match(rf"the {what} became (nan|inf) at step 7, with a learning rate of ", job.error)
    assert steps == list(range(8))

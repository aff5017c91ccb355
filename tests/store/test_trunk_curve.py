"""What a strategy is told of a trunk between its rungs, and how little of it."""

from pathlib import Path

import pytest

from archsmith.store.records import NewJob
from archsmith.store.store import connect
from archsmith.trial import Proposal, TrialState
from helpers_study import Point

TRAIN = "train_bits_per_byte"


@pytest.fixture
def store(tmp_path: Path):
    store = connect(tmp_path / "a.db", create=True)
    store.create_study("x", spec={}, seed=0)
    proposal = Proposal(architecture=Point(x=0, y=0), strategy="toy")
    job = NewJob(number=0, rung=0, train_bytes=100, fraction=0.1)
    store.add_trial("x", proposal, number=0, static_metrics={}, job=job)
    yield store
    store.close()


def claim(store):
    return store.queue.claim("x", owner="a", lease_seconds=60)


def test_before_the_first_score_nothing_is_told(store):
    store.queue.report_progress(claim(store), {}, curve=[(50, 1.0, TRAIN, 3.0)])
    assert store.observations("x")[0].curve == ()


def test_scores_of_rungs_and_what_was_read_since_are_told(store):
    curve = [(50, 1.0, TRAIN, 3.0), (100, 2.0, TRAIN, 2.6), (100, 2.0, "bits_per_byte", 2.5)]
    store.queue.finish(claim(store), metrics={"bits_per_byte": 2.5}, curve=curve)
    assert store.observations("x")[0].curve == ((100.0, 2.5),)
    store.queue.enqueue("x", NewJob(number=0, rung=1, train_bytes=1000, fraction=1.0))
    later = [(200 + 10 * n, 3.0, TRAIN, 2.4 - 0.01 * n) for n in range(40)]
    store.queue.report_progress(claim(store), {}, curve=later)
    (observation,) = store.observations("x")
    assert observation.state is TrialState.PENDING
    assert observation.curve[0] == (100.0, 2.5)
    assert 3 <= len(observation.curve) <= 5
    # training reads a tenth more than scoring did
    assert observation.curve[-1] == pytest.approx((590.0, 2.4 - 0.39 - 0.1))
    assert list(observation.curve) == sorted(observation.curve)


def test_finished_trunks_tell_their_scores(store):
    store.queue.finish(claim(store), metrics={"bits_per_byte": 2.5})
    store.queue.enqueue("x", NewJob(number=0, rung=1, train_bytes=1000, fraction=1.0))
    curve = [(300, 1.0, TRAIN, 2.4), (1000, 2.0, "bits_per_byte", 2.0)]
    store.queue.finish(claim(store), metrics={"bits_per_byte": 2.0}, curve=curve)
    assert store.observations("x")[0].curve == ((100.0, 2.5), (1000.0, 2.0))

"""What law_guided makes of earlier studies and of its text: files, counts, warnings, epochs."""

import json
import random

import numpy as np
import pytest

from archsmith.errors import ConfigError
from archsmith.store.store import connect
from archsmith.strategies import _fits
from archsmith.strategies._drafts import finished
from archsmith.strategies.law_guided import LawGuided
from archsmith.surrogate.earlier import earlier_readings, read_earlier, write_earlier
from archsmith.testing.toy import toy_metrics, toy_problem
from archsmith.trial import Observation, Problem, Rung, TrialState
from archsmith.workflow.checking import check
from archsmith.workflow.search_config import CorpusConfig, SearchConfig
from helpers_study import make_study

QUICK = {"pool_size": 16, "iterations": 5, "num_start": 1}
RUNGS = (Rung(index=0, fraction=0.1, train_bytes=1_000_000),
         Rung(index=1, fraction=1.0, train_bytes=64_000_000))  # fmt: skip


def trained(count, *, shift=0.0, seed=0, rung=-1):
    problem, rng = toy_problem(), random.Random(seed)
    points = list(dict.fromkeys(problem.space.sample(rng) for _ in range(2 * count)))[:count]
    history = []
    for number, point in enumerate(points):
        metrics = toy_metrics(point)
        metrics["bits_per_byte"] += shift
        history.append(
            Observation(
                number=number, architecture=point, state=TrialState.COMPLETE, metrics=metrics,
                rung=rung, curve=((1e6, metrics["bits_per_byte"]),) if rung >= 0 else (),
            )
        )  # fmt: skip
    return history


def problem_like(**changes):
    toy = toy_problem()
    settings = {"space": toy.space, "objectives": toy.objectives,
                "static_metrics": toy.static_metrics}  # fmt: skip
    return Problem(**{**settings, **changes})


def learned(problem, history, **settings):
    trials = finished(problem, history)
    return _fits.learn(
        problem, "bits_per_byte", history, trials, LawGuided(**{**QUICK, **settings})
    )


def test_a_file_is_written_whole_and_never_over_another(tmp_path):
    path, history = tmp_path / "earlier.jsonl", trained(4, rung=0)
    problem = problem_like(rungs=RUNGS, corpus_train_bytes=5000, corpus_bits_per_byte=1.7)
    assert write_earlier(path, problem, history) == 4
    record = json.loads(path.read_text().splitlines()[0])
    told = [record[name] for name in ("train_bytes", "unique_bytes", "corpus_bits_per_byte")]
    assert told == [1_000_000, 5000, 1.7]
    with pytest.raises(ConfigError, match="exists; choose another file"):
        write_earlier(path, problem, history)
    with pytest.raises(ConfigError, match="no complete trial"):
        write_earlier(tmp_path / "none.jsonl", problem, [])
    assert [found.name for found in tmp_path.iterdir()] == ["earlier.jsonl"]


def test_difficulty_is_compared_only_where_both_are_known(tmp_path):
    path, names = tmp_path / "earlier.jsonl", ("log_num_params",)

    def difficulty(own):
        found = earlier_readings(
            path, "bits_per_byte", names, knows_text=False, own_bits_per_byte=own
        )
        return found[0].corpus_bits_per_byte

    write_earlier(path, problem_like(corpus_bits_per_byte=1.7), trained(1))
    assert [difficulty(None), difficulty(2.2)] == [2.0, 1.7]
    path = tmp_path / "untold.jsonl"
    write_earlier(path, problem_like(), trained(1))
    assert [difficulty(None), difficulty(2.2)] == [2.0, 2.2]


def test_the_note_tells_how_many_earlier_readings_were_used(tmp_path):
    write_earlier(tmp_path / "earlier.jsonl", toy_problem(), trained(20, seed=5, shift=0.4))
    problem, history = problem_like(root=tmp_path), trained(5)  # paths start from its root
    strategy = LawGuided(**QUICK, earlier=("earlier.jsonl",))
    assert (
        "(20 readings of earlier studies)"
        in strategy.propose(problem, history, problem.rng(5)).note
    )


def test_a_file_that_tells_nothing_is_warned_of_and_noted(tmp_path):
    path = tmp_path / "earlier.jsonl"
    path.write_text('{"features": {"log_num_params": 9.0}, "metrics": {"bits_per_byte": 1.0}}\n')
    problem, history = problem_like(root=tmp_path), trained(5)
    strategy = LawGuided(**QUICK, earlier=("earlier.jsonl",))
    with pytest.warns(UserWarning, match="tells nothing of bits_per_byte: its trials lack the"):
        note = strategy.propose(problem, history, problem.rng(5)).note
    assert "(no readings of earlier studies)" in note
    write_earlier(tmp_path / "textless.jsonl", toy_problem(), trained(3))
    with pytest.warns(UserWarning, match="do not tell how much text"):
        earlier_readings(tmp_path / "textless.jsonl", "bits_per_byte", (), knows_text=True)


def test_an_earlier_study_on_harder_text_predicts_better_than_none(tmp_path):
    write_earlier(tmp_path / "earlier.jsonl", toy_problem(), trained(40, seed=5, shift=0.4))
    problem, history, fresh = problem_like(root=tmp_path), trained(5), trained(60)[5:]
    errors = []
    for earlier in ((), ("earlier.jsonl",)):
        found = learned(problem, history, earlier=earlier)
        means = found.surrogate.predict(
            [found.reading(one.architecture, None) for one in fresh]
        ).mean
        errors.append(np.abs(means - [one.metrics["bits_per_byte"] for one in fresh]).mean())
    assert errors[1] < 0.9 * errors[0]


def test_many_epochs_are_worth_less_than_as_much_fresh_text():
    history = trained(6, rung=0)
    point = history[0].architecture
    ends = []
    for different in (None, 64_000_000, 1_000_000):
        found = learned(problem_like(rungs=RUNGS, corpus_train_bytes=different), history)
        asked = found.reading(point, None)
        assert asked.train_bytes == 64_000_000
        ends.append(found.surrogate.predict([asked]).mean[0])
    assert ends[0] == pytest.approx(ends[1])
    assert ends[2] > ends[1] + 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unique_bytes": 0}, "line 2: unique_bytes: expected a positive number, got 0"),
        ({"train_bytes": -5}, "line 2: train_bytes: expected a positive number, got -5"),
        ({"corpus_bits_per_byte": None}, "line 2: corpus_bits_per_byte: .* got None"),
        ({"metrics": {"ms": 10**400}}, "line 2: metrics: ms: expected a finite number, got 1000"),
        ({"features": {"size": "big"}}, "line 2: features: size: .* got big"),
    ],
)
def test_file_line_and_value_that_will_not_do_are_named(tmp_path, changes, message):
    path = tmp_path / "earlier.jsonl"
    good = {"features": {"size": 9.0}, "metrics": {"ms": 1.0}, "train_bytes": 5}
    path.write_text("".join(f"{json.dumps(record)}\n" for record in (good, {**good, **changes})))
    with pytest.raises(ConfigError, match=f"{path}, {message}"):
        read_earlier(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "model.gguf").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"earlier study .*model.gguf: it is not text"):
        read_earlier(tmp_path / "model.gguf")


def test_a_search_asks_for_its_files_before_it_begins(tmp_path):
    LawGuided().check_files(tmp_path)
    strategy = LawGuided(earlier=("nothing.jsonl",))
    with pytest.raises(ConfigError, match=r"nothing.jsonl: No such file"):
        strategy.check_files(tmp_path)
    config = SearchConfig(
        study_name="notes",
        timeout=3600.0,
        corpus=CorpusConfig(files=("notes.txt",)),
        strategy=strategy,
    )
    with pytest.raises(ConfigError, match=r"nothing.jsonl: No such file"):
        check(config, root=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"nothing.jsonl: No such file"):
        make_study(tmp_path, strategy=strategy, root=tmp_path)
    assert connect(tmp_path / "studies.db").studies() == []

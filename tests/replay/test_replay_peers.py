"""What a search algorithm of another library is charged for, with a made-up one and with theirs."""

import csv
import json
import random
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest
from replay_example import DESCRIPTION, rows, write_csv

from archsmith.errors import ConfigError
from archsmith.replay.curves import Truth
from archsmith.replay.description import TableDescription
from archsmith.replay.table import load_table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
UNORDERED = TableDescription.model_validate(
    {**DESCRIPTION.model_dump(), "choices": {"categorical": ["op*", "depth"]}}
)
SETTINGS = {
    "pyglove_regularized_evolution": ":population_size=4,tournament_size=2",
    "nni_regularized_evolution": ":population_size=4,sample_size=2",
}


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("replay_peers")


def loaded(tmp_path, *, recorded=None, description=UNORDERED, objectives=("accuracy",)):
    path = write_csv(tmp_path / "made_up.csv", recorded)
    return load_table(path, description, objectives=objectives)


def combinations(table):
    return [table.space.indices(point) for point in table.space.points()]


def test_a_network_counts_once(peers, tmp_path):
    table = loaded(tmp_path)
    every = combinations(table)
    book = peers.Book(table, n_trials=3, seed=0)
    first = book.evaluate(every[4])
    assert first == (table.shown[0, 4, 0],)
    assert book.evaluate(every[4]) == first
    book.evaluate(every[7])
    assert (book.rows, book.asked) == ([4, 7], 3)
    with pytest.raises(peers.Full):
        book.evaluate(every[2])
    assert book.rows == [4, 7, 2]


def test_the_seed_of_the_repeat_is_shown(peers, tmp_path):
    drawn = UNORDERED.model_copy(update={"seen_seed": "drawn"})
    table = loaded(tmp_path, description=drawn)
    last = combinations(table)[-1]
    values = [peers.Book(table, n_trials=2, seed=s).evaluate(last)[0] for s in range(3)]
    assert values == [table.shown[0, -1, 0], table.shown[1, -1, 0], table.shown[0, -1, 0]]
    assert values[0] != values[1]


def test_what_does_not_exist_or_failed_has_no_value(peers, tmp_path):
    recorded = rows()
    table = loaded(tmp_path, recorded=recorded[:5] + recorded[6:])
    every = product(*map(range, table.space.choice_sizes))
    (missing,) = set(every) - set(combinations(table))
    book = peers.Book(table, n_trials=4, seed=0)
    assert not book.exists(missing)
    assert book.evaluate(missing) is None
    assert book.rows == []
    assert book.evaluate(combinations(table)[0]) is None  # recorded as failed: a training
    assert book.rows == [0]


def test_who_only_repeats_himself_is_given_random_networks(peers, tmp_path):
    table = loaded(tmp_path)
    book = peers.Book(table, n_trials=5, seed=0)
    again = combinations(table)[3]
    with pytest.raises(peers.Full):
        all(book.evaluate(again) for _ in range(1000))
    assert len(set(book.rows)) == len(book.rows) == 5
    assert book.asked == 1 + 4 * peers.PATIENCE


def test_a_made_up_peer_is_kept_like_a_strategy(peers, tmp_path, monkeypatch):
    def drawn(book, seed, settings, num_objectives):
        rng = random.Random(seed + settings["shift"])
        while True:
            book.evaluate([rng.randrange(size) for size in book.sizes])

    monkeypatch.setitem(peers.PEERS, "drawn", drawn)
    table, results = loaded(tmp_path), tmp_path / "results"
    results.mkdir()

    def once(seed):
        book = peers.search_by(table, "drawn:shift=3,more=1", n_trials=6, seed=seed)
        return book.rows, {"asked": book.asked}

    for seeds in (range(2), range(3)):  # the second adds one
        peers.keep(results, "run", "drawn:shift=3,more=1", once, Truth(table), seeds)
    (path,) = results.iterdir()
    assert path.name == "run--drawn_shift-3,more-1.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["seed"] for record in kept] == [0, 1, 2]
    assert all(len(record["curve"]) == 6 <= record["asked"] for record in kept)
    seeds = import_module("replay_seeds")
    monkeypatch.setitem(seeds.NAMES, "run", seeds.NAMES["macro_accuracy"]._replace(at=(3, 6)))
    seeds.write_csv(results, ["run"], tmp_path / "seeds.csv")
    with (tmp_path / "seeds.csv").open() as lines:
        told = list(csv.DictReader(lines))
    assert [(t["strategy"], t["seed"], t["evaluations"]) for t in told[:2]] == [
        ("drawn:shift=3,more=1", "0", "3"),
        ("drawn:shift=3,more=1", "0", "6"),
    ]
    assert [float(t["measure"]) for t in told[:2]] == [kept[0]["curve"][2], kept[0]["curve"][5]]
    assert kept[1]["curve"] == pytest.approx(Truth(table).curve(once(1)[0], seed=1), abs=1e-6)


def test_what_a_peer_cannot_be_asked_is_said(peers, tmp_path):
    ordered = loaded(tmp_path, description=DESCRIPTION)
    with pytest.raises(ConfigError, match="have to be unordered"):
        peers.search_by(ordered, "pyglove_random", n_trials=3, seed=0)
    both = loaded(tmp_path, objectives=("accuracy", "latency"))
    with pytest.raises(ConfigError, match="takes one objective and the table has 2"):
        peers.search_by(both, "nni_tpe_tuner", n_trials=3, seed=0)
    with pytest.raises(ConfigError, match="no peer 'pyglov'"):
        peers.search_by(both, "pyglov", n_trials=3, seed=0)


@pytest.mark.parametrize("name", ["random", "regularized_evolution", "nsga2"])
def test_algorithms_of_pyglove_run(peers, tmp_path, name):
    pytest.importorskip("pyglove", reason="needs PyGlove on PYTHONPATH")
    run(peers, tmp_path, f"pyglove_{name}")


@pytest.mark.parametrize(
    "name",
    [
        "random_tuner",
        "tpe_tuner",
        "tpe_tuner_repeating",
        "evolution_tuner",
        "regularized_evolution",
    ],
)
def test_algorithms_of_nni_run(peers, tmp_path, name):
    pytest.importorskip("nni", reason="needs NNI on PYTHONPATH")
    run(peers, tmp_path, f"nni_{name}")


def run(peers, tmp_path, name):
    """Twelve different networks, the same ones with the same seed."""
    table = loaded(tmp_path, recorded=rows()[:-2])
    text = name + SETTINGS.get(name, "")
    books = [peers.search_by(table, text, n_trials=12, seed=seed) for seed in (1, 1, 2)]
    assert len(set(books[0].rows)) == len(books[0].rows) == 12
    assert books[0].rows == books[1].rows != books[2].rows

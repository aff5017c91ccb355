"""Repeats, curves and intervals: the same whatever the processes, paired by seed."""

import json

import numpy as np
import pytest
from replay_example import DESCRIPTION, TOML, rows, write_csv

from archsmith import registry
from archsmith.cli.main import main
from archsmith.errors import ConfigError
from archsmith.replay.curves import Truth, band, mean_interval
from archsmith.replay.description import describe
from archsmith.replay.outcome import replay_json, show_interval
from archsmith.replay.repeat import search_table
from archsmith.replay.run import read_strategy, replay
from archsmith.replay.table import load_table


@pytest.fixture
def path(tmp_path):
    return write_csv(tmp_path / "t.csv")


def row_of(table, *choices):
    return next(p.number for p in table.space.points() if p.choices == choices)


def test_regret_is_that_of_the_row_which_looks_best(path):
    table = load_table(path, DESCRIPTION, objectives=["accuracy"])
    rows = [
        row_of(table, "a", "x", 1.0),  # failed
        row_of(table, "a", "y", 4.0),  # 60
        row_of(table, "c", "y", 4.0),  # seen 70, true 64
        row_of(table, "b", "y", 4.0),  # seen and true 65
    ]
    worst = 65 - 53 + 5 - 1  # (c, x, 1): seen 60, true 54; the worst that did not fail is 53
    curve = Truth(table).curve(rows, seed=0)
    assert curve[1:].tolist() == [5, 1, 1]
    assert curve[0] == 65 - min(-table.scored[table.allowed, 0]) <= worst


def test_the_front_covers_everything_and_a_corner_its_part(path):
    table = load_table(path, DESCRIPTION)
    truth = Truth(table)
    everything = truth.curve(range(18), seed=0)
    assert np.all(np.diff(everything) > -0.5)
    assert truth.measure == "hypervolume_share"
    assert truth.reference == 1
    # seen by the first seed, the c rows hide better ones
    assert 0.5 < everything[-1] < 1
    plain = load_table(path, DESCRIPTION, objectives=["latency", "num_params"])
    assert Truth(plain).curve(range(18), seed=0)[-1] == pytest.approx(1)
    best = row_of(plain, "a", "x", 1.0)
    assert Truth(plain).curve([best], seed=0)[0] == pytest.approx(1)
    assert Truth(plain).curve([row_of(plain, "c", "y", 4.0)], seed=0)[0] == 0


@pytest.mark.parametrize(
    ("values", "shares"),
    [
        # reference (1.1, 1.1): 1.1 * 0.1 each, 0.01 of them together
        ([(0, 1), (1, 0)], [0.11 / 0.21, 1]),
        ([(1, 1), (0, 1), (1, 0)], [0.01 / 0.21, 0.11 / 0.21, 1]),
    ],
)
def test_a_front_of_corners_is_measured_beyond_the_worst_values(tmp_path, values, shares):
    recorded = [{"depth": n, "x": x, "y": y} for n, (x, y) in enumerate(values)]
    description = describe(ordinal=["depth"], objectives=["x=x", "y=y"])
    table = load_table(write_csv(tmp_path / "t.csv", recorded), description)
    assert Truth(table).reference == 1.1
    assert Truth(table).curve(range(len(values)), seed=0) == pytest.approx(shares)
    found = replay(table, {"random": read_strategy("random")}, n_trials=len(values), repeats=2)
    assert found.arms[0].mean[-1] == pytest.approx(1)
    assert "measured to a tenth beyond the worst values" in found.measure_words


def test_intervals_narrow_with_repeats_and_hold_the_mean():
    values = np.random.default_rng(0).normal(3, 1, size=400)
    wide, narrow = mean_interval(values[:25]), mean_interval(values)
    assert wide.low < wide.mean < wide.high
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    for repeats in (5, 20):
        low, high = band(np.tile([1.0, 2.0], (repeats, 1)))
        assert low.tolist() == high.tolist() == [1, 2]


@pytest.mark.parametrize("repeats", [2, 3, 5, 9])
def test_intervals_of_few_repeats_cover_what_they_say(repeats):
    drawn = np.random.default_rng(repeats).normal(3, 1, size=(2000, repeats))
    low, high = band(drawn.T, seed=0)
    covered = np.mean((low <= 3) & (high >= 3))
    assert covered == pytest.approx(0.95, abs=0.02)  # four standard errors
    one = mean_interval(drawn[0])
    assert (one.low, one.high) == (pytest.approx(low[0]), pytest.approx(high[0]))


def test_intervals_from_ten_repeats_on_are_the_bootstrap_of_recorded_tables():
    values = np.random.default_rng(0).normal(3, 1, size=10)
    assert mean_interval(values) == pytest.approx(
        (3.0846798109, 2.6326302611, 3.5515686239), abs=1e-9
    )


def test_one_repeat_has_no_interval(path, capsys):
    found = mean_interval(np.array([2.5]))
    assert (found.mean, found.has_ends) == (2.5, False)
    assert show_interval(found) == "2.5"
    path.with_name("t.toml").write_text(TOML)
    page = path.with_name("page.html")
    arguments = ("replay", path, "--strategy", "random", "--strategy", "local_search", "--n-trials",
                 4, "--repeats", 1, "--quiet", "--html", page)  # fmt: skip
    assert run(*arguments) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "one repeat has no interval" in text
    assert "[" not in text
    assert "nan" not in page.read_text().lower()
    assert run(*arguments, "--force", "--json") == 0
    arm = strict_json(capsys.readouterr().out)["arms"][1]
    assert (
        arm["at"]["4"]["low"] is arm["minus_first"]["4"]["high"] is arm["curve"]["low"][0] is None
    )


def test_figures_do_not_depend_on_processes_or_on_other_arms(path):
    table = load_table(path, DESCRIPTION)
    arms = {name: read_strategy(name) for name in ("random", "nsga2:population_size=4")}
    alone = replay(table, arms, n_trials=9, repeats=5, seed=3)
    told = []
    together = replay(
        table, arms, n_trials=9, repeats=5, seed=3, n_jobs=2,
        report=lambda what, share, left: told.append(share),
    )  # fmt: skip
    for first, second in zip(alone.arms, together.arms, strict=True):
        assert np.array_equal(first.curves, second.curves)
    assert told == sorted(told)
    assert told[-1] == 1
    single = replay(table, {"random": arms["random"]}, n_trials=9, repeats=5, seed=3)
    assert np.array_equal(single.arms[0].curves, alone.arms[0].curves)
    assert replay_json(alone)["arms"][0]["minus_first"] is None


def test_a_row_is_trained_once(path):
    table = load_table(path, DESCRIPTION, objectives=["accuracy"])
    rows = search_table(table, read_strategy("regularized_evolution"), n_trials=18, seed=0).rows
    assert sorted(rows) == list(range(18))
    with pytest.raises(ConfigError, match=r"19 evaluations are asked for and t.csv has 18 models"):
        replay(table, {"random": read_strategy("random")}, n_trials=19, repeats=1)
    few = load_table(path, DESCRIPTION, limits=["num_params <= 120"])
    with pytest.raises(ConfigError, match=r"has 6 models within the limits"):
        replay(few, {"random": read_strategy("random")}, n_trials=7, repeats=1)


def test_the_json_counts_what_a_strategy_noted_of_its_proposals(path):
    """Of law_guided: whether there is a law, what proposes, and to whom it handed over."""
    table = load_table(path, DESCRIPTION, objectives=["accuracy"])
    arms = {name: read_strategy(name) for name in ("law_guided:num_start=4", "random")}
    guided, random = replay_json(replay(table, arms, n_trials=7, repeats=2))["arms"]
    assert sum(guided["proposals"].values()) == 14
    assert guided["proposals"]["start: a sample"] == 2
    assert guided["proposals"]["start: far from the others"] == 6
    told = " ".join(guided["proposals"])
    assert "accuracy by " in told or "handed to" in told
    assert " law" not in told
    assert not any(letter.isdigit() for letter in told)
    assert random["proposals"] == {"": 14}


@pytest.mark.parametrize("name", registry.names("strategies"))
def test_every_strategy_searches_a_table(path, name):
    if name.startswith("optuna"):
        pytest.importorskip("optuna")
    for objectives in (["accuracy"], ["accuracy", "latency", "num_params"]):
        table = load_table(path, DESCRIPTION, objectives=objectives)
        try:
            rows = search_table(table, read_strategy(name), n_trials=8, seed=1).rows
        except ConfigError as error:
            assert "needs a space of architectures" in str(error)  # noqa: PT017
            return
        assert len(set(rows)) == 8


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("asha", "exactly random search here, for a recorded table has no rungs"),
        ("hyperband", "exactly random search here, for a recorded table has no rungs"),
        ("successive_halving", "exactly random search here, for a recorded table has no rungs"),
        ("darts", "exactly random search here, for a recorded table has no shared weights"),
        ("enas", "exactly random search here, for a recorded table has no shared weights"),
        ("single_path_one_shot", "exactly random search here, for a recorded table has no shared"),
        ("single_path_one_shot:population_size=4", "a recorded table has no shared weights"),
        ("regularized_evolution", "exactly random search here, the same models in the same order"),
        ("regularized_evolution:population_size=4,sample_size=2", ""),
        ("nsga2:population_size=4", ""),
        ("random", ""),
    ],
)
def test_what_is_random_search_on_a_table_says_so(path, name, note):
    table = load_table(path, DESCRIPTION)
    found = replay(table, {name: read_strategy(name)}, n_trials=9, repeats=2)
    (arm,) = found.arms
    assert arm.note.startswith(note)
    assert bool(arm.note) == bool(note)
    plain = replay(table, {"random": read_strategy("random")}, n_trials=9, repeats=2)
    same = name != "random" and np.array_equal(arm.curves, plain.arms[0].curves)
    assert arm.is_random == note.startswith("exactly") == same


def test_the_note_stands_on_the_screen_in_the_json_and_on_the_page(path, capsys):
    path.with_name("t.toml").write_text(TOML)
    page = path.with_name("page.html")
    arguments = ("replay", path, "--strategy", "random", "--strategy", "asha", "--n-trials", 6,
                 "--repeats", 2, "--quiet", "--html", page)  # fmt: skip
    note = "exactly random search here, for a recorded table has no rungs"
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "asha (= random)" in text
    assert f"asha: {note}" in text
    assert f"asha: {note}" in page.read_text()
    assert run(*arguments, "--force", "--json") == 0
    first, second = strict_json(capsys.readouterr().out)["arms"]
    assert (first["is_random_search"], first["note"]) == (False, None)
    assert second["is_random_search"] is True
    assert second["note"].startswith(note)


@pytest.mark.parametrize("name", ["parameter_maximizer", "largest_five", "law_guided"])
def test_models_without_parameters_are_the_smallest(tmp_path, name):
    recorded = [dict(row, params=row["params"] - 200) for row in rows()]
    table = load_table(
        write_csv(tmp_path / "t.csv", recorded), DESCRIPTION, objectives=["accuracy"]
    )
    found = search_table(table, read_strategy(name), n_trials=18, seed=0).rows
    assert sorted(found) == list(range(18))
    if name != "law_guided":
        assert all(table.static["num_params"][found[:9]] > 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("randm", "unknown strategy 'randm'; did you mean 'random'"),
        ("nsga2:population=3", "population: unknown key; did you mean 'population_size'"),
        ("nsga2:population_size", "write NAME or NAME:SETTING=VALUE"),
        ("nsga2:population_size=few", "population_size: .*given: 'few'"),
    ],
)
def test_a_strategy_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        read_strategy(text)
    assert read_strategy("nsga2:population_size=8").population_size == 8


def strict_json(text):
    """JSON as every other reader takes it: NaN and Infinity are no words of it."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def run(*arguments):
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


def test_the_command_prints_json_and_writes_a_page(path, capsys):
    path.with_name("t.toml").write_text(TOML)
    page = path.with_name("page.html")
    arguments = ("replay", path, "--strategy", "random", "--strategy", "nsga2:population_size=4",
                 "--n-trials", 8, "--repeats", 3, "--html", page)  # fmt: skip
    assert run(*arguments, "--json", "--at", 4, "--at", 8) == 0
    out, err = capsys.readouterr()
    assert "replaying t.csv: 100%" in err
    found = strict_json(out)
    assert found["objectives"] == {"accuracy": "maximize", "latency": "minimize"}
    assert found["failed_rows"] == 1
    arm = found["arms"][1]
    assert arm["settings"]["population_size"] == 4
    assert arm["at"]["8"]["low"] <= arm["at"]["8"]["mean"] <= arm["at"]["8"]["high"]
    assert len(arm["curve"]["mean"]) == 8
    text = page.read_text()
    assert "<svg" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert run(*arguments) == 2
    assert "page.html exists" in capsys.readouterr().err
    assert run(*arguments, "--force", "--quiet") == 0
    out, err = capsys.readouterr()
    assert "share of the true front's hypervolume" in " ".join(out.split())
    assert err.startswith("page:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "random"], "strategy 'random' is given twice; once is enough"),
        (["--strategy", "nsga2:population_size=16", "--strategy", "nsga2"],
         "strategy 'nsga2' is given twice (as 'nsga2:population_size=16')"),
        (["--strategy", "nsga2:population_size=4,population_size=8"],
         "has the setting 'population_size' twice"),
        (["--objective", "accuracy"], "the objective 'accuracy' is named twice"),
        (["--static", "num_params=ms"], "--static names 'num_params' twice"),
        (["--objective", "latency=ms:minimise"],
         "behind the last colon stands max, maximize, min or minimize, not 'minimise'"),
        (["--n-trials", "100"], "has 18 models; a search would only repeat itself: n_trials "
         "(--n-trials) may be 18 at most"),
    ],
)  # fmt: skip
def test_options_that_say_something_twice_or_wrong(path, capsys, options, message):
    arguments = ("replay", path, "--categorical", "op*", "--ordinal", "depth", "--static",
                 "num_params=params", "--objective", "accuracy=acc_s0:MAX", "--strategy", "random",
                 "--n-trials", 6, "--repeats", 2, "--json", "--quiet")  # fmt: skip
    assert run(*arguments, *options) == 2
    assert message in capsys.readouterr().err


def test_an_objective_is_a_column_or_a_static_metric(path, capsys):
    arguments = ("replay", path, "--categorical", "op*", "--ordinal", "depth", "--static",
                 "num_params=params", "--strategy", "random", "--n-trials", 6, "--repeats", 2,
                 "--json", "--quiet")  # fmt: skip
    names = ("--objective", "acc_s0:max", "--objective", "num_params", "--objective", "ms")
    assert run(*arguments, *names) == 0
    found = json.loads(capsys.readouterr().out)["objectives"]
    assert found == {"acc_s0": "maximize", "num_params": "minimize", "ms": "minimize"}


def test_options_name_the_columns_without_a_file(path, capsys):
    described = ("--categorical", "op*", "--ordinal", "depth")
    objective = ("--objective", "accuracy=acc_s0,acc_s1:maximize")
    run_options = ("--n-trials", 6, "--repeats", 2, "--json", "--quiet")
    assert run("replay", path, *described, *objective, *run_options) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measure"] == "regret"
    assert [arm["strategy"] for arm in found["arms"]] == ["random", "law_guided"]
    assert run("replay", path, *run_options) == 2
    assert "the table is not described" in capsys.readouterr().err
    path.with_name("t.toml").write_text(TOML)
    assert run("replay", path, *described, *run_options) == 2
    assert "columns are named either there or by options" in capsys.readouterr().err
    assert run("replay", path.with_name("none.csv"), *run_options) == 2
    assert "none.csv' does not exist" in capsys.readouterr().err

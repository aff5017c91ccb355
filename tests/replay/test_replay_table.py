"""What a description makes of a table: a space, what is shown, what is true, and what is wrong."""

import numpy as np
import pytest
from replay_example import DESCRIPTION, rows, write_csv

from archsmith.errors import ConfigError, InfeasibleError
from archsmith.replay.description import TableDescription, describe
from archsmith.replay.repeat import RecordedEvaluator
from archsmith.replay.table import load_table
from archsmith.trial import Limit, Proposal, TrialState


@pytest.fixture
def path(tmp_path):
    return write_csv(tmp_path / "t.csv")


def changed(**changes):
    return DESCRIPTION.model_copy(update=changes)


def test_a_search_sees_one_seed_and_is_scored_on_the_mean(path):
    table = load_table(path, DESCRIPTION, objectives=["accuracy"])
    assert table.shown.shape == (2, 18, 1)
    assert table.signs == (-1.0,)
    seen, best = np.nanargmin(table.shown[0]), np.nanargmin(table.scored)
    assert table.space.points()[seen].choices == ("c", "y", 4.0)
    assert table.space.points()[best].choices == ("b", "y", 4.0)
    assert table.scored[best, 0] == -65
    drawn = load_table(path, changed(seen_seed="drawn"))
    assert [drawn.shown_seed(repeat) for repeat in range(4)] == [0, 1, 0, 1]
    assert table.shown_seed(3) == 0


def test_a_row_without_a_number_is_a_failed_trial(path):
    table = load_table(path, DESCRIPTION)
    failed, other = (Proposal(architecture=p, strategy="x") for p in table.space.points()[:2])
    evaluator = RecordedEvaluator(table, 0)
    assert evaluator.observe(0, failed).state == TrialState.FAILED
    assert evaluator.observe(0, failed).metrics == {"num_params": 100}
    assert evaluator.observe(1, other).state == TrialState.COMPLETE
    assert evaluator.observe(1, other).metrics == {
        "num_params": 100, "accuracy": -54, "latency": 3,
    }  # fmt: skip
    assert table.allowed.sum() == 17


@pytest.mark.parametrize("value", ["", "n/a", "NaN", "NA", "null", "inf", "1e308", "-1e308"])
def test_what_cannot_be_computed_with_failed(tmp_path, value):
    recorded = rows()
    recorded[3]["ms"] = value
    table = load_table(write_csv(tmp_path / "t.csv", recorded), DESCRIPTION)
    assert np.flatnonzero(~table.allowed).tolist() == [0, 3]
    assert np.abs(table.scored[table.allowed]).max() < 100
    scored = TableDescription.model_validate(
        {
            **DESCRIPTION.model_dump(),
            "objectives": {"accuracy": {"columns": "acc_s0", "scored": "ms"}},
        }
    )
    again = load_table(tmp_path / "t.csv", scored)
    assert np.flatnonzero(np.isnan(again.scored[:, 0])).tolist() == [3]


def test_a_static_metric_may_be_an_objective_and_a_limit(path):
    table = load_table(
        path, DESCRIPTION, objectives=["accuracy", "num_params"], limits=["num_params <= 0.2K"]
    )
    assert table.scored[3, 1] == table.static["num_params"][3] == 200
    assert set(np.array(table.static["num_params"])[table.allowed]) == {100, 110, 120, 200}


def test_repeated_rows_are_seeds_where_the_description_says_so(tmp_path):
    again = [dict(row, acc_s0=40, acc_s1=40) for row in rows()[1:3]]
    path = write_csv(tmp_path / "t.csv", [*rows(), *again])
    with pytest.raises(ConfigError, match=r"rows 2 and 19 have the same choices; repeated_rows"):
        load_table(path, DESCRIPTION)
    table = load_table(path, changed(repeated_rows="seeds"), objectives=["accuracy"])
    assert len(table.space) == 18
    assert len(table.shown) == 4
    assert table.scored[1, 0] == pytest.approx(-(54 + 40) / 2)
    assert table.scored[5, 0] == -(50 + 6 + 4)


def test_a_column_of_its_own_may_score(path):
    objective = {"columns": "acc_s0", "scored": "acc_s1", "direction": "maximize", "scale": 10}
    description = TableDescription.model_validate(
        {"choices": {"categorical": ["op?", "depth"]}, "objectives": {"accuracy": objective}}
    )
    table = load_table(path, description)
    row = next(p.number for p in table.space.points() if p.choices == ("c", "y", "4"))
    assert table.shown[0, row, 0] == -700
    assert table.scored[row, 0] == -580


def test_options_describe_what_a_file_describes(path):
    described = describe(
        categorical=["op*"],
        ordinal=["depth"],
        objectives=["accuracy=acc_s0,acc_s1:maximize", "latency=ms"],
        static=["num_params=params"],
    )
    assert described == changed(features={})
    with pytest.raises(ConfigError, match="the table is not described"):
        describe(objectives=["accuracy=acc_s0"])
    with pytest.raises(ConfigError, match="cannot read --static 'params'; write NAME=COLUMN"):
        describe(static=["params"])


@pytest.mark.parametrize(
    ("changes", "objectives", "limits", "message"),
    [
        ({"params": ""}, [], [], "'num_params' is missing or no usable number in 1 of 18 rows"),
        ({"acc_s0": "high"}, [], [], "row 5: column 'acc_s0' holds 'high', not a number"),
        ({}, ["speed"], [], "no objective 'speed' is described"),
        ({}, ["acuracy"], [], "did you mean 'accuracy'"),
        ({}, [], ["num_params <= 2 of them"], "2 of them"),
        ({"params": "1e101"}, [], [], "'num_params' is missing or no usable number in 1 of 18"),
        ({}, [], ["num_params <= nan"], "nan"),
        ({}, [], ["num_params <= inf"], "inf"),
        ({}, [], ["bits_per_byte <= nan"], "limit of bits_per_byte: 'nan' is no finite number"),
        ({}, [], ["bits_per_byte <= low"], "limit of bits_per_byte: 'low' is no finite number"),
        ({}, [], ["small"], "cannot read the limit 'small'; write METRIC <= VALUE"),
        ({}, [], ["latency <= 2"], "only static metrics can be limited, and 'latency' is none"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, changes, objectives, limits, message):
    table = rows()
    table[4] |= changes
    path = write_csv(tmp_path / "t.csv", table)
    described = changed(static={"num_params": "params", "bits_per_byte": "params"})
    with pytest.raises(ConfigError, match=message) as error:
        load_table(path, described, objectives=objectives, limits=limits)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["nan", "inf", "low"])
def test_a_limit_without_a_finite_number_is_refused_in_every_search(value):
    with pytest.raises(ConfigError, match=f"bits_per_byte: '{value}' is no finite number"):
        Limit.parse(f"bits_per_byte <= {value}")


def test_nothing_to_search_for_is_said_so(tmp_path):
    same = write_csv(tmp_path / "same.csv", [dict(row, acc_s0=1, acc_s1=1) for row in rows()])
    with pytest.raises(ConfigError, match="'accuracy' is 1 in every row that may be found"):
        load_table(same, DESCRIPTION)
    few = [dict(row, ms=1e308 if number > 3 else 1) for number, row in enumerate(rows())]
    with pytest.raises(ConfigError, match="nothing to search for; rows that failed: 14"):
        load_table(write_csv(tmp_path / "few.csv", few), DESCRIPTION, objectives=["latency"])
    none = write_csv(tmp_path / "none.csv", [dict(row, ms="nan") for row in rows()])
    with pytest.raises(ConfigError, match="no row has a number for accuracy and latency: all 18"):
        load_table(none, DESCRIPTION)
    path = write_csv(tmp_path / "t.csv")
    with pytest.raises(InfeasibleError, match="none of 18 rows meets num_params <= 50"):
        load_table(path, DESCRIPTION, limits=["num_params <= 50"])


def test_static_metrics_are_features_by_logarithm(path):
    space = load_table(path, DESCRIPTION).space
    features = space.features(space.points()[5])
    assert features == {"log_num_params": pytest.approx(np.log(400)), "log_depth": np.log(4)}

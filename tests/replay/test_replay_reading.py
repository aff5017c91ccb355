"""Files become columns, whatever their layout; what cannot be read is said in one sentence."""

import math

import pytest
from replay_example import rows, write_csv, write_json_lines

from archsmith.errors import ConfigError
from archsmith.replay.reading import read_columns


def test_csv_and_json_lines_say_the_same(tmp_path):
    plain = read_columns(write_csv(tmp_path / "t.csv"))
    packed = read_columns(write_json_lines(tmp_path / "t.jsonl.gz", rows()))
    assert plain.names == packed.names
    for name in ("depth", "acc_s0", "params"):
        one, other = plain.numbers(name), packed.numbers(name)
        assert [v for v in one if not math.isnan(v)] == [v for v in other if not math.isnan(v)]
    assert math.isnan(plain.numbers("acc_s0")[0])
    assert math.isnan(packed.numbers("acc_s0")[0])


def test_objects_and_lists_become_columns(tmp_path):
    row = {"config": {"heads": [2, 4, 6], "tied": True}, "loss": 3.5}
    short = {"config": {"heads": [8], "tied": False}, "loss": 3.0}
    columns = read_columns(write_json_lines(tmp_path / "t.jsonl.gz", [row, short]))
    assert columns.matching("config.heads.[0-9]*") == [f"config.heads.{i}" for i in range(3)]
    assert columns.values("config.heads.2") == [6, None]
    assert columns.numbers("config.heads.length") == [3, 1]
    assert columns.numbers("config.heads.mean") == [4, 8]
    assert columns.numbers("config.heads.last") == [6, 8]
    assert columns.numbers("config.heads.deviation") == pytest.approx([math.sqrt(8 / 3), 0])
    assert columns.values("config.tied") == ["true", "false"]
    assert columns.numbers("loss / config.heads.mean") == [3.5 / 4, 3.0 / 8]


def test_only_matching_rows_are_kept(tmp_path):
    columns = read_columns(write_csv(tmp_path / "t.csv"))
    assert len(columns.only({"op0": "a", "depth": 4})) == 2
    with pytest.raises(ConfigError, match=r"no row where op0 is 'z'; it holds a, b, c"):
        columns.only({"op0": "z"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.xlsx", "", r"not a table; known endings: \.csv"),
        ("t.csv", "", "holds no rows"),
        ("t.csv", "a,b\n1\n", "line 2 has 1 cells, the header 2"),
        ("t.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("t.jsonl", '{"a": 1}\n{a}\n', "line 2: not valid JSON"),
        ("t.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("t.csv.gz", "a\n1\n", "cannot be read"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_columns(tmp_path / name)


def test_a_missing_file_and_text_for_a_number(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_columns(tmp_path / "none.csv")
    columns = read_columns(write_csv(tmp_path / "t.csv"))
    with pytest.raises(ConfigError, match="row 1: column 'op0' holds 'a', not a number"):
        columns.numbers("op0")
    with pytest.raises(ConfigError, match="no column 'dept'; did you mean 'depth'"):
        columns.numbers("dept")

"""Files become columns, whatever their layout; what cannot be read is said in one sentence."""

import gzip
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


def test_marks_and_blanks_of_spreadsheets_are_no_part_of_names_and_cells(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfdepth, op ,loss\r\n1, a , 3.5\r\n2,b,\r\n")
    columns = read_columns(path)
    assert columns.names == ("depth", "op", "loss")
    assert columns.values("op") == ["a", "b"]
    assert columns.values("loss") == ["3.5", None]
    packed = tmp_path / "t.jsonl.gz"
    packed.write_bytes(gzip.compress(b'\xef\xbb\xbf{"depth": 1}\n'))
    assert read_columns(packed).names == ("depth",)


def test_words_for_a_missing_number_are_missing_and_categories_of_such_names_stay(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("op,loss\nnone,n/a\nskip,None\nnone,#N/A\nskip,2\n")
    columns = read_columns(path)
    assert columns.numbers("loss") == pytest.approx([math.nan] * 3 + [2], nan_ok=True)
    assert columns.values("op") == ["none", "skip"] * 2


def test_numbers_without_bounds_are_infinite(tmp_path):
    most = 10**400
    path = write_json_lines(
        tmp_path / "t.jsonl.gz", [{"loss": most, "low": -most, "w": [1, most], "far": [1e308, 0]}]
    )
    columns = read_columns(path)
    assert columns.numbers("loss") == columns.numbers("w.mean") == [math.inf]
    assert columns.numbers("low") == [-math.inf]
    assert columns.numbers("w.deviation") == columns.numbers("far.deviation") == [math.inf]
    assert columns.values("w.length") == [2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.xlsx", "", r"not a table; known endings: \.csv"),
        ("t.csv", "", "holds no rows"),
        ("t.csv", "a,b\n1\n", "line 2 has 1 cells, the header 2"),
        ("t.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("t.jsonl", '{"a": 1}\n{a}\n', "line 2: not valid JSON"),
        ("t.jsonl", f'{{"a": {"1" * 5000}}}\n', "line 1: not valid JSON: Exceeds the limit"),
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

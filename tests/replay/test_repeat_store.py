"""A replay that was stopped goes on with what is missing, and mixes nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from replay_example import DESCRIPTION, TOML, rows, write_csv

from archsmith.cli import replay as command
from archsmith.cli.main import main
from archsmith.errors import ConfigError
from archsmith.replay import repeat_store
from archsmith.replay.outcome import replay_json
from archsmith.replay.repeat_store import Repeat, RepeatStore
from archsmith.replay.run import read_strategy, replay
from archsmith.replay.table import load_table
from archsmith.strategies.law_guided import LawGuided

ARMS = {name: read_strategy(name) for name in ("random", "local_search", "asha")}


@pytest.fixture
def table(tmp_path):
    return load_table(write_csv(tmp_path / "t.csv"), DESCRIPTION)


def stop_after(calls):
    """A report that is interrupted, as by Ctrl-C."""

    def report(what, share, left):
        nonlocal calls
        calls -= 1
        if calls == 0:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_stopped_replay_goes_on_with_what_is_missing(table, tmp_path, n_jobs):
    options = {"n_trials": 7, "repeats": 4, "seed": 2}
    whole = replay(table, ARMS, **options)
    store = tmp_path / "results" / "repeats.jsonl"
    with pytest.raises(KeyboardInterrupt):
        replay(table, ARMS, **options, n_jobs=n_jobs, store=store, report=stop_after(4))
    kept = store.read_bytes()
    assert kept.count(b"\n") >= 4
    store.write_bytes(kept[:-100])  # the last line was being written when the process was killed
    told = []
    again = replay(table, ARMS, **options, store=store, report=lambda *given: told.append(given))
    found = kept.count(b"\n") - 1
    assert told[0] == (
        f"replaying t.csv ({found} of 12 repeats found in {store})",
        found / 12,
        None,
    )
    assert len(told) == 1 + 12 - found
    third = replay(
        table, ARMS, **options, n_jobs=2, store=store, report=lambda *given: told.append(given)
    )
    assert told[-1][1:] == (1, None)  # all there
    for arms in (again.arms, third.arms):
        for arm, other in zip(arms, whole.arms, strict=True):
            assert np.array_equal(arm.curves, other.curves)
            assert arm.note == other.note
    seconds = [arm["seconds_per_repeat"] for arm in replay_json(third)["arms"]]
    assert all(value > 0 for value in seconds)
    # more repeats use the same ones
    replay(table, ARMS, n_trials=7, repeats=5, seed=1, store=store)
    seeds = [json.loads(line)["seed"] for line in store.read_text().splitlines()[-3:]]
    assert seeds == [1, 1, 1]


def kept(table, path, *, strategy=ARMS["local_search"], n_trials=5):
    return RepeatStore(path, table, [strategy], n_trials=n_trials)


def test_repeats_of_another_replay_are_not_mixed(table, tmp_path, monkeypatch):
    path, seeds = tmp_path / "repeats.jsonl", range(3)
    one = Repeat(np.linspace(0.1, 0.7, 5), 0.25, is_random=False, notes={"sampled": 5})
    kept(table, path).append(0, {1: one, 7: one})
    found = kept(table, path).read(seeds)
    assert list(found) == [(0, 1)]
    assert found[0, 1].curve.tolist() == one.curve.tolist()
    assert found[0, 1][1:] == (0.25, False, {"sampled": 5})
    changed = [dict(row) for row in rows()]
    changed[5]["ms"] += 0.001
    others = [
        kept(load_table(write_csv(tmp_path / "t.csv", changed), DESCRIPTION), path),
        kept(table, path, n_trials=4),
        kept(table, path, strategy=read_strategy("nsga2")),
    ]
    write_csv(tmp_path / "t.csv")
    drawn = DESCRIPTION.model_copy(update={"seen_seed": "drawn"})
    ordered = DESCRIPTION.model_copy(update={"features": {}})
    for description, options in (
        (DESCRIPTION, {"objectives": ["accuracy"]}),
        (DESCRIPTION, {"limits": ["num_params <= 420"]}),
        (drawn, {}),
        (ordered, {}),
    ):
        others.append(kept(load_table(tmp_path / "t.csv", description, **options), path))
    monkeypatch.setattr(repeat_store, "version", lambda package: "0.0.0")
    others.append(kept(table, path))
    monkeypatch.undo()
    monkeypatch.setattr(repeat_store, "_code", lambda package: "other")
    others.append(kept(table, path))
    monkeypatch.undo()
    assert [other.read(seeds) for other in others] == [{}] * len(others)
    moved = (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    assert len(kept(load_table(moved, DESCRIPTION), path).read(seeds)) == 1


def test_files_that_settings_name_count_by_what_they_hold(table, tmp_path):
    earlier = tmp_path / "earlier.jsonl"
    strategy = LawGuided(earlier=(str(earlier),))
    path = tmp_path / "repeats.jsonl"
    earlier.write_text("a")
    one = Repeat(np.zeros(5), 0.25, is_random=False, notes={"sampled": 5})
    kept(table, path, strategy=strategy).append(0, {0: one})
    assert len(kept(table, path, strategy=strategy).read([0])) == 1
    earlier.write_text("b")
    assert len(kept(table, path, strategy=strategy).read([0])) == 0


@pytest.mark.parametrize("text", ['{"op0": "a"}\n', "depth,loss\n1,2"])
def test_a_file_of_something_else_is_not_added_to(table, tmp_path, text):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="holds no repeats of a replay; name a new file"):
        kept(table, path).read([0])
    assert path.read_text() == text


def test_a_first_line_that_was_cut_off_and_other_damage_are_passed_over(table, tmp_path):
    path = tmp_path / "repeats.jsonl"
    one = Repeat(np.zeros(5), 0.25, is_random=False, notes={"sampled": 5})
    kept(table, path).append(0, {0: one})
    for cut in (1, 5, 20, 80):
        line = path.read_bytes().splitlines(keepends=True)[-1]
        path.write_bytes(line[:cut])
        assert kept(table, path).read([0]) == {}
        kept(table, path).append(0, {0: one})
        assert len(kept(table, path).read([0])) == 1
    whole = json.loads(path.read_text().splitlines()[-1])
    bad = [{"curve": [0.0] * 4}, {"curve": ["x"] * 5}, {"seed": None}, {"curve": [None] * 5}]
    lines = [json.dumps(whole | change) + "\n" for change in bad]
    path.write_text("".join(lines))
    assert kept(table, path).read([0]) == {}
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    assert kept(table, path).read([0]) == {}


def test_ctrl_c_promises_what_is_kept(table, tmp_path, monkeypatch, capsys):
    (tmp_path / "t.toml").write_text(TOML)
    monkeypatch.setattr(command, "_progress", lambda quiet: stop_after(2))
    arguments = ["replay", str(tmp_path / "t.csv"), "--strategy", "random", "--n-trials", "4"]
    store = tmp_path / "repeats.jsonl"
    for more, message in (
        ([], "interrupted; without --store FILE nothing is kept"),
        (["--store", str(store)], f"finished repeats are in {store}: the same command continues"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*arguments, *more])
        assert end.value.code == 130
        assert message in capsys.readouterr().err
    assert store.read_text().count("\n") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "n_jobs"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGKILL, 1)]
)
def test_a_process_that_is_stopped_leaves_what_it_finished(table, tmp_path, sent, n_jobs):
    (tmp_path / "t.toml").write_text(TOML)
    store = tmp_path / "repeats.jsonl"
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from archsmith.cli.main import main; main()"
    )
    arguments = ["replay", "t.csv", "--strategy", "local_search", "--n-trials", "9", "--repeats",
                 "1000000", "--n-jobs", str(n_jobs), "--store", store.name]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while not (store.exists() and store.read_bytes().count(b"\n") > 5):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, sent)
    out, err = process.communicate(timeout=60)
    assert out == ""
    if sent == signal.SIGINT:
        assert process.returncode == 130
        assert err.endswith("are in repeats.jsonl: the same command continues\n")
        assert "Traceback" not in err
    told = []
    again = replay(
        table, {"local_search": ARMS["local_search"]}, n_trials=9, repeats=5, store=store,
        report=lambda *given: told.append(given),
    )  # fmt: skip
    assert told[0][1] >= 0.2  # not all: processes finish in another order
    whole = replay(table, {"local_search": ARMS["local_search"]}, n_trials=9, repeats=5)
    assert np.array_equal(again.arms[0].curves, whole.arms[0].curves)

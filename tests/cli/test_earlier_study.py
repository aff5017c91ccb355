"""From one study to the next: `earlier` writes it, the next begins with it, `surrogate` checks."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from archsmith.data.splits import Split
from archsmith.strategies.law_guided import LawGuided
from archsmith.trial import Problem
from archsmith.workflow.search_config import load_search_config
from archsmith.workflow.surrogate_findings import SurrogateCheck
from archsmith.workflow.workspace import Workspace
from helpers_workflow import FinishedSearch, archsmith_here


def test_a_study_knows_its_text(finished: FinishedSearch) -> None:
    pipeline = finished.pipeline()
    spec = pipeline.store.study("notes").spec
    train_bytes = pipeline.workspace.corpus.split_bytes(Split.TRAIN)
    assert spec["corpus_train_bytes"] == train_bytes > 0
    assert spec["corpus_bits_per_byte"] == pipeline.suggestion().corpus_bits_per_byte


def test_the_next_search_begins_with_what_was_written(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    path = tmp_path / "first.jsonl"
    out, _ = archsmith_here("earlier", "search.toml", "--output", path, cwd=finished.folder)
    assert out.startswith(f"{path}: ")
    count = len(path.read_text().splitlines())
    assert f"{count} trials of study 'notes'" in out

    search_file = tmp_path / "search.toml"
    text = (finished.folder / "search.toml").read_text()
    wanted = 'type = "law_guided"\nnum_start = 1\niterations = 3\nearlier = ["first.jsonl"]'
    search_file.write_text(text.replace('type = "random"', wanted))
    config, root = load_search_config(search_file)
    old = finished.pipeline()
    space = Workspace(old.config, root=finished.folder).space
    problem = Problem(
        space=space,
        objectives=config.objectives,
        rungs=old.rungs(old.suggestion()),
        static_metrics=lambda point: {},
        root=root,
    )
    assert isinstance(config.strategy, LawGuided)
    history = old.store.observations("notes")
    note = config.strategy.propose(problem, history, problem.rng(9)).note
    assert f"({count} readings of earlier studies)" in note


def test_nothing_is_overwritten_and_json_parses(finished: FinishedSearch, tmp_path: Path) -> None:
    path = tmp_path / "first.jsonl"
    out, _ = archsmith_here("earlier", "--output", path, "--json", cwd=finished.folder)
    assert json.loads(out)["trials"] == len(path.read_text().splitlines())
    before = path.read_text()
    _, errors = archsmith_here("earlier", "--output", path, cwd=finished.folder, code=2)
    assert "exists; choose another file" in errors
    assert path.read_text() == before
    _, errors = archsmith_here(
        "earlier", "--study-name", "nots", "--output", tmp_path / "x", cwd=finished.folder, code=1
    )
    assert "nots" in errors
    assert not (tmp_path / "x").exists()


def test_a_finished_study_says_how_well_its_surrogate_predicts(finished: FinishedSearch) -> None:
    data = json.loads(archsmith_here("surrogate", "--json", cwd=finished.folder)[0])
    assert data["num_readings"] == data["num_trials"] > 1
    assert data["num_earlier"] == 0
    winner = data["winner"]
    assert winner["low"] < winner["bits_per_byte"] < winner["high"]
    arms = finished.pipeline().store.notes("notes")["arms"]
    arm = next(arm for arm in arms if arm["kind"] == "search")
    place = max(len(arm["curve"]) - 2, 0)  # before the cooldown, if it was read there
    assert [winner["train_bytes"], winner["measured"]] == arm["curve"][place][::2]
    assert winner["cooled"] == arm["curve"][-1][2]
    assert winner["file_bits_per_byte"] == arm["metrics"]["bits_per_byte"]
    text = "\n".join(SurrogateCheck.model_validate(data).lines())
    assert f"the winner, trial {winner['trial']}: foreseen {winner['bits_per_byte']:.4f}" in text
    assert "corpora left out: the search began with no earlier study" in text
    sizes = data["sizes"]
    if sizes["mean_error"] is None:
        assert f"sizes left out: {sizes['reason']}" in text
    else:
        assert f"over {sizes['num_readings']} scores" in text


def test_with_an_earlier_study_a_corpus_is_left_out(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    later = finished.copy(tmp_path / "copy")
    archsmith_here("earlier", "--output", "first.jsonl", cwd=later.folder)
    with closing(sqlite3.connect(later.folder / "archsmith.db")) as connection:
        (text,) = connection.execute("SELECT spec FROM studies").fetchone()
        spec = json.loads(text)
        spec["strategy"] = {"type": "law_guided", "earlier": ["first.jsonl"]}
        connection.execute("UPDATE studies SET spec = ?", (json.dumps(spec),))
        connection.commit()
    text, _ = archsmith_here("surrogate", later.config_file, cwd=tmp_path)
    count = len((later.folder / "first.jsonl").read_text().splitlines())
    assert f"trials and {count} of earlier studies: " in text
    assert re.search(rf"corpora left out: mean error 0\.\d+ over {2 * count} scores in 2", text)
    assert "  this study: 0." in text


def test_an_empty_study_has_nothing_to_check(finished: FinishedSearch, tmp_path: Path) -> None:
    empty = finished.copy(tmp_path / "copy")
    store = empty.pipeline().store
    spec = dict(store.study("notes").spec)
    store.create_study("empty", spec=spec, seed=0)
    for command in (["surrogate"], ["earlier", "--output", "new.jsonl"]):
        _, errors = archsmith_here(*command, "--study-name", "empty", cwd=empty.folder, code=2)
        assert "has no" in errors
    assert not (empty.folder / "new.jsonl").exists()


@pytest.mark.parametrize("command", ["earlier", "surrogate"])
def test_an_unknown_study_is_named(finished: FinishedSearch, command: str, tmp_path: Path) -> None:
    more = ["--output", tmp_path / "x"] if command == "earlier" else []
    _, errors = archsmith_here(
        command, "--study-name", "nobody", *more, cwd=finished.folder, code=1
    )
    assert "nobody" in errors

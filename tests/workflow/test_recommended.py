"""The model a finished search recommends lies under one name, and is what `export` takes."""

from pathlib import Path

import numpy as np
import pytest

from archsmith.errors import CheckpointError, ConfigError
from archsmith.store.store import connect
from archsmith.workflow.baselines import MAXIMIZER, WINNER, arm_dir, model_dir
from archsmith.workflow.continuing import export_source
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.recommended import link_recommended, recommended_arm
from helpers_workflow import FinishedSearch, Recorder, one_core


def test_without_a_baseline_it_is_the_winner(finished: FinishedSearch) -> None:
    link = finished.models.parent / "recommended"
    assert link.is_symlink()
    assert link.resolve() == finished.models.resolve()
    found = finished.pipeline().recommended()
    assert found is not None
    name, model = found
    assert name == WINNER
    trained = load_model_folder(next((finished.folder / "archsmith-output/winner").iterdir()))
    assert all(np.array_equal(model.weights[key], trained.weights[key]) for key in trained.weights)


def test_a_winner_that_did_not_beat_the_maximizer_is_not_recommended(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    search = finished.copy(tmp_path / "lost")
    with_maximizer(search, factor=0.5)
    pipeline = search.pipeline()
    name = recommended_arm(pipeline.store, "notes")
    assert name == MAXIMIZER
    folder = model_dir(pipeline.workspace, MAXIMIZER)
    folder.mkdir()
    link = link_recommended(pipeline.workspace, name)
    assert link is not None
    assert link.resolve() == folder.resolve()
    assert link_recommended(pipeline.workspace, None) is None
    assert not link.exists()
    assert not link.is_symlink()
    # its weights are what is handed over, and nothing else where they are gone
    with pytest.raises((ConfigError, CheckpointError), match="parameter-maximizer"):
        pipeline.recommended()
    kept = load_model_folder(next((search.folder / "archsmith-output/winner").iterdir()))
    kept.folder.rename(made(arm_dir(pipeline.workspace, MAXIMIZER)))
    watcher = Recorder()
    with one_core():
        done = export_source(
            search.config_file, formats=("gguf",), output_dir=tmp_path / "out", watcher=watcher
        )
    assert watcher.notes == ["this search is finished and recommends the parameter maximizer"]
    assert [Path(path).parent for path in done.paths] == [tmp_path / "out"]


def test_a_folder_of_the_users_own_by_that_name_is_left_alone(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    search = finished.copy(tmp_path / "own")
    workspace = search.pipeline().workspace
    own = model_dir(workspace, "recommended")
    own.unlink(missing_ok=True)
    own.mkdir()
    (own / "letter.txt").write_text("mine")
    assert link_recommended(workspace, WINNER) == model_dir(workspace, WINNER)
    assert (own / "letter.txt").read_text() == "mine"


def with_maximizer(search: FinishedSearch, *, factor: float) -> None:
    """As if a maximizer had been trained that needs `factor` as many bits as the winner."""
    store = connect(search.folder / "archsmith.db")
    arms = store.notes("notes")["arms"]
    own = next(arm for arm in arms if arm["name"] == WINNER)
    rival = {
        **own,
        "name": MAXIMIZER,
        "kind": "baseline",
        "trial": None,
        "metrics": {**own["metrics"], "bits_per_byte": own["metrics"]["bits_per_byte"] * factor},
        "block_nats": [nats * factor for nats in own["block_nats"]],
        "details": {**own["details"], "role": "maximizer"},
    }
    store.put_note("notes", "arms", [*arms, rival])


def made(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder

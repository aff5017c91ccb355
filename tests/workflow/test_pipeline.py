"""The whole job on a small corpus, and what is there when it is done."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from archsmith.data.corpus import Split
from archsmith.errors import SearchInterrupted
from archsmith.export.llamacpp import LlamaCpp
from archsmith.report.load import load_study
from archsmith.store.store import connect
from archsmith.trial import TrialState
from archsmith.workflow.baselines import WINNER
from archsmith.workflow.continuing import export_source
from archsmith.workflow.generation import continue_text, find_gguf
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.scoring import score_model_path
from helpers_workflow import FinishedSearch, Recorder, one_core


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file, but for the database's own side files."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_the_report_has_the_winner_and_the_floors(finished: FinishedSearch) -> None:
    pipeline = finished.pipeline()
    report = load_study(pipeline.store, "notes")
    arms = {arm.name: arm for arm in report.arms}
    assert set(arms) == {WINNER, "n-gram model", "xz -9"}
    winner = arms[WINNER]
    assert 0.5 < winner.metrics["bits_per_byte"] < 2.0
    assert winner.metrics["file_bytes"] == finished.gguf.stat().st_size <= 200 * 1024
    assert winner.metrics["decode_ms_per_token"] > 0
    states = [trial.state for trial in report.trials]
    assert len(states) == 4
    assert set(states) <= {TrialState.COMPLETE, TrialState.REJECTED}


def test_everything_spent_is_in_the_ledger(finished: FinishedSearch) -> None:
    store = finished.pipeline().store
    ledger = store.ledger("notes")
    phases = {entry.phase for entry in ledger}
    assert {"prepare", "suggest", "rung 0", "select", "export", "floors"} <= phases
    assert "search" not in phases  # its jobs are entered one by one: never counted twice
    (suggested,) = [entry.seconds for entry in ledger if entry.phase == "suggest"]
    assert suggested > 0
    (trained,) = [entry for entry in ledger if entry.phase == "final training"]
    model = load_model_folder(next((finished.folder / "archsmith-output/winner").iterdir()))
    assert trained.seconds == model.record.wall_seconds
    assert 0 < trained.flops < model.record.flops  # its trunk's first part was a rung


def test_a_final_training_over_several_starts_is_entered_once(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    again = finished.copy(tmp_path / "again").pipeline()

    def entered() -> list[float]:
        return [e.seconds for e in again.store.ledger("notes") if e.phase == "final training"]

    study = again.study(again.suggestion())
    winner, recipe = again.select(study), again.config.training
    with one_core():
        again.train(study, winner, recipe)
        before = entered()
        assert len(before) == 1  # opened once more, not trained once more
        shutil.rmtree(again.workspace.output_dir / "winner")
        polls = iter(range(100_000))
        with pytest.raises(SearchInterrupted):
            again.train(study, winner, recipe, should_stop=lambda: next(polls) > 20)
        assert entered() == before
        record = again.train(study, winner, recipe).record
    again.train(study, winner, recipe)
    assert entered() == [*before, record.wall_seconds]


def test_predicted_and_written_file_bytes_are_equal(finished: FinishedSearch) -> None:
    pipeline = finished.pipeline()
    model = load_model_folder(next((finished.folder / "archsmith-output/winner").iterdir()))
    predicted = pipeline.workspace.static_metrics(model.architecture)["file_bytes"]
    assert predicted == finished.gguf.stat().st_size


def test_stock_transformers_and_llama_cpp_agree(finished: FinishedSearch) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished.models / "transformers"
    assert not list(folder.glob("*.py"))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Karo miten solba.\nDo per"
    ids = tokenizer(text)["input_ids"]
    with LlamaCpp(finished.gguf, context_tokens=48, num_threads=1) as runtime:
        tokens = [runtime.bos_token_id, *runtime.tokenize(text)]
        assert tokens[-len(ids) :] == ids[-len(tokens) :]
        theirs = np.asarray(runtime.logits(tokens))
    with torch.no_grad():
        ours = model(torch.tensor([tokens])).logits[0].numpy()
    # the file is quantized to 8 bits: logits move by hundredths, the likeliest tokens hardly
    assert np.abs(ours - theirs).max() < 0.2
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() > 0.8


def test_a_second_start_does_and_changes_nothing(finished: FinishedSearch) -> None:
    before = snapshot(finished.folder)
    stored = finished.pipeline().store.notes("notes")
    recorder = Recorder()
    pipeline = finished.pipeline(recorder)
    arms = pipeline.run()
    assert [arm.name for arm in arms] == [WINNER, "n-gram model", "xz -9"]
    assert recorder.phases == []
    assert recorder.events == []
    assert "this search is finished" in recorder.notes[0]
    assert pipeline.store.notes("notes") == stored
    assert snapshot(finished.folder) == before


def test_every_opening_of_the_test_split_is_noted(finished: FinishedSearch) -> None:
    """By the search once, whatever else it does; later by whoever scores on it."""
    opened = finished.pipeline().store.notes("notes")["test_opened"]
    assert [one["what"] for one in opened].count("search") == 1
    assert opened[0]["what"] == "search"


def test_score_agrees_with_the_stored_result(
    finished: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    again = score_model_path(
        finished.gguf, config_file=finished.config_file, split=Split.TEST.value
    )
    arms = finished.pipeline().store.notes("notes")["arms"]
    assert again.score.bits_per_byte == pytest.approx(arms[0]["metrics"]["bits_per_byte"], abs=1e-9)
    assert again.low < again.score.bits_per_byte < again.high
    opened = finished.pipeline().store.notes("notes")["test_opened"]
    assert opened[-1]["what"] == str(finished.gguf)


def test_the_file_writes_text(finished: FinishedSearch) -> None:
    gguf = find_gguf(finished.models)
    first = continue_text(gguf, "Karo", max_new_tokens=16, temperature=0.0)
    assert first
    assert first == continue_text(gguf, "Karo", max_new_tokens=16, temperature=0.0)


def test_the_best_trial_can_be_exported_while_the_search_goes_on(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    """Without the notes that a finished search leaves: only trials and their checkpoints."""
    midway = finished.copy(tmp_path / "midway")
    store = connect(midway.folder / "archsmith.db")
    for key in ("arms", "finalists"):
        store.put_note("notes", key, [])
    before = store.trials("notes")
    with one_core():
        done = export_source(
            midway.config_file, formats=("gguf",), output_dir=tmp_path / "exported"
        )
    (path,) = done.paths
    assert Path(path).is_file()
    assert {one.name for one in (tmp_path / "exported").iterdir()} == {"model", Path(path).name}
    assert done.gate.runtime_kl_nats < 1e-6
    assert store.trials("notes") == before


def test_the_handover_is_written_beside_the_files(finished: FinishedSearch) -> None:
    data = json.loads((finished.models / "handover.json").read_text())
    assert data["arm"]["details"]["completion_prompts"] == 24
    assert Path(data["gguf"]) == finished.gguf

"""Studies continued with the settings they were begun with, and opened to be read."""

from pathlib import Path

import pytest

from archsmith.errors import ConfigError, StoreError
from archsmith.study import load_study
from helpers_study import Grid, Sampler, Toy, make_study


def test_other_settings_are_refused_when_continuing(tmp_path: Path) -> None:
    make_study(tmp_path)
    with pytest.raises(ConfigError, match="was started with seed = 3, now it is 4"):
        make_study(tmp_path, seed=4)
    with pytest.raises(StoreError, match="has a study 'toy' already"):
        make_study(tmp_path, load_if_exists=False)


def test_a_study_can_be_loaded_to_be_read(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(), n_trials=3, executor="inline")
    loaded = load_study(study_name="toy", storage=tmp_path / "studies.db")
    assert [trial.number for trial in loaded.best_trials] == [
        trial.number for trial in study.best_trials
    ]
    assert len(loaded.history()) == 3
    with pytest.raises(ConfigError, match="loaded for reading"):
        loaded.optimize(Toy(), n_trials=4)
    again = load_study(
        study_name="toy",
        storage=tmp_path / "studies.db",
        space=Grid(),
        strategy=Sampler(),
        static_metrics=study.problem.static_metrics,
    )
    again.optimize(Toy(), n_trials=4, executor="inline")
    assert len(again.trials) == 4


def test_a_continued_study_keeps_what_it_knows_of_its_text(tmp_path: Path) -> None:
    known = {"corpus_train_bytes": 5000, "corpus_bits_per_byte": 1.7}
    make_study(tmp_path, **known)
    again = make_study(tmp_path, corpus_train_bytes=9000, corpus_bits_per_byte=2.1)
    read = load_study(study_name="toy", storage=tmp_path / "studies.db")
    for study in (again, read):
        assert study.problem.corpus_train_bytes == 5000
        assert study.problem.corpus_bits_per_byte == 1.7


def test_a_study_begun_without_its_text_goes_on_without(tmp_path: Path) -> None:
    make_study(tmp_path)
    assert make_study(tmp_path, corpus_train_bytes=9000).problem.corpus_train_bytes is None

"""What is best of a search, and whose checkpoints the disk budget never takes."""

from pathlib import Path

from archsmith.study.best import find_best, worth_keeping
from helpers_study import Point, Toy, make_study


def test_the_front_of_several_objectives(tmp_path: Path) -> None:
    study = make_study(tmp_path, objectives=["bits_per_byte", "num_params"], rungs=())
    study.optimize(Toy(), n_trials=12, executor="inline")
    front = study.best_trials
    values = [(t.metrics["bits_per_byte"], t.metrics["num_params"]) for t in study.trials]
    expected = [
        v for v in values if not any(w[0] <= v[0] and w[1] <= v[1] and w != v for w in values)
    ]
    assert [(t.metrics["bits_per_byte"], t.metrics["num_params"]) for t in front] == sorted(
        expected
    )


def test_before_a_first_result_nothing_is_best() -> None:
    assert find_best([], objectives=["bits_per_byte"], limits=()) == []


def test_the_best_and_what_the_search_began_with_are_kept(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=0, y=0), Point(x=7, y=11)], rungs=())
    study.optimize(Toy(), n_trials=2, executor="inline")
    (best,) = study.best_trials
    assert best.number == 1
    kept = worth_keeping(study.trials, study.problem)
    assert [trial.number for trial in kept] == [1, 0]

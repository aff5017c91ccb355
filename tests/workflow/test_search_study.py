"""A study that is continued keeps what it was begun with."""

from pathlib import Path

import pytest

from archsmith.errors import ConfigError
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.planning import plan_ladder
from archsmith.workflow.search_config import DeviceConfig
from archsmith.workflow.suggestion import text_after_search
from helpers_workflow import FinishedSearch


def test_a_study_keeps_its_rungs_and_its_rule(finished: FinishedSearch, tmp_path: Path) -> None:
    before = finished.copy(tmp_path / "again").pipeline()
    plan = before.config.plan.model_copy(update={"train_bytes": 600_000, "reduction_factor": 5})
    after = Pipeline(before.config.model_copy(update={"plan": plan}), root=before.root)
    suggestion = before.suggestion()
    kept = before.store.study("notes").spec
    planned = plan_ladder(after.config, suggestion, after.workspace.bytes_per_token)
    assert [rung.model_dump(mode="json") for rung in after.rungs(suggestion)] == kept["rungs"]
    assert after.rungs(suggestion) != planned
    assert after.study(suggestion).halving.eta == before.config.plan.reduction_factor


def test_networks_are_asked_for_at_the_end_of_the_final_training(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    pipeline = finished.copy(tmp_path / "again").pipeline()
    suggestion = pipeline.suggestion()
    study = pipeline.study(suggestion)
    text, sizes = study.problem.final_bytes, pipeline.workspace.bytes_per_token
    assert text is not None
    assert {text(row.architecture) for row in suggestion.rows} == {60_000}  # the plan's text
    # a plan in seconds gives the fast ones more
    first = suggestion.rows[0]
    timed = text_after_search(suggestion, bytes_per_token=sizes, in_bytes=False)
    assert timed(first.architecture) == pytest.approx(first.train_bytes, rel=1e-3)
    for row in suggestion.rows:
        in_same_time = row.train_bytes * first.train_seconds / row.train_seconds
        assert timed(row.architecture) == pytest.approx(in_same_time, rel=1e-3)
    assert len({timed(row.architecture) for row in suggestion.rows}) > 1


def test_a_study_keeps_its_target(finished: FinishedSearch) -> None:
    before = finished.pipeline()
    changed = before.config.model_copy(update={"device": DeviceConfig(target="phone.json")})
    after = Pipeline(changed, root=before.root)
    after.workspace.target = None  # the profile itself plays no part here
    with pytest.raises(ConfigError, match=r"phone\.json.*study_name"):
        after.study(before.suggestion())

"""Which discipline a search file gives its study."""

from pathlib import Path

import pytest

from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from helpers_workflow import make_search


@pytest.mark.parametrize(
    ("changes", "rule", "foresees"),
    [
        ({"timeout": "1h"}, "ladder", True),
        ({}, "ladder", False),
        ({"timeout": "1h", "objectives": ["bits_per_byte", "file_bytes"]}, "ladder", False),
        ({"timeout": "1h", "strategy": {"type": "hyperband", "eta": 4}}, "hyperband", False),
        ({"strategy": {"type": "asha"}}, "asynchronous", False),
    ],
)
def test_the_file_decides(
    changes: dict[str, object], rule: str, foresees: bool, tmp_path: Path
) -> None:
    folder = make_search(tmp_path / "made").folder
    config, root = load_search_config(folder / "search.toml", **changes)
    pipeline = Pipeline(config, root=root)
    found = pipeline._halving()
    assert found.rule == rule
    assert (found.horizon_seconds is not None) is foresees
    if foresees:
        assert pipeline.budget is not None
        assert found.horizon_seconds == pipeline.budget.training_seconds

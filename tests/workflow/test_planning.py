"""How a search file's time is divided, and which discipline it gives its study."""

from pathlib import Path

import pytest

from archsmith.workflow.planning import plan_budget, plan_halving, trial_shares
from archsmith.workflow.search_config import PlanConfig, load_search_config
from helpers_workflow import budget, make_search


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
    config, _ = load_search_config(folder / "search.toml", **changes)
    divided = None if config.timeout is None else plan_budget(config)
    found = plan_halving(config, divided)
    assert found.rule == rule
    assert (found.horizon_seconds is not None) is foresees
    if foresees:
        assert divided is not None
        assert found.horizon_seconds == divided.training_seconds


def test_short_searches_are_divided_as_ever() -> None:
    """Those of the demonstration and of comparisons over minutes among them."""
    asked, off = PlanConfig(), PlanConfig(fresh_seeds=0, rate_factors=())
    assert trial_shares(asked, budget(60.0)) == (0.95,)
    assert trial_shares(asked, budget(180.0)) == (0.95,)
    assert trial_shares(asked, budget(599.0)) == trial_shares(off, budget(3600.0)) == (0.85,)
    assert trial_shares(asked, budget(600.0)) == pytest.approx((0.45, 0.85))

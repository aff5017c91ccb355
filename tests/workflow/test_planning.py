"""How a search file's time is divided, and which discipline it gives its study."""

from pathlib import Path

import pytest

from archsmith import registry
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.halving.entries import Entry
from archsmith.halving.ranking import standing
from archsmith.halving.settings import Halving
from archsmith.trial import METRICS, Rung
from archsmith.workflow.planning import plan_budget, plan_halving, trial_shares
from archsmith.workflow.search_config import PlanConfig, load_search_config
from archsmith.workflow.tasks import LEARNED
from helpers_workflow import budget, make_search


@pytest.mark.parametrize(
    ("changes", "rule", "foresees"),
    [
        ({"timeout": "1h"}, "ladder", True),
        ({}, "ladder", False),
        ({"timeout": "1h", "objectives": ["bits_per_byte", "file_bytes"]}, "ladder", True),
        ({"timeout": "1h", "objectives": ["task:a.jsonl", "decode_ms_per_token"]}, "ladder", True),
        ({"timeout": "1h", "objectives": ["bits_per_byte", "train_seconds"]}, "ladder", False),
        ({"timeout": "1h", "objectives": ["file_bytes", "bits_per_byte"]}, "ladder", False),
        ({"timeout": "1h", "objectives": ["file_bytes"]}, "ladder", False),
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


def test_several_objectives_are_halved_by_the_loss_that_is_foreseen(tmp_path: Path) -> None:
    """The second is behind and falls faster; only the bytes of the third save it."""
    folder = make_search(tmp_path / "made").folder
    objectives = ["bits_per_byte", "file_bytes"]
    config, _ = load_search_config(folder / "search.toml", timeout="1h", objectives=objectives)
    rungs = [Rung(index=i, fraction=f, train_bytes=int(1e6 * f)) for i, f in enumerate((0.1, 0.3))]

    def entry(number: int, file_bytes: float, *curve: float) -> Entry:
        return Entry(
            number=number,
            scores={rung: (bits, file_bytes) for rung, bits in enumerate(curve)},
            seconds={rung: 30.0 * 3**rung for rung in range(len(curve))},
        )

    entries = [entry(0, 2e6, 2.3, 2.2), entry(1, 2e6, 2.8, 2.3), entry(2, 1e6, 2.9, 2.8)]

    def ranked(halving: Halving) -> list[Entry]:
        return standing(entries, rungs=rungs, rung=1, halving=halving)

    halving = plan_halving(config, plan_budget(config))
    by_loss = min(ranked(halving), key=lambda one: one.scores[1])
    assert by_loss.number == 1
    assert ranked(halving)[-1].number == 0
    assert {one.number: one.scores[1][1] for one in ranked(halving)} == {0: 2e6, 1: 2e6, 2: 1e6}
    assert ranked(plan_halving(config, None))[-1].number == 1


def test_every_metric_is_learned_or_known_before_training() -> None:
    anywhere = Path("nowhere")
    trained = TrunkTraining(corpus=anywhere, tokenizer=anywhere, token_files=anywhere)
    assert set(trained.metrics()) == LEARNED
    before = {*registry.names("cost"), "decode_ms_per_token"}  # the latter is measured
    assert before | LEARNED == set(METRICS)
    assert not before & LEARNED


def test_short_searches_are_divided_as_ever() -> None:
    """Those of the demonstration and of comparisons over minutes among them."""
    asked, off = PlanConfig(), PlanConfig(fresh_seeds=0, rate_factors=())
    assert trial_shares(asked, budget(60.0)) == (0.95,)
    assert trial_shares(asked, budget(180.0)) == (0.95,)
    assert trial_shares(asked, budget(599.0)) == trial_shares(off, budget(3600.0)) == (0.85,)
    assert trial_shares(asked, budget(600.0)) == pytest.approx((0.45, 0.85))

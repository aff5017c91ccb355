"""What the ranking of zero-cost proxies counts, and that it trains no network twice."""

import math
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import kendalltau

from archsmith.architecture.tree import Architecture
from archsmith.evaluators.base import Request, Result
from archsmith.evaluators.zero_cost import PROXIES

ATTENTION = {"type": "attention", "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    import zero_cost_rank

    return zero_cost_rank


def network(vocab_size: int, width: int) -> Architecture:
    layer = {"mixer": ATTENTION, "feed_forward": {"type": "gated_mlp", "intermediate_size": width}}
    tree = {"hidden_size": 16, "vocab_size": vocab_size, "max_position_embeddings": 24}
    return Architecture.model_validate({**tree, "layers": [layer]})


def test_tau_is_scipys_over_all_pairs_ties_and_draws_included(script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 15), rng.normal(size=15)
    samples = rng.integers(0, 15, (20, 15))
    times = np.stack([np.bincount(one, minlength=15) for one in samples])
    point, drawn = script.tau(x, y, np.ones((15, 15), dtype=bool), times)
    assert point == pytest.approx(kendalltau(x, y).statistic)
    assert drawn == pytest.approx([kendalltau(x[one], y[one]).statistic for one in samples])


def test_tau_among_some_pairs_is_blind_to_the_others(script: ModuleType) -> None:
    group = np.array([0, 0, 0, 1, 1, 1])
    among = group[:, None] == group
    scores = np.array([1.0, 2, 3, 11, 12, 13])
    once = np.ones((1, 6))
    assert script.tau(scores * (1 - 2 * (scores < 5)), scores, among, once)[0] == 0
    assert script.tau(10 * group - scores, scores, among, once)[0] == -1
    assert math.isnan(script.tau(group, scores, among, once)[0])


def test_what_only_tells_the_vocabulary_shows_nothing_within_one(script: ModuleType) -> None:
    """Six networks: the larger vocabulary is better, and of each the wider; widths far apart."""
    ranked = []
    for vocab_size, width in ((31, 8), (31, 96), (31, 100), (63, 8), (63, 96), (63, 100)):
        one = network(vocab_size, width)
        found = dict.fromkeys(PROXIES, 0.0)
        found["proxy_num_params"] = one.num_params
        found["proxy_head_confidence"] = vocab_size / 3
        found["proxy_synflow"] = -width
        ranked.append(script.Ranked(one, found, 9 - vocab_size / 10 - width / 1000))
    rows = script.table(ranked, draws=50).splitlines()
    assert rows[0] == (
        "| proxy | all: 15 pairs | one vocabulary: 6 pairs | and close in size: 2 pairs |"
    )
    cells = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in rows[2:]}
    points = {name: [cell.split()[0] for cell in row] for name, row in cells.items()}
    assert set(points) == {"vocab_size", *PROXIES}
    # 9 pairs of two vocabularies in order, 6 of one tied: 9 / sqrt(9 * 15)
    assert points["vocab_size"] == points["proxy_head_confidence"] == ["+0.77", "-", "-"]
    assert points["proxy_num_params"][1:] == ["+1.00", "+1.00"]
    assert points["proxy_synflow"][1:] == ["-1.00", "-1.00"]
    assert points["proxy_jacobian_covariance"] == ["-", "-", "-"]
    assert rows[-1].endswith("| - | - | - |")


def test_a_second_start_trains_nothing_again(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[Architecture] = []

    class Training:
        def __init__(self, **settings: object) -> None:
            pass

        def evaluate(self, request: Request) -> Result:
            trained.append(request.architecture)
            return Result(metrics={"bits_per_byte": 3 - len(trained) / 10, "train_seconds": 1.0})

    monkeypatch.setattr(script, "TrunkTraining", Training)
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=5)) for _ in range(400)]
    (tmp_path / "text").mkdir()
    for number in range(40):
        page = " ".join(rng.choices(words, k=4000))
        (tmp_path / "text" / f"{number}.txt").write_text(page, encoding="utf-8")
    given = [
        "sweep", str(tmp_path / "text"), "--output-dir", str(tmp_path / "out"), "--networks", "4",
        "--vocab-sizes", "300", "400", "--params", "20000", "90000",
    ]  # fmt: skip
    script.main(given)
    first = capsys.readouterr().out
    assert len(set(trained)) == 4
    assert {one.vocab_size for one in trained} <= {300, 400}
    assert all(20_000 <= one.num_params <= 90_000 for one in trained)
    script.main(given)
    assert len(trained) == 4
    assert capsys.readouterr().out == first
    assert "4 networks" in first
    assert "| proxy | all: 6 pairs |" in first

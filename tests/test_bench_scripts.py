"""What the training benchmarks do with their options and with what they measured."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from archsmith.model.transformer import build

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "results"))
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        if not name.startswith(("archsmith", "torch", "transformers")):
            del sys.modules[name]


def test_networks_are_those_of_the_device(script, monkeypatch):
    train_speed = script("train_speed")
    assert [n.hidden_size for n in train_speed.parse([]).networks] == [128, 256]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    options = train_speed.parse(["--device", "cuda", "--max-params", "2e8"])
    params = [network.architecture().num_params for network in options.networks]
    assert options.device.type == "cuda"
    assert params == sorted(params)
    assert params[0] < 1e6 < 1e8 < params[-1] < 2e8
    largest = train_speed.parse(["--device", "cuda"]).networks[-1]
    assert 2.7e8 < largest.architecture().num_params < 3.1e8


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--device", "cuda"], "sees 0 CUDA devices here"),
        (["--device", "cuda:3"], "cuda:3 was asked for"),
        (["--device", "abacus"], "'abacus' is no device; cpu and cuda are"),
        (["--device", "meta"], "meta is not measured here"),
        (["--max-params", "9"], "no network has at most 9 parameters"),
    ],
)
def test_what_cannot_be_measured_is_told(script, monkeypatch, capsys, given, told):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        script("train_speed").parse(given)
    assert told in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_left_out_with_the_reason(script, monkeypatch):
    engines = script("engines")
    monkeypatch.setattr(engines, "why_not", lambda: "the package 'litgpt' is not installed")
    monkeypatch.setattr(engines.shutil, "which", lambda name: f"/usr/bin/{name}")
    known, skipped = engines.engines(torch.device("cpu"))
    assert engines.LITGPT not in known
    assert skipped == {engines.LITGPT: "the package 'litgpt' is not installed"}
    assert engines.PLAIN_COMPILED in engines.engines(torch.device("cuda"))[0]


@pytest.mark.slow  # the plain loop's optimizer imports torch's compiler
def test_loops_train(script):
    engines = script("engines")
    network, cpu = engines.Network(64, 2, 50, 12, 2), torch.device("cpu")
    for engine in (engines.OURS, engines.OURS_MUON, engines.PLAIN, engines.PLAIN_AUTOCAST):
        assert engines.engines(cpu)[0][engine](network, cpu)(network.batches(2)) > 0


def test_the_plain_loops_weights_are_those_of_our_network(script):
    architecture = script("engines").Network(64, 2, 50, 12, 2).architecture()
    named = script("loss_runs").canonical(script("plain_loop").Llama(architecture))
    expected = {n: tuple(p.shape) for n, p in build(architecture).named_parameters()}
    assert {name: tuple(weight.shape) for name, weight in named.items()} == expected


@pytest.mark.slow
def test_a_run_ends_below_its_target_and_behind_its_rival(script):
    engines, loss_runs = script("engines"), script("loss_runs")
    training_text = script("training_text")
    rng = np.random.default_rng(0)
    train = np.tile(rng.integers(50, size=13), (8, 1))  # one sentence, again and again
    network = engines.Network(64, 1, 50, 12, 2)
    text = training_text.Text(train, train[:2], 24)

    def updates(target, rival):
        goal = loss_runs.Goal(updates=60, every=5, target=target, rival=rival)
        points = loss_runs.run(engines.OURS, network, text, rate=1e-2, seed=0, goal=goal)
        return points[-1].update, points[-1].bits_per_byte

    assert updates(None, {})[0] == 60
    stopped, level = updates(2.0, {})
    assert stopped < 60
    assert level <= 2.0
    assert updates(None, {40: 0.0})[0] == 40
    assert updates(None, {20: 0.0})[0] == 60  # not judged while it warms up


def test_the_target_is_met_between_two_looks(script):
    time_to_loss = script("time_to_loss")
    point = script("loss_runs").Point
    points = [point(10, 1.0, 5.0), point(20, 2.0, 4.0), point(30, 4.0, 2.0)]
    met = time_to_loss.crossing(points, 3.0)
    assert (met.update, met.cpu_seconds) == (25, 3.0)
    assert time_to_loss.crossing(points, 1.0) is None


def test_tables_show_medians_ranges_and_ratios(script, tmp_path):
    table = script("table")
    engines = {
        "Trainer": {"rate": 2e-3, "cpu_seconds": [30.0, 20.0], "updates": [200, 180]},
        "Trainer bf16": {"rate": 2e-3, "cpu_seconds": [40.0, None], "updates": [200, None]},
        "archsmith": {"rate": 1e-3, "cpu_seconds": [10.0, 10.0], "updates": [120, 110]},
    }
    report = {"text": "a text", "seeds": 2, "results": [
        {"architecture": "4x128", "target_bits_per_byte": 3.0, "engines": engines,
         "untouched_rate": None}
    ]}  # fmt: skip
    (tmp_path / "time_to_loss.json").write_text(json.dumps(report))
    page = table.page(tmp_path)
    assert "| archsmith | 0.001 | 10.0 (10.0 to 10.0) | 115 (110 to 120) | 2.50 |  |" in page
    assert "| Trainer bf16 | 0.002 | not reached |" in page


def test_every_engine_gets_its_best_rate_and_the_worst_trainer_sets_the_target(
    script, monkeypatch, tmp_path, capsys
):
    engines, time_to_loss = script("engines"), script("time_to_loss")
    point = script("loss_runs").Point
    best = {engines.PLAIN: 1e-3, engines.OURS: 2e-3, engines.OURS_MUON: 4e-2}
    asked = []

    def train(self, engine, *, rate, seed, target=None, rival=None):
        """The level falls by one per 10 updates at the best rate, slower at others."""
        asked.append((engine, rate, seed))
        off = abs(np.log2(rate / best.get(engine, 2e-3)))
        levels = [8 - number / (1 + off) + 0.1 * seed for number in range(1, 7)]
        points = [point(10 * (n + 1), float(n + 1), level) for n, level in enumerate(levels)]
        met = [n for n, p in enumerate(points) if target and p.bits_per_byte <= target]
        return points[: met[0] + 1] if met else points

    monkeypatch.setattr(time_to_loss.Bench, "train", train)
    options = time_to_loss.argparse.Namespace(
        seeds=2, updates=60, quick=False, json=False, runs=None, text=None
    )
    result = time_to_loss.Bench(engines.CPU_NETWORKS[0], options).results()
    assert result["target_bits_per_byte"] == pytest.approx(2.1)
    found = result["engines"]
    assert {name: found[name]["rate"] for name in best} == best
    assert all(len(one["cpu_seconds"]) == 2 for one in found.values())
    assert max(len(one["rates_tried"]) for one in found.values()) <= time_to_loss.MOST_RATES
    assert (engines.HF, time_to_loss.DEFAULT_RATE, 0) in asked
    time_to_loss.print_table(result)
    assert "at its untouched rate of 5e-05" in capsys.readouterr().out
    report = {"text": "a text", "seeds": 2, "results": [result]}
    (tmp_path / "time_to_loss.json").write_text(json.dumps(report))
    assert "The Trainer at its untouched rate" in script("table").page(tmp_path)


def test_without_a_compiler_the_compiled_training_is_left_out(script, monkeypatch):
    engines = script("engines")
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    known, skipped = engines.engines(torch.device("cpu"))
    assert engines.OURS_COMPILED not in known
    assert "g++" in skipped[engines.OURS_COMPILED]


def test_every_kind_of_start_has_a_row(script, tmp_path):
    times = {f"{clock}_{what}_ms": 7.4 for clock in ("cpu", "wall") for what in ("median", "p95")}
    table = script("table")
    found = {name: {"number": 20.0, **times} for name in table.STARTS}
    found["promised_median_cpu_ms"] = 50.0
    (tmp_path / "candidate_start.json").write_text(json.dumps(found))
    page = table.page(tmp_path)
    assert page.count("| 20 | 7 | 7 | 7 | 7 |") == len(table.STARTS) == 4
    assert "50 ms" in page

"""Proposals do not depend on the process: hashes of text differ between two, orders must not."""

import os
import subprocess
import sys

import pytest

from archsmith import registry

_SCRIPT = """
import sys
from archsmith import registry
from archsmith.space import presets
from archsmith.testing.toy import run_search, toy_problem

space = presets.tiny(hidden_sizes=(32, 64), depths=(1, 2), quantizations=("Q8_0",),
                     intermediate_ratios=(2.0,), heads_per_kv_head=(1,))
for name in registry.names("strategies"):
    guided = name == "law_guided"  # a proposal of it takes tenths of a second
    make = registry.find("strategies", name)
    strategy = make(iterations=3, pool_size=16) if guided else make()
    dear = guided or name in ("bananas", "controller", "optuna_nsga2", "optuna_tpe")
    wide = run_search(strategy, toy_problem(), 8 if dear else 30)
    narrow = run_search(strategy, toy_problem(space=space), 8 if dear else 60)
    print(name, [o.architecture.hash for o in (*wide, *narrow)])
"""


def test_two_processes_propose_the_same():
    outputs = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(done.stderr)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == len(registry.names("strategies"))

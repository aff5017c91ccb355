"""A device's choice is made from timings, kept in its profile, and followed by training."""

import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from train_helpers import tiny

from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.profile import (
    PROFILE_VARIABLE,
    DeviceProfile,
    candidates_side_by_side,
    lone_threads,
)
from archsmith.device.spread import Spread
from archsmith.device.training_choice import KernelChoice, TrainingChoice
from archsmith.errors import ConfigError
from archsmith.model.kernels.fast import FAST, fast_kernels
from archsmith.model.transformer import build
from archsmith.train import computation, tuning
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype, choose_kernels
from archsmith.train.trunk import Trunk
from archsmith.train.tuning import Effort, clear_winner, longest_held, smallest_won, tune

CPU = torch.device("cpu")
OTHER = KernelChoice(query_block=8, longest_blocked=512, head_rows=5, head_rows_from=3)


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Writes the profile of this machine, with changes, where training looks for it."""
    path = tmp_path / "device.json"
    monkeypatch.setenv(PROFILE_VARIABLE, str(path))

    def write(**changes):
        fields = {
            "device": "cpu",
            "measured": "2026-01-31",
            "environment": environment(),
            "products": (),
            "bandwidths": (),
            "choice": TrainingChoice(dtype="bfloat16", float32=OTHER, lone_threads=1),
        }
        path.write_text(DeviceProfile(**{**fields, **changes}).model_dump_json())
        return path

    return write


def around(middle, half=0.1):
    return Spread(middle - half, middle, middle + half)


def test_a_default_is_left_only_for_a_clear_winner():
    assert clear_winner({64: around(1.0), 128: around(1.1)}, 128) == 128
    assert clear_winner({64: around(1.0), 128: around(1.3)}, 128) == 64
    assert clear_winner({64: around(1.3), 128: around(1.0)}, 128) == 128


def test_blocks_are_used_as_far_as_they_do_not_lose():
    lost, tied, won = (around(2.0), around(1.0)), (around(1.1), around(1.0)), (around(1), around(2))
    assert longest_held([(128, *lost), (256, *won), (512, *tied), (1024, *lost)]) == 512
    assert longest_held([(128, *lost), (256, *lost)]) == 0


def test_the_head_is_cut_from_the_smallest_vocabulary_that_gains():
    won, tied = (around(1.0), around(2.0)), (around(1.1), around(1.0))
    assert smallest_won([(1024, *won), (2048, *won), (4096, *won)], 4096) == 1024
    assert smallest_won([(1024, *won), (2048, *tied), (4096, *tied)], 4096) == 4096
    assert smallest_won([(1024, *tied), (2048, *won), (4096, *won)], 4096) == 2048


def test_every_rival_is_timed_and_something_of_each_kind_is_chosen(monkeypatch):
    monkeypatch.setattr(tuning, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "_compiled_from", lambda *_: 77.0)  # seconds: a slow test's
    effort = Effort(
        repeats=2, lengths=(8, 16), query_blocks=(8, 128), vocab_sizes=(24, 32),
        head_rows=(8, 256), tokens=16, width=8,
    )  # fmt: skip
    said = []
    choice, timings = tune(CPU, effort, on_progress=said.append)
    assert choice.dtype in ("float32", "bfloat16")
    assert choice.float32.query_block in (8, 128)
    assert choice.candidates_per_device == 1
    assert choice.compiled_from_seconds == 77.0
    for dtype in ("float32", "bfloat16"):
        ways = {
            one.way for one in timings if one.what == "attention, 16 tokens" if one.dtype == dtype
        }
        assert ways == {"torch's own", "8 queries", "128 queries"}
    formats = {one.way for one in timings if one.what == "update by one thread"}
    assert formats == {"float32", "bfloat16"}
    assert all(0 < one.ms_low <= one.ms <= one.ms_high for one in timings)
    assert len(said) == len(set(said)) == 5


@pytest.mark.parametrize(
    ("compiled", "expected"),
    # a gain of a quarter earns 30 seconds back three times in 360
    [([0.75, 0.75, 0.75], 360.0), ([0.9, 1.0, 1.1], None), ([2.0, 2.0, 2.0], None)],
)
def test_compiling_must_be_earned_back(monkeypatch, compiled, expected):
    found = {"not compiled": [1.0, 1.0, 1.0], "compiled": compiled}
    monkeypatch.setattr(tuning, "_update", lambda *_: lambda: None)
    monkeypatch.setattr(tuning, "race", lambda calls, **_: found)
    timings = []
    seconds = tuning._compiled_from("float32", KernelChoice(), Effort(repeats=3), timings)
    assert seconds == (None if expected is None else pytest.approx(expected))
    assert {one.way for one in timings} == {"not compiled", "compiled"}


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    def update(device, dtype, choice, effort):
        def call():
            raise RuntimeError("no compiler")

        return call

    monkeypatch.setattr(tuning, "_update", update)
    assert tuning._compiled_from("float32", KernelChoice(), Effort(), []) is None


COMPILED = """
from archsmith.device.training_choice import KernelChoice
from archsmith.train.tuning import Effort, _compiled_from
effort = Effort(repeats=2, lengths=(16,), vocab_sizes=(32,), tokens=16, width=8)
timings = []
_compiled_from("float32", KernelChoice(), effort, timings)
print(",".join(one.way for one in timings))
"""


@pytest.mark.slow
def test_a_compiled_update_is_timed_beside_the_other(tmp_path):
    # in a process of its own: the checks that tests put into functions cannot be compiled
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "lru_cache" not in done.stderr
    expected = "" if shutil.which("g++") is None else "not compiled,compiled"
    assert done.stdout.strip() == expected


def test_a_long_training_is_compiled_and_a_resumed_one_stays_as_it_was(
    profile, tokens, recipe, tmp_path
):
    profile(choice=TrainingChoice(dtype="float32", float32=OTHER, compiled_from_seconds=100.0))
    compiled = OTHER.model_copy(update={"compile": "default"})
    known = {"recipe": recipe, "seed": 0, "tokens": tokens}
    assert Trunk.start(tiny(), **known).kernels == OTHER
    short = Trunk.start(tiny(), **known, seconds=99.0)
    assert short.kernels == OTHER
    assert Trunk.start(tiny(), **known, seconds=100.0).kernels == compiled
    short.save(tmp_path / "trunk")
    assert Trunk.load(tmp_path / "trunk", tokens=tokens).kernels == OTHER
    long = Trunk.load(tmp_path / "trunk", tokens=tokens, seconds=101.0)
    assert long.kernels == compiled
    long.save(tmp_path / "long")
    assert Trunk.load(tmp_path / "long", tokens=tokens).kernels == compiled
    profile(choice=TrainingChoice(dtype="float32"))
    assert Trunk.load(tmp_path / "trunk", tokens=tokens, seconds=1e9).kernels == OTHER


def test_training_follows_the_profile(profile):
    assert choose_kernels(torch.float32, CPU) == KernelChoice()
    profile()
    assert choose_dtype("auto", CPU) == torch.bfloat16
    assert choose_dtype("float32", CPU) == torch.float32
    assert choose_kernels(torch.float32, CPU) == OTHER
    assert choose_kernels(torch.bfloat16, CPU) == KernelChoice()
    assert lone_threads() == 1
    profile(choice=None)
    assert choose_kernels(torch.float32, CPU) == KernelChoice()


def test_a_profile_of_a_gpu_says_nothing_about_the_processor(profile):
    choice = TrainingChoice(dtype="bfloat16", float32=OTHER, candidates_per_device=7)
    assert candidates_side_by_side() == lone_threads() == num_usable_cores()
    profile(device="Abacus GPU", choice=choice)
    assert choose_kernels(torch.float32, CPU) == KernelChoice()
    assert candidates_side_by_side() == 7
    assert lone_threads() == num_usable_cores()


def test_a_profile_without_a_choice_still_loads(profile):
    path = profile()
    data = json.loads(path.read_text())
    del data["choice"], data["timings"]
    path.write_text(json.dumps(data))
    assert choose_kernels(torch.float32, CPU) == KernelChoice()


def test_a_foreign_profile_is_refused_where_it_is_named(profile, tokens, recipe):
    path = profile(environment=environment().model_copy(update={"processor": "Abacus 9000"}))
    with pytest.raises(ConfigError, match=r"device\.json.*Abacus 9000.*archsmith device probe"):
        Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens)
    path.write_text('{"device": "cpu"')
    with pytest.raises(ConfigError, match=r"device\.json"):
        Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens)


def test_a_trunk_keeps_the_choice_it_was_started_with(profile, tokens, recipe, tmp_path):
    path = profile()
    whole = Trunk.start(tiny(), recipe=recipe, seed=3, tokens=tokens)
    assert whole.kernels == OTHER
    whole.run(1500)
    part = Trunk.start(tiny(), recipe=recipe, seed=3, tokens=tokens)
    part.run(600)
    part.save(tmp_path / "trunk")
    path.unlink()
    resumed = Trunk.load(tmp_path / "trunk", tokens=tokens)
    assert resumed.kernels == OTHER
    resumed.run(1500)
    weights = zip(whole.model().parameters(), resumed.model().parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in weights)


def test_a_checkpoint_from_before_there_was_a_choice_is_read(tokens, recipe, tmp_path):
    trunk = Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens)
    trunk.run(300)
    trunk.save(tmp_path / "trunk")
    manifest = tmp_path / "trunk" / "manifest.json"
    data = json.loads(manifest.read_text())
    del data["kernels"]
    manifest.write_text(json.dumps(data))
    assert Trunk.load(tmp_path / "trunk", tokens=tokens).kernels == KernelChoice()


def test_every_choice_is_the_same_function():
    model = build(tiny(), seed=0)
    tokens = torch.randint(280, (3, 25), generator=torch.Generator().manual_seed(0))
    losses = []
    for choice in (KernelChoice(), OTHER, KernelChoice(longest_blocked=0)):
        losses.append(model.loss(tokens[:, :-1], tokens[:, 1:], fast_kernels(choice)))
    assert fast_kernels(KernelChoice()) is FAST
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=1e-6, atol=1e-6)


def test_what_is_compiled_is_the_same_function_and_kept_on_disk(monkeypatch):
    compiled = {}

    def record(function, **options):
        compiled[function] = options
        return function

    monkeypatch.setattr(torch, "compile", record)
    monkeypatch.setattr(torch.compiler, "disable", lambda function: function)  # imports for seconds
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    model = build(tiny(), seed=0)
    tokens = torch.randint(280, (3, 25), generator=torch.Generator().manual_seed(0))
    eager, fast = (
        computation.loss_of(model, KernelChoice(compile=mode)) for mode in ("no", "default")
    )
    assert list(compiled.values()) == [{"mode": "default", "dynamic": False}]
    assert computation.os.environ["TORCHINDUCTOR_CACHE_DIR"].endswith("compiled")
    found = [loss(tokens[:, :-1], tokens[:, 1:], routing=None) for loss in (eager, fast)]
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)
    assert math.isfinite(float(found[0].detach()))


def test_a_training_that_cannot_be_compiled_goes_on_without(tokens, recipe, monkeypatch):
    class InductorError(RuntimeError):
        pass

    InductorError.__module__ = "torch._inductor.exc"

    def failing(function, **options):
        def call(*inputs, **named):
            raise InductorError("file too short")

        return call

    plain = Trunk.start(tiny(), recipe=recipe, seed=1, tokens=tokens)
    plain.run(400)
    monkeypatch.setattr(torch, "compile", failing)
    monkeypatch.setattr(torch.compiler, "disable", lambda function: function)
    trunk = Trunk.start(tiny(), recipe=recipe, seed=1, tokens=tokens)
    trunk._learner = Learner(
        tiny(),
        recipe=recipe,
        seed=1,
        device=CPU,
        dtype=trunk.dtype,
        kernels=KernelChoice(compile="default"),
    )
    with pytest.warns(UserWarning, match="without compiling, which failed.*file too short"):
        trunk.run(400)
    weights = zip(plain.model().parameters(), trunk.model().parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in weights)

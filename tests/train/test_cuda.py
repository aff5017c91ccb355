import math

import pytest
import torch
from train_helpers import tiny

from archsmith.device.probe import probe
from archsmith.device.profile import PROFILE_VARIABLE
from archsmith.device.training_choice import KernelChoice
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build
from archsmith.train.computation import loss_of
from archsmith.train.precision import dtype_name
from archsmith.train.recipe import Recipe
from archsmith.train.trunk import Trunk
from archsmith.train.tuning import Effort, tune

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_fast_path_is_the_plain_function_on_the_device():
    model = build(tiny(), seed=0, device="cuda")
    tokens = torch.randint(280, (3, 25), device="cuda")
    found = []
    for kernels in (PLAIN, FAST):
        model.zero_grad()
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], kernels)
        loss.backward()
        found.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_a_trunk_learns_and_resumes_on_the_device(tokens, tmp_path):
    recipe = Recipe(batch_tokens=96)
    trunk = Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens, device="auto")
    trunk.run(2000)
    early = trunk.bits_per_byte
    trunk.save(tmp_path / "trunk")
    resumed = Trunk.load(tmp_path / "trunk", tokens=tokens)
    assert resumed.device.type == "cuda"
    assert resumed.dtype == torch.bfloat16
    resumed.run(20_000)
    assert math.isfinite(resumed.bits_per_byte)
    assert resumed.bits_per_byte < early


@pytest.mark.filterwarnings("ignore::UserWarning")  # the compiler remarks on cached tables
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_what_is_compiled_is_the_plain_function(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = build(tiny(), seed=0, device="cuda")
    tokens = torch.randint(280, (3, 25), device="cuda")
    loss = loss_of(model, KernelChoice(compile=mode))
    for _ in range(3):  # CUDA graphs are recorded in the second round and replayed in the third
        found = []
        for one in (model.loss, loss):
            model.zero_grad()
            nats = one(tokens[:, :-1], tokens[:, 1:])
            nats.backward()
            found.append([nats.detach(), *(p.grad.clone() for p in model.parameters())])
        for expected, actual in zip(*found, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)
    assert any(tmp_path.iterdir()), "what was compiled is kept for the next candidate"


def test_a_gpu_is_measured_and_its_choice_trains(tokens, tmp_path, monkeypatch):
    device = torch.device("cuda")
    effort = Effort(
        repeats=2, lengths=(16,), vocab_sizes=(24, 280), head_rows=(8, 256), tokens=64, width=32
    )
    choice, timings = tune(device, effort)
    assert choice.float32.longest_blocked == choice.bfloat16.longest_blocked == 0
    assert choice.candidates_per_device >= 1
    modes = {one.way for one in timings if one.what == "update, compiled or not"}
    assert modes == {"no", "default", "reduce-overhead"}
    found = probe(device, repeats=1, sizes=((64, 64, 64),), array_bytes=1 << 16)
    path = tmp_path / "device.json"
    path.write_text(found.model_copy(update={"choice": choice}).model_dump_json())
    monkeypatch.setenv(PROFILE_VARIABLE, str(path))
    recipe = Recipe(batch_tokens=96)
    trunk = Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens, device="cuda")
    assert trunk.kernels == choice.kernels(dtype_name(trunk.dtype))
    trunk.run(1000)
    assert math.isfinite(trunk.bits_per_byte)

import math

import pytest
import torch
from train_helpers import tiny

from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build
from archsmith.train.recipe import Recipe
from archsmith.train.trunk import Trunk

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

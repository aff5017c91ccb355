import pytest
import torch

from archsmith.train.optimizers import adamw, muon
from archsmith.train.optimizers.adamw import AdamW
from archsmith.train.optimizers.base import Target
from archsmith.train.optimizers.muon import Muon, orthogonalize


def target(*shape, rate=0.01, decay=0.0, name="w"):
    torch.manual_seed(0)
    return Target(name, torch.randn(shape), torch.zeros(shape), rate, decay)


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_is_torchs_adamw(monkeypatch, fused):
    if not fused:
        monkeypatch.setattr(adamw, "_FUSED", None)
    ours = target(7, 301, decay=0.01 * 0.1)
    theirs = ours.master.clone().requires_grad_()
    optimizer = AdamW([ours], betas=(0.9, 0.95), eps=1e-8)
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for number in range(4):
        ours.gradient.normal_()
        theirs.grad = ours.gradient.clone()
        optimizer.step(number=number, factor=1.0)
        reference.step()
    torch.testing.assert_close(ours.master, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_orthogonalize_keeps_directions_and_levels_their_sizes():
    torch.manual_seed(0)
    for shape in ((2, 12, 30), (2, 30, 12), (1, 16, 16)):
        matrices = torch.randn(shape)
        u, _, v = torch.linalg.svd(matrices, full_matrices=False)
        found = orthogonalize(matrices, dtype=torch.float32)
        sizes = torch.linalg.svdvals(found)
        assert sizes.max() < 1.3
        assert sizes.min() > 0.3
        # the same singular vectors: u^T found v is diagonal
        inner = u.mT @ found @ v.mT
        diagonal = torch.diag_embed(torch.diagonal(inner, dim1=1, dim2=2))
        torch.testing.assert_close(inner, diagonal, rtol=0, atol=1e-4)


def iterated(matrices, num_iterations):
    """Newton-Schulz as the post writes it, in float64."""
    a, b, c = muon._COEFFICIENTS
    x = matrices.double()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.float()


@pytest.mark.parametrize("num_iterations", [1, 2, 4])
@pytest.mark.parametrize("shape", [(3, 10, 27), (3, 27, 10), (2, 13, 15), (2, 15, 13), (1, 9, 9)])
def test_all_ways_to_iterate_are_the_same(shape, num_iterations):
    torch.manual_seed(1)
    matrices = 1e-4 * torch.randn(shape)
    found = orthogonalize(matrices, dtype=torch.float32, num_iterations=num_iterations)
    torch.testing.assert_close(found, iterated(matrices, num_iterations), rtol=0, atol=3e-6)


@pytest.mark.parametrize("shape", [(2, 11, 31), (2, 11, 12)])
def test_blocks_above_the_diagonal_are_enough(monkeypatch, shape):
    monkeypatch.setattr(muon, "_BLOCK", 4)
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    found = orthogonalize(matrices, dtype=torch.float32)
    torch.testing.assert_close(found, iterated(matrices, 4), rtol=0, atol=3e-6)


def test_nothing_learnt_moves_nothing():
    for shape in ((2, 5, 12), (2, 5, 5)):
        assert not orthogonalize(torch.zeros(shape), dtype=torch.float32).any()


def test_both_formats_move_alike():
    moved = []
    for dtype in (torch.float32, torch.bfloat16):
        one = target(3, 12, 20, rate=0.5, decay=0.01)
        one.gradient.copy_(torch.linspace(-1, 1, 720).view(3, 12, 20).sin())
        Muon([one], momentum=0.95, dtype=dtype).step(number=0, factor=0.5)
        moved.append(one.master)
    torch.testing.assert_close(moved[0], moved[1], rtol=0.05, atol=0.02)


def test_muon_moves_against_the_gradient_whatever_its_scale():
    moved = []
    for scale in (1.0, 1e-4):
        one = target(8, 12, rate=0.5)
        before = one.master.clone()
        one.gradient.copy_(torch.linspace(-1, 1, 96).view(8, 12).sin() * scale)
        Muon([one], momentum=0.95, dtype=torch.float32).step(number=0, factor=0.5)
        moved.append(one.master - before)
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-2, atol=1e-3)
    assert (moved[0] * one.gradient).sum() < 0


def test_state_holds_every_tensor_and_restores_the_next_step():
    def make():
        named = [target(8, 12, name="a"), target(8, 12, name="b"), target(4, 4, name="c")]
        return named, Muon(named, momentum=0.9, dtype=torch.float32)

    targets, muon = make()
    assert sorted(muon.state()) == ["a.momentum", "b.momentum", "c.momentum"]
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(8, 12, generator=generator) for _ in range(2)]
    targets[0].gradient.copy_(gradients[0])
    muon.step(number=0, factor=1.0)
    others, copy = make()
    for name, tensor in copy.state().items():
        tensor.copy_(muon.state()[name])
    for first, second in zip(targets, others, strict=True):
        second.master.copy_(first.master)
    for group, optimizer in ((targets, muon), (others, copy)):
        group[0].gradient.copy_(gradients[1])
        optimizer.step(number=1, factor=1.0)
    assert torch.equal(targets[0].master, others[0].master)

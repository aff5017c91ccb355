import pytest
import torch
from drawn_architectures import architectures, small
from hypothesis import given, settings

from archsmith.device.training_choice import KernelChoice
from archsmith.model.kernels import fast, plain
from archsmith.model.kernels.blocked_attention import BlockedAttention
from archsmith.model.kernels.fast import FAST, fast_kernels
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.kernels.stacked import stack
from archsmith.model.transformer import build


def gradients(model, tokens, kernels):
    model.zero_grad()
    loss = model.loss(tokens[:, :-1], tokens[:, 1:], kernels)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def perturbed(architecture):
    model = build(architecture, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model


@settings(max_examples=60, deadline=None)
@given(architecture=architectures)
def test_fast_path_is_the_plain_function_with_the_plain_gradient(architecture):
    torch.manual_seed(0)
    model = perturbed(architecture)
    tokens = torch.randint(architecture.vocab_size, (3, 12))
    plain_loss, plain_grads = gradients(model, tokens, PLAIN)
    fast_loss, fast_grads = gradients(model, tokens, FAST)
    torch.testing.assert_close(fast_loss, plain_loss, rtol=1e-5, atol=1e-6)
    scale = max(grad.abs().max() for grad in plain_grads.values())
    for name, expected in plain_grads.items():
        torch.testing.assert_close(
            fast_grads[name], expected, rtol=1e-4, atol=1e-5 * float(scale), msg=name
        )


@pytest.mark.parametrize("window", [None, 1, 40, 300])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (3, 1)])
def test_blocked_attention_is_plain_attention(heads, window):
    torch.manual_seed(0)
    num_heads, num_kv = heads
    q = torch.randn(2, num_heads, 291, 8, requires_grad=True)
    k, v = (torch.randn(2, num_kv, 291, 8, requires_grad=True) for _ in range(2))
    direction = torch.randn(q.shape)
    found = []
    for attend in (plain.attend, BlockedAttention.apply):
        out = attend(q, k, v, window, 0.3)
        found.append([out, *torch.autograd.grad((out * direction).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("query_block", [7, 64, 300])
@pytest.mark.parametrize("window", [None, 40])
def test_blocks_of_any_size_are_plain_attention(window, query_block):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 131, 8, requires_grad=True) for heads in (4, 2, 2))
    attend = fast_kernels(KernelChoice(query_block=query_block)).attend
    found = []
    for one in (plain.attend, attend):
        out = one(q, k, v, window, 0.3)
        found.append([out, *torch.autograd.grad(out.square().sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("longest", "blocked"), [(0, False), (130, False), (131, True)])
def test_attention_is_left_to_torch_where_the_device_chose_so(longest, blocked):
    q, k, v = (torch.randn(1, 1, 131, 2, requires_grad=True) for _ in range(3))
    out = fast_kernels(KernelChoice(longest_blocked=longest)).attend(q, k, v, None, 0.7)
    assert (type(out.grad_fn).__name__ == "BlockedAttentionBackward") == blocked


@pytest.mark.parametrize(("window", "blocked"), [(None, False), (900, False), (100, True)])
def test_long_texts_are_computed_by_blocks_where_a_window_keeps_them_small(window, blocked):
    q, k, v = (torch.randn(1, 1, 1500, 2, requires_grad=True) for _ in range(3))
    out = fast.attend(q, k, v, window, 0.7)
    assert (type(out.grad_fn).__name__ == "BlockedAttentionBackward") == blocked
    torch.testing.assert_close(out, plain.attend(q, k, v, window, 0.7), rtol=1e-4, atol=1e-5)


PHI_3_SMALL = {
    "feed_forward": {"type": "gated_mlp", "intermediate_size": 40, "activation": "gegelu"}
    | {"activation_limit": 20.0},  # near a limit, rounding decides what learns
    "embedding_multiplier": 10.0,
    "logits_scaling": 8.0,
    "rope": {
        "long_rope": {
            "original_max_position_embeddings": 16,
            "short_factor": (1.0, 1.1, 1.2, 1.3),
            "long_factor": (1.0, 2.0, 4.0, 8.0),
        }
    },
    "qk_norm": True,
    "qk_norm_over": "all_heads",
}


@pytest.mark.parametrize("changes", [{}, PHI_3_SMALL], ids=["llama", "phi-3-small"])
def test_bfloat16_training_follows_float32_to_its_rounding(changes):
    torch.manual_seed(0)
    architecture = small(**changes)
    model = perturbed(architecture)
    tokens = torch.randint(architecture.vocab_size, (2, 33))
    exact_loss, exact = gradients(model, tokens, PLAIN)
    loss, rounded = gradients(build_like(model, torch.bfloat16), tokens, FAST)
    assert loss.dtype == torch.float32
    assert abs(float(loss - exact_loss)) < 0.02 * float(exact_loss)
    for name, expected in exact.items():
        error = (rounded[name].float() - expected).norm() / expected.norm()
        assert error < 0.1, name  # a bfloat16 keeps 8 bits; a gradient is a product of many


def build_like(model, dtype):
    other = build(model.architecture, seed=None, dtype=dtype)
    with torch.no_grad():
        for target, source in zip(other.parameters(), model.parameters(), strict=True):
            target.copy_(source)
    return other


def test_head_in_chunks_is_the_plain_head():
    chunked = fast_kernels(KernelChoice(head_rows=7, head_rows_from=1)).head_loss
    torch.manual_seed(0)
    hidden = torch.randn(23, 12, requires_grad=True)
    weight, bias = torch.randn(31, 12, requires_grad=True), torch.randn(31, requires_grad=True)
    targets = torch.randint(31, (23,))
    found = []
    for head_loss in (plain.head_loss, chunked):
        loss = head_loss(hidden, weight, bias, targets)
        # a factor checks that the incoming gradient is used
        found.append([loss, *torch.autograd.grad(3 * loss, (hidden, weight, bias))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(chunked(hidden, weight, bias, targets), found[0][0])


def test_neighbours_in_memory_are_stacked_without_a_copy():
    buffer = torch.arange(20.0)
    first, second = buffer[4:10].view(3, 2), buffer[10:14].view(2, 2)
    joined = stack([first, second])
    assert torch.equal(joined, torch.cat([first, second]))
    assert joined.data_ptr() == first.data_ptr()
    swapped = stack([second, first])
    assert torch.equal(swapped, torch.cat([second, first]))
    assert swapped.data_ptr() != second.data_ptr()

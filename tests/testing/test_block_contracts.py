"""Every registered mixer and feed-forward block keeps its contract; broken ones are caught."""

import pytest
import torch

from archsmith import registry
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.model.feed_forwards.gated_mlp import GatedMlpModule
from archsmith.model.kernels.fast import FAST
from archsmith.model.mixers.attention import AttentionModule
from archsmith.testing.blocks import filled
from archsmith.testing.feed_forward import FeedForwardContract
from archsmith.testing.mixer import MixerContract

LONG_ROPE = {
    "original_max_position_embeddings": 9,
    "short_factor": (1.0, 1.3, 2.0),
    "long_factor": (1.5, 4.0, 9.0),
}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}

# a part's type -> settings that reach its branches; a new part needs a row
SAMPLES = {
    "attention": (
        HEADS,
        {**HEADS, "qk_norm": True, "qkv_bias": True, "output_bias": True, "sliding_window": 5},
        {**HEADS, "qk_norm": True, "qk_norm_over": "all_heads", "attention_multiplier": 0.2},
        {**HEADS, "head_dim": 5, "rope": None, "sliding_window": 1},
        {**HEADS, "rope": {"long_rope": LONG_ROPE}, "sliding_window": 24},
    ),
    "block_sparse_attention": (
        {**HEADS, "block_size": 3, "num_local_blocks": 2, "vertical_stride": 3},
        {**HEADS, "block_size": 2, "num_local_blocks": 1, "rope": {"long_rope": LONG_ROPE}},
    ),
    "gated_mlp": (
        {"intermediate_size": 20},
        {"intermediate_size": 7, "activation": "gelu_tanh", "bias": True},
        {"intermediate_size": 7, "activation": "gegelu", "activation_limit": 0.7, "bias": True},
    ),
    "mlp": (
        {"intermediate_size": 20},
        {"intermediate_size": 7, "activation": "relu2", "bias": False},
    ),
    "mixture_of_experts": (
        {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 6},
        {
            "num_experts": 3,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 7,
            "norm_topk_prob": False,
            "shared_expert_intermediate_size": 9,
            "shared_expert_gate": True,
        },
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6}
        | {"router": "sparsemixer"},
        {"num_experts": 4, "num_experts_per_tok": 3, "moe_intermediate_size": 6}
        | {"router": "sigmoid"},
    ),
}


def samples(specs, modules):
    """Every sample of the parts that have a module."""
    return [
        pytest.param(registry.find(specs, name)(**settings), id=f"{name}-{number}")
        for name in registry.names(modules)
        for number, settings in enumerate(SAMPLES[name])
    ]


class TestRegisteredMixers(MixerContract):
    @pytest.fixture(params=samples("mixers", "mixer_modules"))
    def spec(self, request):
        return request.param


class TestRegisteredFeedForwards(FeedForwardContract):
    @pytest.fixture(params=samples("feed_forwards", "feed_forward_modules"))
    def spec(self, request):
        return request.param


class Peeking(AttentionModule):
    """Sees one position of the future."""

    def forward(self, x, *, kernels, start, memory):
        return super().forward(x, kernels=kernels, start=start, memory=memory) + x.roll(-1, dims=1)


class Forgetful(AttentionModule):
    """Takes every continuation for a beginning."""

    def forward(self, x, *, kernels, start, memory):
        return super().forward(x, kernels=kernels, start=0, memory=memory)


class Careless(AttentionModule):
    """Its fast path is another function."""

    def forward(self, x, *, kernels, start, memory):
        mixed = super().forward(x, kernels=kernels, start=start, memory=memory)
        return mixed * 1.001 if kernels is FAST else mixed


class Idle(AttentionModule):
    """Has a weight that takes part in nothing."""

    def __init__(self, spec, *arguments):
        super().__init__(spec, *arguments)
        self.scale = torch.nn.Parameter(torch.ones(3))


class Averaging(GatedMlpModule):
    """Mixes positions, which is not its office."""

    def forward(self, x, *, kernels):
        return super().forward(x, kernels=kernels) + x.mean(dim=1, keepdim=True)


MIXER = Attention(**HEADS)


def built(module_class, spec, *arguments):
    with torch.device("meta"):
        module = module_class(spec, 12, *arguments)
    return filled(module.eval(), seed=1)


@pytest.mark.parametrize(
    ("module_class", "check", "arguments"),
    [
        (Peeking, "test_no_position_sees_the_future", ()),
        (Forgetful, "test_a_continued_text_is_computed_as_a_whole_one", (5,)),
        (Careless, "test_the_fast_path_is_the_plain_one_with_its_gradients", ()),
        (Idle, "test_every_weight_learns_from_finite_gradients", ()),
    ],
)
def test_a_mixer_that_breaks_its_promise_is_caught(module_class, check, arguments):
    for module, holds in ((AttentionModule, True), (module_class, False)):
        test = getattr(MixerContract(), check)
        broken = built(module, MIXER, Norm(), 32)
        if holds:
            test(broken, *arguments)
        else:
            with pytest.raises(AssertionError):
                test(broken, *arguments)


def test_a_feed_forward_that_mixes_positions_is_caught():
    spec = GatedMlp(intermediate_size=7)
    FeedForwardContract().test_positions_do_not_meet(built(GatedMlpModule, spec))
    with pytest.raises(AssertionError):
        FeedForwardContract().test_positions_do_not_meet(built(Averaging, spec))


class Shrunken(Attention):
    def num_params(self, hidden_size):
        return super().num_params(hidden_size) - 1

    def cache_elements(self, context_length):
        return self.key_value_size * context_length


def test_formulas_that_miscount_are_caught():
    contract, spec = MixerContract(), Shrunken(**HEADS)
    with pytest.raises(AssertionError):
        contract.test_the_formula_counts_the_parameters(spec)
    with pytest.raises(AssertionError):
        contract.test_the_formula_counts_the_memory(spec, built(AttentionModule, MIXER, Norm(), 32))

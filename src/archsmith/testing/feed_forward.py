"""The contract of a feed-forward block: subclass `FeedForwardContract`, give it a `spec`."""

from typing import ClassVar

import pytest
import torch

from archsmith import registry
from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.model.feed_forwards.base import FeedForwardModule
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.testing.blocks import assert_fast_is_plain, assert_trainable, draw, filled


class FeedForwardContract:
    """Formulas equal the built module, the fast path is the plain one, positions never meet.

        class TestMine(FeedForwardContract):
            spec = pytest.fixture(lambda self: Mine(...))

    The module is found by the spec's `type`, among ours or by its entry point. What training adds
    at random is switched off, but where gradients are looked at.
    """

    hidden_size: ClassVar[int] = 12
    num_tokens: ClassVar[int] = 23

    @pytest.fixture
    def spec(self) -> FeedForward:
        """The block under test."""
        raise NotImplementedError("give the class a fixture named 'spec'")

    @pytest.fixture
    def module(self, spec: FeedForward) -> FeedForwardModule:
        """Its module, with random weights."""
        return filled(self.build(spec), seed=1)

    def build(self, spec: FeedForward) -> FeedForwardModule:
        """The module on the meta device."""
        with torch.device("meta"):
            module: FeedForwardModule = registry.find("feed_forward_modules", spec.type)(
                spec, self.hidden_size
            )
        return module.eval()

    def test_the_formula_counts_the_parameters(self, spec: FeedForward) -> None:
        built = sum(parameter.numel() for parameter in self.build(spec).parameters())
        assert spec.num_params(self.hidden_size) == built
        active = spec.num_active_params(self.hidden_size)
        assert spec.matmul_params(self.hidden_size) <= active <= built

    def test_the_fast_path_is_the_plain_one_with_its_gradients(
        self, module: FeedForwardModule
    ) -> None:
        assert_fast_is_plain(module, draw(2, self.num_tokens, self.hidden_size))

    def test_every_weight_learns_from_finite_gradients(self, module: FeedForwardModule) -> None:
        assert_trainable(module, draw(2, self.num_tokens, self.hidden_size))

    def test_positions_do_not_meet(self, module: FeedForwardModule) -> None:
        x = draw(2, self.num_tokens, self.hidden_size)
        for kernels in (PLAIN, FAST):
            together = module(x, kernels=kernels)
            for position in range(0, self.num_tokens, 5):
                alone = module(x[:, position : position + 1], kernels=kernels)
                expected = together[:, position : position + 1]
                torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)

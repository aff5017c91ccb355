"""The contract of a mixer: subclass `MixerContract` and give it a `spec` fixture."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from archsmith import registry
from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.norm import Norm
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.mixers.base import Memory, MixerModule
from archsmith.testing.blocks import assert_fast_is_plain, assert_trainable, draw, filled


class MixerContract:
    """Formulas equal the built module, the fast path is the plain one, decoding equals reading.

        class TestMine(MixerContract):
            spec = pytest.fixture(lambda self: Mine(...))

    The module is found by the spec's `type`, among ours or by its entry point.

    Attributes:
        hidden_size, num_tokens, max_position_embeddings: of the texts tried. Longer texts than a
            window, a block or a switch length of the spec reach more of the module.
    """

    hidden_size: ClassVar[int] = 12
    num_tokens: ClassVar[int] = 23
    max_position_embeddings: ClassVar[int] = 32

    @pytest.fixture
    def spec(self) -> Mixer:
        """The mixer under test."""
        raise NotImplementedError("give the class a fixture named 'spec'")

    @pytest.fixture
    def module(self, spec: Mixer) -> MixerModule:
        """Its module, with random weights."""
        return filled(self.build(spec), seed=1)

    def build(self, spec: Mixer) -> MixerModule:
        """The module on the meta device."""
        with torch.device("meta"):
            module: MixerModule = registry.find("mixer_modules", spec.type)(
                spec, self.hidden_size, Norm(), self.max_position_embeddings
            )
        return module.eval()

    def test_the_formula_counts_the_parameters(self, spec: Mixer) -> None:
        built = sum(parameter.numel() for parameter in self.build(spec).parameters())
        assert spec.num_params(self.hidden_size) == built
        assert spec.matmul_params(self.hidden_size) <= built

    def test_the_formula_counts_the_memory(self, spec: Mixer, module: MixerModule) -> None:
        for num_tokens in (1, self.num_tokens):
            memory: Memory = {}
            module(draw(1, num_tokens, self.hidden_size), kernels=PLAIN, start=0, memory=memory)
            held = sum(tensor.numel() for tensor in memory.values())
            assert spec.cache_elements(num_tokens) == held

    def test_the_fast_path_is_the_plain_one_with_its_gradients(self, module: MixerModule) -> None:
        x = draw(2, self.num_tokens, self.hidden_size)
        assert_fast_is_plain(module, x, start=0, memory=None)

    def test_every_weight_learns_from_finite_gradients(self, module: MixerModule) -> None:
        assert_trainable(module, draw(2, self.num_tokens, self.hidden_size), start=0, memory=None)

    def test_no_position_sees_the_future(self, module: MixerModule) -> None:
        x = draw(2, self.num_tokens, self.hidden_size)
        for changed in range(1, self.num_tokens, 5):
            other = x.clone()
            other[:, changed:] = draw(2, self.num_tokens - changed, self.hidden_size, seed=7)
            for kernels in (PLAIN, FAST):
                before, after = (
                    module(text, kernels=kernels, start=0, memory=None)[:, :changed]
                    for text in (x, other)
                )
                torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("first", [1, 12])
    def test_a_continued_text_is_computed_as_a_whole_one(
        self, module: MixerModule, first: int
    ) -> None:
        x = draw(2, self.num_tokens, self.hidden_size)
        stops = [first, first + 4, *range(first + 5, self.num_tokens + 1)]
        memory: Memory = {}
        for start, stop in zip([0, *stops], stops, strict=False):
            piece = self._continue(module, x[:, :stop], start, memory)
            whole = module(x[:, :stop], kernels=PLAIN, start=0, memory=None)[:, start:]
            torch.testing.assert_close(piece, whole, rtol=1e-4, atol=1e-5)

    def test_sequences_of_a_batch_do_not_meet(self, module: MixerModule) -> None:
        x = draw(3, self.num_tokens, self.hidden_size)
        together = module(x, kernels=FAST, start=0, memory=None)
        for row in range(3):
            alone = module(x[row : row + 1], kernels=FAST, start=0, memory=None)
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)

    @staticmethod
    def _continue(module: MixerModule, text: Tensor, start: int, memory: Memory) -> Tensor:
        """The module's step from `start` on; beyond its switch length from an empty memory."""
        switch = module.switch_length
        if switch is not None and start <= switch < text.shape[1]:
            memory.clear()
            whole: Tensor = module(text, kernels=PLAIN, start=0, memory=memory)
            return whole[:, start:]
        piece: Tensor = module(text[:, start:], kernels=PLAIN, start=start, memory=memory)
        return piece

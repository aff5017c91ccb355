"""The contract of a cost model: subclass `CostContract` and give it a `model` fixture."""

import math
import random

import pytest

from archsmith.cost.base import CostContext, CostModel
from archsmith.space import presets
from archsmith.trial import METRICS, Limit


class CostContract:
    """A cost model is a known metric, finite, repeatable, never smaller for a deeper network.

    class TestMine(CostContract):
        model = pytest.fixture(lambda self: PART)
    """

    @pytest.fixture
    def model(self) -> CostModel:
        """The cost model under test."""
        raise NotImplementedError("give the class a fixture named 'model'")

    def test_the_metric_is_known_and_can_be_limited(self, model: CostModel) -> None:
        assert model.metric in METRICS
        assert Limit.parse(f"{model.metric} <= 1000").value > 0

    def test_the_estimate_is_finite_and_not_negative(self, model: CostModel) -> None:
        space, rng = presets.tiny(), random.Random(0)
        for _ in range(30):
            value = model.estimate(space.sample(rng), CostContext())
            assert math.isfinite(value)
            assert value >= 0

    def test_the_same_question_has_the_same_answer(self, model: CostModel) -> None:
        point = presets.tiny().sample(random.Random(1))
        context = CostContext(tokenizer_bytes=lambda vocab_size: 9 * vocab_size)
        assert model.estimate(point, context) == model.estimate(point, context)

    def test_a_deeper_network_costs_no_less(self, model: CostModel) -> None:
        space, rng = presets.tiny(), random.Random(2)
        for _ in range(20):
            point = space.sample(rng)
            deeper = point.model_copy(update={"layers": (*point.layers, point.layers[0])})
            context = CostContext(context_length=64)
            assert model.estimate(deeper, context) >= model.estimate(point, context)

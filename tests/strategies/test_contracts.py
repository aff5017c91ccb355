"""Every strategy against the contract it promises."""

import pytest

from archsmith import registry
from archsmith.strategies.nsga2 import Nsga2
from archsmith.strategies.regularized_evolution import RegularizedEvolution
from archsmith.testing.strategy import StrategyContract


@pytest.mark.parametrize("name", ["random", "parameter_maximizer", "llama_shape", "phi3_shape"])
class TestOneShot(StrategyContract):
    @pytest.fixture
    def strategy(self, name):
        return registry.find("strategies", name)()


class TestRegularizedEvolution(StrategyContract):
    beats_random = True
    strategy = pytest.fixture(lambda self: RegularizedEvolution(population_size=16, sample_size=6))


class TestNsga2(StrategyContract):
    beats_random = True
    strategy = pytest.fixture(lambda self: Nsga2(population_size=16))

import numpy as np
import pytest
from export_helpers import CARRIED, llama, make, phi

from archsmith.export.shapes import canonical_shapes
from archsmith.model.transformer import build


@pytest.mark.parametrize(
    "architecture",
    [*(make() for make in CARRIED.values()), make(feed_forward={"type": "mlp", "bias": False})],
    ids=lambda architecture: architecture.summary(),
)
def test_shapes_are_those_of_the_built_module(architecture):
    built = build(architecture, seed=None, device="meta")
    expected = {name: tuple(p.shape) for name, p in built.named_parameters()}
    assert canonical_shapes(architecture) == expected


@pytest.mark.parametrize("architecture", [llama(), phi()])
def test_shapes_count_the_parameters(architecture):
    count = sum(int(np.prod(shape)) for shape in canonical_shapes(architecture).values())
    assert count == architecture.num_params

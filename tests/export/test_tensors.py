import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.export.tensors import TensorPlan, deinterleave, interleave


@given(heads=st.integers(1, 5), half=st.integers(1, 4), width=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_interleaving_can_be_undone(heads, half, width):
    shape = (heads * 2 * half, width) if width else (heads * 2 * half,)
    rows = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert np.array_equal(deinterleave(interleave(rows, heads), heads), rows)


def test_interleaving_puts_partners_side_by_side():
    rows = np.array([0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112], dtype=np.float32)
    assert interleave(rows, 2).tolist() == [0, 10, 1, 11, 2, 12, 100, 110, 101, 111, 102, 112]


def test_joined_parts_come_apart_again():
    weights = {
        "q": np.arange(8, dtype=np.float32).reshape(4, 2),
        "k": np.ones((2, 2), dtype=np.float32),
    }
    plan = TensorPlan("qk", (6, 2), ("q", "k"), interleaved_heads=3)
    shapes = {name: value.shape for name, value in weights.items()}
    found = plan.disassemble(plan.assemble(weights), shapes)
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_a_constant_needs_no_weights():
    assert TensorPlan("sinks", (3,), fill=-2.0).assemble({}).tolist() == [-2.0, -2.0, -2.0]

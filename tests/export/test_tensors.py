import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.export.tensors import Stretch, TensorPlan, deinterleave, interleave


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


@given(
    axis=st.integers(0, 1),
    groups=st.integers(1, 3),
    run=st.integers(1, 3),
    times=st.integers(1, 3),
    by=st.sampled_from(["zeros", "copies"]),
)
@settings(max_examples=40, deadline=None)
def test_a_stretched_axis_shrinks_to_what_it_was(axis, groups, run, times, by):
    shape = [4, 4]
    shape[axis] = groups * run
    weights = {"x": np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)}
    stretch = Stretch(axis, groups, groups * run * times, by)
    plan = TensorPlan("x", tuple(shape), ("x",)).stretched(stretch)
    data = plan.assemble(weights)
    assert data.shape == plan.shape
    assert plan.shape[axis] == groups * run * times
    found = plan.disassemble(data, {"x": tuple(shape)})["x"]
    assert np.array_equal(found, weights["x"])


def test_zeros_stand_behind_each_group_and_copies_beside_it():
    weights = {"x": np.array([[1.0, 2.0, 3.0, 4.0]], dtype=np.float32)}
    plan = TensorPlan("x", (1, 4), ("x",))
    zeros = plan.stretched(Stretch(1, 2, 6)).assemble(weights)
    assert zeros.tolist() == [[1, 2, 0, 3, 4, 0]]
    copies = plan.stretched(Stretch(1, 2, 8, by="copies")).assemble(weights)
    assert copies.tolist() == [[1, 2, 1, 2, 3, 4, 3, 4]]


def test_a_stretched_constant_has_the_longer_shape():
    plan = TensorPlan("bias", (4,), fill=0.5).stretched(Stretch(0, 2, 6))
    assert plan.assemble({}).tolist() == [0.5] * 6


def test_a_tensor_may_hold_one_expert_of_a_stack():
    stack = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    plan = TensorPlan("w1", (2, 4), ("experts",), expert=1)
    data = plan.assemble({"experts": stack})
    assert np.array_equal(data, stack[1])
    assert np.array_equal(plan.disassemble(data, {"experts": (3, 2, 4)})["experts"], stack[1])


def test_a_gate_of_one_output_becomes_a_vector_and_back():
    weights = {"gate": np.arange(5, dtype=np.float32).reshape(1, 5)}
    plan = TensorPlan("gate", (5,), ("gate",))
    data = plan.assemble(weights)
    assert data.shape == (5,)
    assert plan.disassemble(data, {"gate": (1, 5)})["gate"].shape == (1, 5)


def test_values_of_a_constant_may_be_given_one_by_one():
    assert TensorPlan("factors", (2,), values=(1.0, 2.5)).assemble({}).tolist() == [1.0, 2.5]

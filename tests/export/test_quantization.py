import pytest

from archsmith.export.quantization import fitting_type, matrix_type, more_bits


def test_outer_layers_and_every_third_between_get_more_bits():
    assert [i for i in range(16) if more_bits(i, 16)] == [0, 1, 4, 7, 10, 13, 14, 15]
    assert [i for i in range(4) if more_bits(i, 4)] == [2, 3]


@pytest.mark.parametrize(
    ("wanted", "width", "expected"),
    [
        ("Q4_K", 512, "Q4_K"),
        ("Q4_K", 96, "Q5_0"),
        ("Q5_K", 96, "Q5_1"),
        ("Q6_K", 96, "Q8_0"),
        ("Q4_K", 90, "F16"),
        ("Q8_0", 48, "F16"),
        ("Q4_0", 48, "F16"),
    ],
)
def test_rows_that_blocks_do_not_divide_fall_back(wanted, width, expected):
    assert fitting_type(wanted, width) == expected


@pytest.mark.parametrize(
    ("role", "quantization", "options", "expected"),
    [
        ("attn_q", "Q4_K_M", {"more": True}, "Q4_K"),
        ("attn_v", "Q4_K_M", {"more": False}, "Q4_K"),
        ("attn_v", "Q4_K_M", {"more": True}, "Q6_K"),
        ("ffn_down", "Q5_K_M", {"more": True}, "Q6_K"),
        ("ffn_down", "Q6_K", {"more": True}, "Q6_K"),
        ("ffn_down", "Q4_0", {"more": True}, "Q4_0"),
        ("attn_qkv", "Q4_K_M", {}, "Q5_K"),
        ("attn_qkv", "Q5_K_M", {}, "Q6_K"),
        ("output", "Q4_K_M", {}, "Q6_K"),
        ("output", "Q4_0", {}, "Q6_K"),
        ("output", "Q8_0", {}, "Q8_0"),
        ("token_embd", "Q4_K_M", {"tied": True}, "Q6_K"),
        ("token_embd", "Q4_K_M", {"tied": False}, "Q4_K"),
        ("output", "F16", {}, "F16"),
        ("attn_q", "F32", {}, "F32"),
        ("ffn_gate_inp", "Q4_0", {}, "F32"),
        ("ffn_gate_inp", "F16", {}, "F32"),
        ("ffn_down_exps", "Q4_K_M", {"more": True}, "Q6_K"),
        ("ffn_down_exps", "Q4_K_M", {"more": False}, "Q4_K"),
        ("ffn_up_exps", "Q5_K_M", {"more": True}, "Q5_K"),
        ("ffn_down_shexp", "Q5_K_M", {"more": True}, "Q6_K"),
        ("attn_v", "Q4_K_M", {"num_experts": 8}, "Q8_0"),
        ("attn_k", "Q4_0", {"num_experts": 8}, "Q8_0"),
        ("attn_k", "Q4_0", {"num_experts": 16}, "Q4_0"),
        ("attn_output", "Q4_K_M", {"num_experts": 8}, "Q5_K"),
        ("attn_output", "Q6_K", {"num_experts": 8}, "Q6_K"),
    ],
)
def test_matrices_get_the_types_of_llama_quantize(role, quantization, options, expected):
    assert matrix_type(role, 512, quantization, **options) == expected


def test_a_narrow_head_gets_eight_bits():
    assert matrix_type("output", 96, "Q4_K_M") == "Q8_0"
    assert matrix_type("output", 96, "Q4_0") == "Q8_0"  # Q6_K's blocks do not divide it

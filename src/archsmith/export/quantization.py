"""Which GGML type each tensor of a file gets, and what its rows take; imports no torch, no gguf.

The rules are those of llama.cpp's `llama-quantize` without an importance matrix (llama-quant.cpp
of github.com/ggml-org/llama.cpp): vectors and routers stay float32; `_M` mixes give more to values
and down projections of the outer layers, an expert's as a dense block's; the output head, or a tied
embedding, gets Q6_K at least; with exactly eight experts keys and values are Q8_0, since the
experts outweigh them; a row that a type's blocks do not divide falls back to a type they do.
"""

from functools import lru_cache
from typing import NamedTuple


class GgmlType(NamedTuple):
    """A storage type: its number in ggml.h, values per block, bytes per block."""

    id: int
    block_size: int
    block_bytes: int

    def row_bytes(self, width: int) -> int:
        """Bytes of a row of `width` values; whole blocks only."""
        return width // self.block_size * self.block_bytes


GGML_TYPES = {
    "F32": GgmlType(0, 1, 4),
    "F16": GgmlType(1, 1, 2),
    "Q4_0": GgmlType(2, 32, 18),
    "Q5_0": GgmlType(6, 32, 22),
    "Q5_1": GgmlType(7, 32, 24),
    "Q8_0": GgmlType(8, 32, 34),
    "Q4_K": GgmlType(12, 256, 144),
    "Q5_K": GgmlType(13, 256, 176),
    "Q6_K": GgmlType(14, 256, 210),
}

# file quantization -> (type of most matrices, llama_ftype of llama.h, written as general.file_type)
FILE_TYPES = {
    "F32": ("F32", 0),
    "F16": ("F16", 1),
    "Q4_0": ("Q4_0", 2),
    "Q8_0": ("Q8_0", 7),
    "Q4_K_M": ("Q4_K", 15),
    "Q5_K_M": ("Q5_K", 17),
    "Q6_K": ("Q6_K", 18),
}
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}


def more_bits(layer: int, num_layers: int) -> bool:
    """Whether a `_M` mix spends more on this layer: the outer eighths, and every third between."""
    first = num_layers // 8
    return layer < first or layer >= 7 * num_layers // 8 or (layer - first) % 3 == 2


@lru_cache(maxsize=4096)
def matrix_type(
    role: str,
    width: int,
    quantization: str,
    *,
    tied: bool = False,
    more: bool = False,
    num_experts: int = 0,
) -> str:
    """The GGML type of a matrix, or of a stack of them, with rows of `width` values.

    Args:
        role: the GGUF name without layer and `.weight`: token_embd, output, attn_q, ffn_down, …
        tied: whether the embedding table is the output head too.
        more: `more_bits` of the matrix's layer.
        num_experts: of the network; 0 without experts.
    """
    if role == "ffn_gate_inp":  # the router: small, and a wrong choice costs a whole expert
        return "F32"
    base = FILE_TYPES[quantization][0]
    if base in ("F32", "F16"):
        return base
    wanted = base
    if role == "output" or (role == "token_embd" and tied):
        if width % GGML_TYPES[base].block_size:
            wanted = "Q8_0"
        elif base != "Q8_0":
            wanted = "Q6_K"
    elif num_experts == 8 and role in ("attn_k", "attn_v"):
        wanted = "Q8_0"
    elif num_experts == 8 and role == "attn_output":
        wanted = "Q5_K" if quantization == "Q4_K_M" else base
    elif role in ("attn_v", "ffn_down", "ffn_down_exps", "ffn_down_shexp"):
        if quantization in ("Q4_K_M", "Q5_K_M") and more:
            wanted = "Q6_K"
    elif role == "attn_qkv":
        wanted = {"Q4_K_M": "Q5_K", "Q5_K_M": "Q6_K"}.get(quantization, base)
    return fitting_type(wanted, width)


def fitting_type(wanted: str, width: int) -> str:
    """`wanted`, or the type llama.cpp falls back to where its blocks do not divide `width`."""
    if width % GGML_TYPES[wanted].block_size:
        wanted = _FALLBACK.get(wanted, "F16")
    if width % GGML_TYPES[wanted].block_size:
        wanted = "F16"
    return wanted

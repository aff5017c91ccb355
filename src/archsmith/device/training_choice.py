"""How training computes on one device: the one place that says so.

The defaults hold where a machine was not measured; `archsmith device probe` measures them and keeps
what it finds in the machine's profile. A choice changes the order of additions and nothing else:
the model stays one model, and a trunk keeps the choice that it was started with.
"""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from archsmith.config import Spec

NumberFormat = Literal["float32", "bfloat16"]
CompileMode = Literal["no", "default", "reduce-overhead"]


class KernelChoice(Spec):
    """Kernels in one number format.

    Attributes:
        query_block: queries that attention computes at a time.
        longest_blocked: tokens up to which attention is computed by blocks of queries, beyond them
            torch's scaled_dot_product_attention computes it; 0 leaves all to torch. Blocks keep
            their softmax for the backward pass, hence an end.
        head_rows: rows of logits that the head makes at a time.
        head_rows_from: vocabulary from which it does; a smaller one is cut into larger pieces.
        compile: torch.compile's mode, on GPUs and for long trainings; `reduce-overhead` records
            CUDA graphs.
    """

    query_block: PositiveInt = 128
    longest_blocked: NonNegativeInt = 1024
    head_rows: PositiveInt = 256
    head_rows_from: PositiveInt = 4096
    compile: CompileMode = "no"


class TrainingChoice(Spec):
    """All choices of one device.

    Attributes:
        dtype: what a recipe's `auto` means.
        float32, bfloat16: kernels in that format.
        lone_threads: threads for a training that has the machine to itself.
        candidates_per_device: trainings side by side on one GPU.
        compiled_from_seconds: how long a training on a processor must last for compiling its model
            to pay, which takes a while and only then gains; None where it gains nothing, no
            compiler was found, or nobody measured.
    """

    dtype: NumberFormat
    float32: KernelChoice = KernelChoice()
    bfloat16: KernelChoice = KernelChoice()
    lone_threads: PositiveInt = 1
    candidates_per_device: PositiveInt = 1
    compiled_from_seconds: PositiveFloat | None = None

    def kernels(self, dtype: NumberFormat) -> KernelChoice:
        """Kernels in a number format."""
        return self.float32 if dtype == "float32" else self.bfloat16


class KernelTiming(Spec):
    """Milliseconds of one way to compute something, the median with its quartiles.

    Attributes:
        what: is computed, forward and backward; ways of one `what` and `dtype` are rivals.
        dtype: None where the number formats are the rivals.
        way: how, as in `128 queries`.
    """

    what: str
    dtype: NumberFormat | None
    way: str
    ms: float
    ms_low: float
    ms_high: float
    repeats: int

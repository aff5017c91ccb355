"""Measure a device's ceilings: matrix products as training makes them, and memory bandwidth.

One thread is timed by the CPU's clock, which a neighbour on the machine cannot stretch; several
threads and GPUs by the wall clock. Sizes and formats take turns, so that a slow moment does not
fall on one of them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import torch

from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.profile import BandwidthCeiling, DeviceProfile, ProductCeiling
from archsmith.device.spread import quartiles

# (rows, inner, columns): tokens of an update, width, feed-forward width
CPU_SIZES = ((1024, 128, 512), (1024, 256, 1024), (1024, 512, 2048), (2048, 1024, 1024))
GPU_SIZES = ((8192, 256, 1024), (8192, 1024, 4096), (16384, 4096, 4096))
ARRAY_BYTES = 1 << 27  # beyond the last cache of nearly every processor
_LEAST_SECONDS = 0.004  # of one timing, far above the clock's grain


def probe(
    device: torch.device,
    *,
    repeats: int = 7,
    sizes: Sequence[tuple[int, int, int]] | None = None,
    threads: Sequence[int] | None = None,
    array_bytes: int = ARRAY_BYTES,
    on_progress: Callable[[str, float], None] = lambda what, fraction: None,
) -> DeviceProfile:
    """Measure a device; a few seconds.

    Args:
        repeats: timings of each size, number format and number of threads; medians are kept.
        sizes: of the products, as (rows, inner, columns).
        threads: numbers of threads to measure with; one and all cores, on a GPU one.
        array_bytes: of each of the three arrays whose sum is timed.
    """
    assert repeats >= 1
    cuda = device.type == "cuda"
    threads = threads or ([1] if cuda else sorted({1, num_usable_cores()}))
    sizes = sizes or (GPU_SIZES if cuda else CPU_SIZES)
    dtypes = (torch.float32, torch.bfloat16)
    steps, done = len(threads) * (repeats * len(sizes) * len(dtypes) + repeats), 0

    def step(what: str) -> None:
        nonlocal done
        done += 1
        on_progress(what, done / steps)

    products: list[ProductCeiling] = []
    bandwidths: list[BandwidthCeiling] = []
    for count in threads:
        with num_threads_set(count):
            clock = clock_of(device, count)
            work = {
                (dtype, size): _product(dtype, size, device) for dtype in dtypes for size in sizes
            }
            rates: dict[tuple[torch.dtype, tuple[int, int, int]], list[float]] = {
                key: [] for key in work
            }
            for _ in range(repeats):
                for key, call in work.items():
                    rows, inner, columns = key[1]
                    rates[key].append(2.0 * rows * inner * columns / _seconds(call, clock))
                    step("matrix products")
            for (dtype, (rows, inner, columns)), found in rates.items():
                low, middle, high = quartiles(found)
                products.append(
                    ProductCeiling(
                        dtype=str(dtype).removeprefix("torch."),
                        num_threads=count,
                        rows=rows,
                        inner=inner,
                        columns=columns,
                        flops_per_second=middle,
                        flops_per_second_low=low,
                        flops_per_second_high=high,
                        repeats=repeats,
                    )
                )
            bandwidths.append(_bandwidth(device, count, array_bytes, repeats, clock, step))
    return DeviceProfile(
        device=torch.cuda.get_device_name(device) if cuda else "cpu",
        measured=date.today().isoformat(),
        environment=environment(),
        products=tuple(products),
        bandwidths=tuple(bandwidths),
    )


def _product(
    dtype: torch.dtype, size: tuple[int, int, int], device: torch.device
) -> Callable[[], object]:
    rows, inner, columns = size
    # laid out as a linear layer has them: x [rows, inner] times weight [columns, inner]
    x = torch.ones(rows, inner, dtype=dtype, device=device)
    weight = torch.ones(columns, inner, dtype=dtype, device=device)
    out = torch.empty(rows, columns, dtype=dtype, device=device)
    return lambda: torch.mm(x, weight.T, out=out)


def _bandwidth(
    device: torch.device,
    num_threads: int,
    array_bytes: int,
    repeats: int,
    clock: Callable[[], float],
    step: Callable[[str], None],
) -> BandwidthCeiling:
    first, second, out = (torch.ones(array_bytes // 4, device=device) for _ in range(3))
    rates = []
    for _ in range(repeats):
        seconds = _seconds(lambda: torch.add(first, second, out=out), clock)
        rates.append(3.0 * array_bytes / seconds)
        step("memory")
    low, middle, high = quartiles(rates)
    return BandwidthCeiling(
        num_threads=num_threads,
        array_bytes=array_bytes,
        bytes_per_second=middle,
        bytes_per_second_low=low,
        bytes_per_second_high=high,
        repeats=repeats,
    )


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of one call, from as many as the clock can tell apart; the first is not counted."""
    call()
    calls = 1
    while True:
        started = clock()
        for _ in range(calls):
            call()
        elapsed = clock() - started
        if elapsed >= _LEAST_SECONDS:
            return elapsed / calls
        calls *= 2


def clock_of(device: torch.device, num_threads: int) -> Callable[[], float]:
    """Seconds: the processor's for one thread, the wall's for several and for GPUs."""
    if device.type == "cuda":

        def synchronized() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return synchronized
    return time.process_time if num_threads == 1 else time.perf_counter


@contextmanager
def num_threads_set(count: int) -> Iterator[None]:
    """torch's threads inside; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

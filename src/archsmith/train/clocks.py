"""What the seconds of a training may be measured with."""

import time
from collections.abc import Callable, Mapping

#: Seconds since some instant, by name: the `wall`, or the process' own `cpu` time, which neighbours
#: on a shared machine stretch less and which adds up its threads.
CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}

"""What this machine and its software are: the part of every result that says where it was made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from archsmith.config import Spec

_PACKAGES = (
    "archsmith", "torch", "numpy", "tokenizers", "transformers", "gguf", "xllamacpp", "pymoo"
)  # fmt: skip


class Environment(Spec):
    """A machine and its software. Memory in bytes; packages by name with their versions."""

    processor: str
    architecture: str
    system: str
    python: str
    num_cores: int
    memory_bytes: int
    packages: dict[str, str]


def environment() -> Environment:
    """Describe this machine. Imports no heavy package; versions are read from metadata."""
    return Environment(
        processor=processor_name(),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        num_cores=num_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        packages={name: found for name in _PACKAGES if (found := _version(name))},
    )


def num_usable_cores() -> int:
    """Cores this process may use: its affinity where the system tells, else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """As the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""What a device can do at best: ceilings that were measured on it once, kept in a file.

A training run's model FLOPs utilization (Chowdhery et al. 2022, arXiv 2204.02311, section 4.1) is
its model FLOPs per second over the highest matrix-product rate here (Williams et al. 2009,
doi 10.1145/1498765.1498785: the flat part of the roofline).
"""

import os
from pathlib import Path

from archsmith.config import Spec, load_json
from archsmith.device.environment import Environment, environment
from archsmith.errors import ConfigError

PROFILE_VARIABLE = "ARCHSMITH_DEVICE_PROFILE"


class ProductCeiling(Spec):
    """Rate of matrix products [rows, inner] x [inner, columns], medians with their quartiles."""

    dtype: str
    num_threads: int
    rows: int
    inner: int
    columns: int
    flops_per_second: float
    flops_per_second_low: float
    flops_per_second_high: float
    repeats: int


class BandwidthCeiling(Spec):
    """Bytes read and written per second of a sum of two arrays larger than the caches."""

    num_threads: int
    array_bytes: int
    bytes_per_second: float
    bytes_per_second_low: float
    bytes_per_second_high: float
    repeats: int


class DeviceProfile(Spec):
    """One device. `measured` is a date as 2026-01-31; `device` is `cpu` or a GPU's name."""

    device: str
    measured: str
    environment: Environment
    products: tuple[ProductCeiling, ...]
    bandwidths: tuple[BandwidthCeiling, ...]

    def ceiling(self, num_threads: int, dtype: str | None = None) -> float | None:
        """The highest rate of products with so many threads, FLOPs per second.

        Over all number formats, or of one; None where it was not measured.
        """
        found = [
            one.flops_per_second
            for one in self.products
            if one.num_threads == num_threads and dtype in (None, one.dtype)
        ]
        return max(found, default=None)

    def utilization(self, flops: float, seconds: float, *, num_threads: int) -> float | None:
        """Share of the ceiling that work of `flops` FLOPs in `seconds` seconds reached."""
        ceiling = self.ceiling(num_threads)
        return None if ceiling is None or seconds <= 0 else flops / seconds / ceiling

    def require_here(self) -> None:
        """Raises ConfigError where the profile is of another machine than this one."""
        here = environment()
        for what in ("processor", "num_cores"):
            own, given = getattr(here, what), getattr(self.environment, what)
            if own != given:
                raise ConfigError(
                    f"the device profile was measured elsewhere: {what} {given!r}, here {own!r}; "
                    "run 'archsmith device probe' on this machine"
                )


def default_path() -> Path:
    """Where this user's profile lies; the variable ARCHSMITH_DEVICE_PROFILE names another file."""
    import click

    named = os.environ.get(PROFILE_VARIABLE)
    return Path(named) if named else Path(click.get_app_dir("archsmith")) / "device.json"


def load_profile(path: Path) -> DeviceProfile:
    """Read a profile. Raises ConfigError where there is none or it cannot be read."""
    if not path.is_file():
        raise ConfigError(f"no device profile at {path}; 'archsmith device probe' makes one")
    return load_json(DeviceProfile, path)


def own_profile() -> DeviceProfile | None:
    """This machine's profile; None where it was not measured or the file is of another machine."""
    try:
        found = load_profile(default_path())
        found.require_here()
    except ConfigError:
        return None
    return found

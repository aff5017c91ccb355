"""What a device can do at best: ceilings that were measured on it once, kept in a file.

A training run's model FLOPs utilization (Chowdhery et al. 2022, arXiv 2204.02311, section 4.1) is
its model FLOPs per second over the highest matrix-product rate here (Williams et al. 2009,
doi 10.1145/1498765.1498785: the flat part of the roofline).
"""

import os
from functools import lru_cache
from pathlib import Path

from archsmith.config import Spec, load_json
from archsmith.device.environment import Environment, num_usable_cores, processor_name
from archsmith.device.training_choice import KernelTiming, TrainingChoice
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
    """One device.

    Attributes:
        device: `cpu` or a GPU's name.
        measured: a date as 2026-01-31.
        choice: how training computes here, and the timings it was made from; None where only
            ceilings were measured.
    """

    device: str
    measured: str
    environment: Environment
    products: tuple[ProductCeiling, ...]
    bandwidths: tuple[BandwidthCeiling, ...]
    choice: TrainingChoice | None = None
    timings: tuple[KernelTiming, ...] = ()

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
        here = {"processor": processor_name(), "num_cores": num_usable_cores()}
        for what, own in here.items():
            given = getattr(self.environment, what)
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


def training_profile() -> DeviceProfile | None:
    """The profile to train by; None where this machine was not measured.

    A file that ARCHSMITH_DEVICE_PROFILE names must be this machine's. The user's own file may lie
    in a home that several machines share: where it is of another one, it is as if there were none.

    Raises ConfigError: the named file is damaged or of another machine.
    """
    path = default_path()
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return None
    if not path.is_file():
        return None
    try:
        return _checked(path, written)
    except ConfigError as error:
        if PROFILE_VARIABLE not in os.environ:
            return None
        raise ConfigError(f"{path}, which {PROFILE_VARIABLE} names: {error}") from None


@lru_cache(maxsize=4)
def _checked(path: Path, written: int) -> DeviceProfile:
    """A profile of this machine; read once for as long as it is not written anew."""
    found = load_profile(path)
    found.require_here()
    return found


def lone_threads() -> int:
    """Threads for a training that has this machine to itself: as measured, else all cores."""
    profile = training_profile()
    if profile is None or profile.choice is None or profile.device != "cpu":
        return num_usable_cores()
    return profile.choice.lone_threads


def candidates_side_by_side() -> int:
    """Trainings at a time: one for each core, or as many as keep the measured GPU busy.

    Raises ConfigError as `training_profile`.
    """
    profile = training_profile()
    if profile is None or profile.choice is None or profile.device == "cpu":
        return num_usable_cores()
    return profile.choice.candidates_per_device

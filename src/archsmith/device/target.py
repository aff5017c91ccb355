"""Milliseconds on another machine, predicted from what was measured here and both profiles.

A generated token reads every weight once and multiplies it once. Where the weights come from memory
the ratio of the bandwidths decides, where they lie in caches nearer that of the products: the truth
is taken to lie between, so the prediction is an interval, its middle the geometric mean of both
(the two limits of the roofline, Williams et al. 2009, doi 10.1145/1498765.1498785). It says nothing
of another runtime or of other instructions than the profile's products used.
"""

import math
from pathlib import Path
from typing import NamedTuple

from archsmith.device.profile import DeviceProfile, load_profile, training_profile
from archsmith.device.spread import Spread
from archsmith.errors import ConfigError


class Target(NamedTuple):
    """Another machine, seen from this one. Rates are of one thread, with their quartiles.

    Attributes:
        name: of its processor.
        slower: how many times as long a token takes there, from both limits.
    """

    name: str
    slower: Spread

    def predict(self, here: Spread) -> Spread:
        """Milliseconds there, from those measured here."""
        return Spread(
            here.low * self.slower.low,
            here.middle * self.slower.middle,
            here.high * self.slower.high,
        )


def load_target(path: Path) -> Target:
    """A target profile, compared with this machine's own.

    Raises ConfigError: one of the profiles is missing, damaged, of a GPU or lacks a figure.
    """
    there = load_profile(path)
    here = training_profile()
    if here is None:
        raise ConfigError(
            f"a target device ({path}) needs this machine's own profile to compare with; "
            "run 'archsmith device probe' here first"
        )
    for profile, whose in ((here, "this machine's profile"), (there, str(path))):
        if profile.device != "cpu":
            raise ConfigError(
                f"{whose} is of a GPU ({profile.device}); milliseconds are predicted for "
                "processors: 'archsmith device probe --device cpu' measures one"
            )
    return compare(here, there)


def compare(here: DeviceProfile, there: DeviceProfile) -> Target:
    """How much slower another machine generates. Raises ConfigError where a figure is missing."""
    limits = [
        _ratio(_bandwidth(here), _bandwidth(there)),
        _ratio(_products(here), _products(there)),
    ]
    return Target(
        name=there.environment.processor,
        slower=Spread(
            min(limit.low for limit in limits),
            math.sqrt(limits[0].middle * limits[1].middle),
            max(limit.high for limit in limits),
        ),
    )


def _ratio(here: Spread, there: Spread) -> Spread:
    return Spread(here.low / there.high, here.middle / there.middle, here.high / there.low)


def _bandwidth(profile: DeviceProfile) -> Spread:
    for one in profile.bandwidths:
        if one.num_threads == 1:
            low, high = one.bytes_per_second_low, one.bytes_per_second_high
            return Spread(low, one.bytes_per_second, high)
    raise _lacks(profile, "memory bandwidth")


def _products(profile: DeviceProfile) -> Spread:
    found = [one for one in profile.products if one.num_threads == 1 and one.dtype == "float32"]
    if not found:
        raise _lacks(profile, "float32 products")
    best = max(found, key=lambda one: one.flops_per_second)
    return Spread(best.flops_per_second_low, best.flops_per_second, best.flops_per_second_high)


def _lacks(profile: DeviceProfile, what: str) -> ConfigError:
    return ConfigError(
        f"the profile of {profile.environment.processor} has no {what} of one thread; "
        "'archsmith device probe' on that machine measures them"
    )

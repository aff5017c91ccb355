"""Losses of small trainings are what they were: float32, one thread, kept per kind of machine."""

import json
from pathlib import Path

import golden_curves
import pytest
from golden_curves import NETWORKS, losses, machine_kind, nearest, stored

from archsmith.train.recipe import Recipe

# relative; instruction sets and sizes of blocks move a loss by up to 3e-7, a rate that is 1 % off
# by 3e-4 and more
SAME_KIND = 2e-6
OTHER_KIND = 1e-4  # a machine of a kind without stored curves: other torch, other processor


@pytest.mark.parametrize("name", list(NETWORKS))
def test_losses_are_what_they_were(name: str) -> None:
    kind = machine_kind()
    file = nearest(kind, stored())
    tolerance = SAME_KIND if file["kind"] == kind else OTHER_KIND
    expected = pytest.approx(file["losses"][name], rel=tolerance)
    assert losses(name) == expected, (
        f"{name} trains otherwise than the curve kept of {file['kind']} (here {kind}, tolerance "
        f"{tolerance:g}); where that is meant, run 'python tests/golden/make.py'"
    )


def test_the_tolerances_see_a_rate_that_is_a_hundredth_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(**settings: object) -> Recipe:
        return Recipe(**settings, learning_rate=1.01e-3)

    monkeypatch.setattr(golden_curves, "Recipe", other)
    file = nearest(machine_kind(), stored())
    assert losses("llama-adamw") != pytest.approx(file["losses"]["llama-adamw"], rel=OTHER_KIND)


def test_an_unknown_machine_is_compared_with_the_nearest_kind() -> None:
    def file(family: str, instructions: str, torch: str) -> dict[str, dict[str, str]]:
        return {"kind": {"torch": torch, "family": family, "instructions": instructions}}

    files = [file("x86_64", "avx2", "2.13"), file("x86_64", "avx512", "2.13")]
    files.append(file("aarch64", "default", "2.12"))
    assert (
        nearest({"torch": "2.14", "family": "x86_64", "instructions": "avx512"}, files) == files[1]
    )
    assert nearest({"torch": "2.12", "family": "x86_64", "instructions": "avx2"}, files) == files[0]
    assert nearest({"torch": "2.13", "family": "aarch64", "instructions": "sve"}, files) == files[2]


def test_every_file_keeps_every_network_and_says_of_which_kind_it_is() -> None:
    paths = sorted(Path(golden_curves.FOLDER).glob("*.json"))
    assert paths
    for path in paths:
        file = json.loads(path.read_text(encoding="utf-8"))
        assert path.name == golden_curves.file_name(file["kind"])
        assert set(file["losses"]) == set(NETWORKS)
        for name, curve in file["losses"].items():
            assert len(curve) == golden_curves.NUM_UPDATES
            assert min(curve) < curve[0], f"{name} learns nothing"

"""The examples run as they stand, and the strategy among them keeps its contract."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from archsmith.testing.strategy import StrategyContract

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """A Python process in an empty folder; returns what it printed."""
    extra = {} if path is None else {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestNearTheBest(StrategyContract):
    beats_random = True
    strategy = pytest.fixture(lambda self: load("own_strategy").NearTheBest())


def test_the_strategy_runs_beside_random_search(tmp_path: Path) -> None:
    lines = run(str(EXAMPLES / "own_strategy.py"), cwd=tmp_path).splitlines()
    scores = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    assert set(scores) == {"random", "near_the_best"}


def test_an_installed_strategy_is_found_by_its_name(tmp_path: Path) -> None:
    package = tmp_path / "installed"
    metadata = package / "near_the_best-1.0.dist-info"
    metadata.mkdir(parents=True)
    (package / "own_strategy.py").write_text((EXAMPLES / "own_strategy.py").read_text())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: near-the-best\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[archsmith.strategies]\nnear_the_best = own_strategy:PART\n"
    )
    plugins = "from archsmith.cli.main import main; main(['plugins', '--json'])"
    assert '"near_the_best"' in run("-c", plugins, cwd=tmp_path, path=package)
    find = "from archsmith import registry; print(registry.find('strategies', 'near_the_best'))"
    assert "NearTheBest" in run("-c", find, cwd=tmp_path, path=package)


@pytest.mark.slow
def test_the_quickstart_ends_with_files_that_stock_tools_load(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    output = run(str(EXAMPLES / "quickstart.py"), cwd=tmp_path)
    assert "bits per byte" in output
    assert list(tmp_path.rglob("*.gguf"))
    assert list(tmp_path.rglob("config.json"))

"""Fixtures for every test: one thread, a quiet environment, the folder of real texts if given."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from helpers_workflow import FinishedSearch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# no test depends on what was measured on the developer's machine
os.environ["ARCHSMITH_DEVICE_PROFILE"] = os.devnull


@pytest.fixture(scope="session")
def real_texts() -> Path:
    """The folder of public texts named by ARCHSMITH_TEST_DATA; skips where it is not set."""
    folder = os.environ.get("ARCHSMITH_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set ARCHSMITH_TEST_DATA to a folder of real texts to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "FinishedSearch":
    """A finished search; read only. The first of several test processes runs it for all."""
    from helpers_workflow import finished_search  # imports what few tests need

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # of the whole test run
    with FileLock(base / "finished-search.lock"):
        return finished_search(base)

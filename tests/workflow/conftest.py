import pytest

from helpers_workflow import FinishedSearch, finished_search


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    """A finished search; read only."""
    return finished_search(tmp_path_factory.getbasetemp())

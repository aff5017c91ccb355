import pytest
from export_helpers import llama, write_gguf


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory):
    """A Llama-like file, its architecture and its weights; read only."""
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    architecture = llama()
    return path, architecture, write_gguf(path, architecture)

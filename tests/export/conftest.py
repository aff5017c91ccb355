import pytest
from export_helpers import llama, write_gguf

from archsmith.export import gate_runtimes, gate_tokens, score
from archsmith.export.llamacpp import LlamaCpp


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory):
    """A Llama-like file, its architecture and its weights; read only."""
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    architecture = llama()
    return path, architecture, write_gguf(path, architecture)


@pytest.fixture
def in_process(monkeypatch):
    """Gate and scorer run llama.cpp in this process: starting another takes most of their time."""
    monkeypatch.setattr(gate_runtimes, "IsolatedLlamaCpp", LlamaCpp)
    monkeypatch.setattr(gate_tokens, "IsolatedLlamaCpp", LlamaCpp)
    monkeypatch.setattr(score, "IsolatedLlamaCpp", LlamaCpp)

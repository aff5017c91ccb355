import os
import signal

import numpy as np
import pytest

from archsmith.errors import ConfigError, ExportError
from archsmith.export.llamacpp import LlamaCpp
from archsmith.export.worker import IsolatedLlamaCpp

WINDOW = list(range(3, 40))


def test_answers_as_in_this_process(gguf_file):
    path = gguf_file[0]
    with (
        IsolatedLlamaCpp(path, context_tokens=64) as child,
        LlamaCpp(path, context_tokens=64) as own,
    ):
        assert np.array_equal(child.logits(WINDOW), own.logits(WINDOW))
        assert np.array_equal(child.token_nats(WINDOW, 9), own.token_nats(WINDOW, 9))
        assert child.generate(WINDOW, max_new_tokens=4) == own.generate(WINDOW, max_new_tokens=4)
        assert child.tokenize("a b\n🙂") == own.tokenize("a b\n🙂")
        assert child.token_pieces() == own.token_pieces()
        assert child.metadata() == own.metadata()
        assert child.decode_ms_per_token(context_position=9, repeats=3).repeats == 3
        with pytest.raises(ConfigError, match="must lie in"):
            child.logits([10**6])
        assert child.logits(WINDOW[:2]).shape == (2, own.vocab_size)


def test_an_abort_of_llama_cpp_is_an_error_and_not_the_end(gguf_file):
    with IsolatedLlamaCpp(gguf_file[0], context_tokens=64) as child:
        os.kill(child._child.pid, signal.SIGABRT)
        with pytest.raises(ExportError, match=r"died with signal SIGABRT over .*small\.gguf"):
            child.logits(WINDOW)


def test_a_damaged_file_is_refused_in_llama_cpp_s_words(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ExportError, match=r"llama\.cpp (cannot load|died)"):
        IsolatedLlamaCpp(path, context_tokens=8)

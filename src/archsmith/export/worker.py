"""llama.cpp in a child process, so that its aborts end the child and not the user's program.

llama.cpp answers some damaged or unusual files with `abort()`. The gate, the scorer and the latency
measurement therefore talk to a child (`python -m archsmith.export.worker`) that lives as long as
the model: one line of JSON per call and answer, an array's bytes behind it. Nothing is
pickled, and unlike multiprocessing's spawn the child never imports the caller's main module.
Starting one takes about 0.3 s.
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np

from archsmith import errors
from archsmith.errors import ArchsmithError, ExportError
from archsmith.export.llamacpp import CacheType, LlamaCpp, Timing, timing

_ATTRIBUTES = (
    "vocab_size", "max_position_embeddings", "num_params", "bos_token_id", "eos_token_id",
    "add_bos_token",
)  # fmt: skip
_METHODS = (
    "metadata", "tokenize", "token_pieces", "resize", "logits", "token_nats", "generate", "fill",
    "time_token",
)  # fmt: skip


class IsolatedLlamaCpp:
    """`LlamaCpp` with the same methods, in a process of its own. Close it, or use `with`.

    Raises ExportError where llama.cpp refuses the file, and where it dies of it.
    """

    vocab_size: int
    max_position_embeddings: int
    num_params: int
    bos_token_id: int
    eos_token_id: int
    add_bos_token: bool

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        context_tokens: int,
        num_threads: int = 1,
        cache_type: CacheType = "f16",
        space_prefix: bool | None = None,
    ) -> None:
        self.path = Path(path)
        self.context_tokens = context_tokens
        self.num_threads = num_threads
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._child = subprocess.Popen(
            [sys.executable, "-m", "archsmith.export.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # an abort prints a backtrace with the help of gdb unless told not to
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )
        try:
            found = self._call(
                "open",
                path=str(self.path.resolve()),
                context_tokens=context_tokens,
                num_threads=num_threads,
                cache_type=cache_type,
                space_prefix=space_prefix,
            )
        except BaseException:
            self.close()
            raise
        for name in _ATTRIBUTES:
            setattr(self, name, found[name])

    def close(self) -> None:
        """End the child. Twice does no harm."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def metadata(self) -> dict[str, str]:
        """See `LlamaCpp.metadata`."""
        return cast(dict[str, str], self._call("metadata"))

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """See `LlamaCpp.tokenize`."""
        found = self._call(
            "tokenize", text=text, add_special=add_special, parse_special=parse_special
        )
        return cast(list[int], found)

    def token_pieces(self) -> list[bytes]:
        """See `LlamaCpp.token_pieces`."""
        return [bytes.fromhex(piece) for piece in self._call("token_pieces")]

    def resize(self, context_tokens: int) -> None:
        """See `LlamaCpp.resize`."""
        self._call("resize", context_tokens=context_tokens)
        self.context_tokens = context_tokens

    def logits(self, tokens: Sequence[int], *, last: int | None = None) -> np.ndarray:
        """See `LlamaCpp.logits`."""
        return cast(np.ndarray, self._call("logits", tokens=_plain(tokens), last=last))

    def token_nats(self, tokens: Sequence[int], num_scored: int) -> np.ndarray:
        """See `LlamaCpp.token_nats`."""
        found = self._call("token_nats", tokens=_plain(tokens), num_scored=int(num_scored))
        return cast(np.ndarray, found)

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 0,
        stop_at_end: bool = True,
    ) -> list[int]:
        """See `LlamaCpp.generate`."""
        found = self._call(
            "generate",
            tokens=_plain(tokens),
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            stop_at_end=stop_at_end,
        )
        return cast(list[int], found)

    def fill(self, num_tokens: int) -> None:
        """See `LlamaCpp.fill`."""
        self._call("fill", num_tokens=num_tokens)

    def time_token(self, position: int) -> float:
        """See `LlamaCpp.time_token`; the clock runs in the child."""
        return cast(float, self._call("time_token", position=position))

    def decode_ms_per_token(
        self, *, context_position: int = 0, repeats: int = 16, warmup: int = 2
    ) -> Timing:
        """See `LlamaCpp.decode_ms_per_token`."""
        self.fill(context_position)
        for _ in range(warmup):
            self.time_token(context_position)
        times = [self.time_token(context_position) for _ in range(repeats)]
        return timing(times, context_position=context_position, num_threads=self.num_threads)

    def _call(self, method: str, **arguments: Any) -> Any:
        assert self._child.stdin is not None, "a pipe was asked for"
        assert self._child.stdout is not None, "a pipe was asked for"
        try:
            self._child.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except (BrokenPipeError, ValueError):
            line = b""
        if not line:
            raise self._death()
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], ExportError)
            raise _rebuilt(kind, answer["message"])
        if "shape" not in answer:
            return answer["value"]
        kind, shape = np.dtype(answer["dtype"]), answer["shape"]
        data = self._child.stdout.read(kind.itemsize * math.prod(shape))
        return np.frombuffer(data, dtype=kind).reshape(shape).copy()

    def _death(self) -> ExportError:
        code = self._child.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = f": {lines[-1].strip()}" if lines else ""
        return ExportError(f"llama.cpp died with {how} over {self.path}{last}")


def _plain(tokens: Sequence[int]) -> list[int]:
    return np.asarray(tokens).tolist()


def _rebuilt(kind: type[ArchsmithError], message: str) -> ArchsmithError:
    """The child's error, whatever its constructor takes."""
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    return error


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until the requests end: `open` first, then methods of the model."""
    model: LlamaCpp | None = None
    for line in requests:
        method, arguments = json.loads(line)
        try:
            if method == "open":
                model = LlamaCpp(**arguments)
                value: Any = {name: getattr(model, name) for name in _ATTRIBUTES}
            else:
                assert method in _METHODS, f"unknown method {method}"
                value = getattr(model, method)(**arguments)
        except ArchsmithError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
            answers.write(json.dumps(answer).encode() + b"\n")
        else:
            _send(answers, [v.hex() for v in value] if method == "token_pieces" else value)
        answers.flush()


def _send(answers: IO[bytes], value: Any) -> None:
    if isinstance(value, np.ndarray):
        head = {"dtype": value.dtype.str, "shape": value.shape}
        answers.write(json.dumps(head).encode() + b"\n" + value.tobytes())
    else:
        answers.write(json.dumps({"value": value}).encode() + b"\n")


def _main() -> None:
    """Serve on the standard streams; whatever else prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()

"""Writing so that a kill, a full disk or a second process never leaves half a file behind.

Everything is written under a temporary name that carries the writer's process id, flushed to the
disk, then renamed. What a killed process left is removed by the next one that comes by.
"""

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from archsmith.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

_MARK = ".partial-"


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write under `path` into one sentence.

    Raises ConfigError.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "choose another folder or free some space"
        ) from error


def make_folder(path: Path) -> Path:
    """Make a folder and its parents. Raises ConfigError."""
    with clear_write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def partial_path(path: Path) -> Path:
    """The temporary name beside `path` that this process writes to."""
    return path.with_name(f"{_MARK}{socket.gethostname()}-{os.getpid()}-{path.name}")


def remove_leftovers(directory: Path) -> None:
    """Delete temporary files that processes of this machine left when they were killed."""
    prefix = f"{_MARK}{socket.gethostname()}-"
    for path in directory.glob(f"{_MARK}*"):
        number = path.name.removeprefix(prefix).split("-", 1)[0]
        if path.name.startswith(prefix) and number.isdigit() and not psutil.pid_exists(int(number)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def publish(partial: Path, path: Path) -> None:
    """Flush a temporary file to the disk and give it its final name."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a whole small file atomically. Raises ConfigError."""
    partial = partial_path(path)
    with clear_write_errors(path):
        try:
            partial.write_text(text, encoding="utf-8", newline="\n")
            publish(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def write_tensors(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """safetensors' `save_file`; what the system refuses is an OSError here, as everywhere."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(arrays), path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

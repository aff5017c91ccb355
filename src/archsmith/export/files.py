"""Files that appear whole or not at all: temporary name, fsync, rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archsmith.data.storage import clear_write_errors
from archsmith.errors import ExportError


@contextmanager
def replaced(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `path` to write a file or a folder to; it takes the name at the end.

    Raises ExportError if `path` exists and must not be replaced, ConfigError where the system
    refuses to write. On an error nothing is left.
    """
    if path.exists() and not overwrite:
        raise ExportError(f"{path} exists; give another path, or overwrite it with --force")
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            temporary = folder / path.name
            yield temporary
            for written in [temporary, *temporary.rglob("*")]:
                if written.is_file():
                    _sync(written)
            if path.is_dir():
                path.rename(folder / "replaced")
            temporary.replace(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Flush to disk; folders too, where the system can open them."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Finding and reading the user's files: text, JSON Lines, both also gzipped, in a fixed order.

Files may be anything on a real disk: empty, binary, in another encoding, damaged. Those are
counted, never a crash. What the user wrote in the settings is checked, and refused with a reason.
"""

import codecs
import glob
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from archsmith.errors import CorpusError

# what a folder stands for; a file named by the user is read whatever its ending
_PROSE = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc", ".jsonl")
_CODE = (".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".rs", ".go", ".java", ".js", ".ts")
_MORE_CODE = (".rb", ".sh", ".lua", ".sql", ".r", ".jl", ".kt", ".swift")
TEXT_ENDINGS = frozenset((*_PROSE, *_CODE, *_MORE_CODE))
_SNIFF_BYTES = 1 << 16
_READ_BYTES = 1 << 20
_ESCAPED = dict.fromkeys(range(55296, 57344), "�")
DAMAGED = (OSError, EOFError, zlib.error)


class SourceFile(NamedTuple):
    """A file to read: its path, and the name it has in reports (relative where possible)."""

    path: Path
    name: str


class Chunk(NamedTuple):
    """Part of a document. `first` begins a new one; `replaced_bytes` could not be decoded."""

    text: str
    first: bool
    replaced_bytes: int = 0


def find_files(patterns: Sequence[str], *, exclude: Sequence[str], root: Path) -> list[SourceFile]:
    """All files that `patterns` (files, folders, globs) stand for, each once, sorted by name.

    Folders are read recursively, for known text endings, without hidden files. `exclude` holds
    globs on paths below the folder or the glob's fixed part: `test/` leaves out every folder of
    that name, `idlelib/idle_test` that sub-folder, `*.pyi` files by name. Raises CorpusError.
    """
    found: dict[Path, str] = {}
    folders: dict[Path, Path] = {}
    for pattern in patterns:
        for path in _expand(pattern, exclude, root):
            name = path.relative_to(root) if path.is_relative_to(root) else path
            # a folder's links are followed once, not again for each of thousands of files
            folder = folders.get(path.parent) or folders.setdefault(
                path.parent, path.parent.resolve()
            )
            real = path.resolve() if path.is_symlink() else folder / path.name
            found.setdefault(real, name.as_posix())
    return sorted((SourceFile(path, name) for path, name in found.items()), key=lambda f: f.name)


def _expand(pattern: str, exclude: Sequence[str], root: Path) -> list[Path]:
    path = root / Path(pattern).expanduser()
    if path.is_dir():
        files = [file for file in _walk(path, exclude) if _ending(file) in TEXT_ENDINGS]
        kept = [f for f in files if not excluded(f.relative_to(path).as_posix(), exclude)]
        if not kept:
            endings = " ".join(sorted(TEXT_ENDINGS))
            raise CorpusError(
                f"{pattern}: no text file in this folder that 'exclude' does not leave out; "
                f"endings read: {endings}, also with .gz; other files can be named by a glob"
            )
        return kept
    if path.is_file():
        return [path]
    if not glob.has_magic(pattern):
        raise CorpusError(f"{pattern}: no such file or folder (looked for {path})")
    parts = path.parts
    magic = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    base = Path(*parts[:magic])
    matches = (Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [match for match in matches if match.is_file()]
    kept = [file for file in files if not excluded(file.relative_to(base).as_posix(), exclude)]
    if not kept:
        raise CorpusError(
            f"{pattern}: no file matches (looked below {base}; {len(files)} left out by "
            "'exclude'); '**' stands for folders of any depth, as in 'notes/**/*.md'"
        )
    return kept


def _walk(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    whole = [pattern.rstrip("/") for pattern in exclude if "**" not in pattern]
    for directory, folders, files in os.walk(folder):
        below = Path(directory).relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not excluded((below / name).as_posix(), whole)
        ]
        yield from (Path(directory, name) for name in files if not name.startswith("."))


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def excluded(name: str, patterns: Sequence[str]) -> bool:
    """Whether a relative path is left out: any run of its parts matches a pattern's parts."""
    parts = PurePosixPath(name).parts
    for pattern in patterns:
        if "**" in pattern:
            if fnmatch(name, pattern) or fnmatch(f"/{name}", pattern):
                return True
            continue
        wanted = PurePosixPath(pattern).parts
        # a trailing slash means a folder: the file's own name does not count
        stop = len(parts) - len(wanted) + (0 if pattern.endswith("/") else 1)
        for start in range(max(stop, 0)):
            run = parts[start : start + len(wanted)]
            if all(fnmatch(part, want) for part, want in zip(run, wanted, strict=True)):
                return True
    return False


def is_json_lines(path: Path) -> bool:
    """Whether a file holds one JSON object a line."""
    return _ending(path) in (".jsonl", ".ndjson")


def open_file(path: Path) -> BufferedIOBase:
    """A binary reader that unpacks .gz."""
    return gzip.GzipFile(path) if path.name.lower().endswith(".gz") else path.open("rb")


class FileState(NamedTuple):
    """What a first look tells: unpacked bytes, and whether it is binary or cannot be read."""

    num_bytes: int
    binary: bool
    unreadable: str


def inspect(file: SourceFile) -> FileState:
    """Measure a file; a packed one is unpacked to the end, so damage shows before it is used."""
    try:
        with open_file(file.path) as stream:
            head = stream.read(_SNIFF_BYTES)
            binary = b"\0" in head
            if not file.path.name.lower().endswith(".gz"):
                return FileState(file.path.stat().st_size, binary, "")
            num_bytes = len(head)
            while block := stream.read(_READ_BYTES):
                num_bytes += len(block)
            return FileState(num_bytes, binary, "")
    except DAMAGED as error:
        return FileState(0, False, str(error))


def read_text_file(file: SourceFile) -> Iterator[Chunk]:
    """A text file as one document in chunks of about a MiB. Raises OSError, EOFError, zlib.error.

    Bytes that are not UTF-8 become U+FFFD and are counted; a byte order mark is dropped.
    """
    # each undecodable byte comes out as one surrogate, which valid UTF-8 never gives
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    first = True
    with open_file(file.path) as stream:
        while True:
            block = stream.read(_READ_BYTES)
            text = decoder.decode(block, final=not block)
            if first:
                text = text.removeprefix("\ufeff")
            if text or first:
                yield Chunk(*clean(text, first=first))
                first = False
            if not block:
                return


def read_json_lines(file: SourceFile, text_field: str) -> Iterator[Chunk]:
    """One document a line, from the field `text_field`. Raises CorpusError naming the line."""
    with open_file(file.path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = f"{file.name}:{number}"
            try:
                # json.loads of bytes would guess an encoding; damaged bytes are to be counted
                row = json.loads(line.decode("utf-8", errors="surrogateescape"))
            except (json.JSONDecodeError, RecursionError) as error:
                raise CorpusError(f"{where}: not a JSON object: {error}") from None
            yield Chunk(*clean(text_of(row, text_field, where=where), first=True))


def text_of(row: object, text_field: str, *, where: str) -> str:
    """The text of one record. Raises CorpusError naming `where`."""
    if not isinstance(row, dict):
        raise CorpusError(
            f"{where}: expected a JSON object with the field '{text_field}', "
            f"got {type(row).__name__}"
        )
    text = row.get(text_field)
    if isinstance(text, str):
        return text
    if text_field in row:
        raise CorpusError(
            f"{where}: the field '{text_field}' holds {type(text).__name__}, not text; "
            "name the right field with 'text_field'"
        )
    fields = ", ".join(f"'{name}'" for name in row) or "none"
    raise CorpusError(
        f"{where}: the field '{text_field}' is missing; fields there: {fields}; "
        "name the right one with 'text_field'"
    )


def clean(text: str, *, first: bool) -> tuple[str, bool, int]:
    """Lone surrogates (undecodable bytes, or escapes in JSON) out; how many there were."""
    try:
        text.encode()
    except UnicodeEncodeError:
        cleaned = text.translate(_ESCAPED)
        return cleaned, first, cleaned.count("\ufffd") - text.count("\ufffd")
    return text, first, 0

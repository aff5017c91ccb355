"""How a corpus folder is made: read every source once, leave out what must not be in, divide.

Official test text is read first, then validation, then training text, so that training text that
repeats a held-out document is what goes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archsmith.data import hub
from archsmith.data.cutting import Piece, pieces
from archsmith.data.sources import (
    DAMAGED,
    Chunk,
    FileState,
    SourceFile,
    find_files,
    inspect,
    is_json_lines,
    read_json_lines,
    read_text_file,
)
from archsmith.data.split_writer import SplitWriter, WrittenSplit, halve
from archsmith.data.splits import (
    MANIFEST,
    Split,
    recommended_fraction,
    split_file,
    split_of,
    text_digest,
)
from archsmith.data.storage import clear_write_errors
from archsmith.errors import ConfigError, CorpusError
from archsmith.units import format_bytes

if TYPE_CHECKING:
    from archsmith.data.corpus import CorpusConfig, CorpusReport

_STREAM_PIECE_BYTES = 1 << 16
_MAX_CUT_ABOVE = 64 << 20
_COUNTS = (
    "files",
    "replaced_bytes",
    "empty",
    "binary",
    "exact_duplicates",
    "exact_duplicate_bytes",
    "near_duplicates",
    "near_duplicate_bytes",
    "near_duplicates_unchecked",
)
_ROLES = ("test", "validation", "train")  # reading order
Sources = Mapping[str, list[SourceFile]]


class Division(NamedTuple):
    """The outcome: a file per split, and the report."""

    splits: Mapping[Split, WrittenSplit]
    report: "CorpusReport"


def find_sources(config: "CorpusConfig", *, root: Path) -> Sources:
    """The files of each role; a file that is held out is not training text. Raises CorpusError."""
    test = find_files(config.test_files, exclude=config.exclude, root=root)
    validation = find_files(config.validation_files, exclude=config.exclude, root=root)
    held_out = {file.path for file in (*test, *validation)}
    train = find_files(config.files, exclude=config.exclude, root=root)
    return {
        "test": test,
        "validation": validation,
        "train": [file for file in train if file.path not in held_out],
    }


def state_of(sources: Sources, config: "CorpusConfig", *, root: Path) -> str:
    """Names, bytes and times of change of all inputs, without reading them."""
    folder = hub.local_folder(config.dataset, root=root) if config.dataset else None
    saved = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
    listed = [[role, file.name, *_stat(file.path)] for role in _ROLES for file in sources[role]]
    return json.dumps([*listed, *([path.as_posix(), *_stat(path)] for path in saved)])


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def divide(
    config: "CorpusConfig",
    sources: Sources,
    directory: Path,
    *,
    root: Path,
    progress: Callable[[str, float], None] | None = None,
) -> Division:
    """Write the four split files into `directory`. Raises CorpusError, ConfigError."""
    told = progress or (lambda stage, fraction: None)
    rows = hub.load(config.dataset, root=root) if config.dataset else {}
    official = {role for role in ("test", "validation") if sources[role] or role in rows}
    if config.continuous and official != {"test", "validation"}:
        missing = " and ".join(sorted({"test", "validation"} - official))
        raise ConfigError(
            f"corpus.continuous: one stream per split needs official splits; {missing} text is "
            "missing: give validation_files and test_files, or set continuous = false"
        )
    reader = _Reader(config, sources, rows, told)
    with ExitStack() as stack, clear_write_errors(directory):

        def writer(name: str) -> SplitWriter:
            return stack.enter_context(SplitWriter(directory / name))

        writers = {split: writer(split_file(split)) for split in Split}
        fractions = {
            Split.TEST: 0.0 if "test" in official else config.test_fraction,
            Split.SEARCH: 0.0 if "validation" in official else config.validation_fraction,
            Split.SELECTION: 0.0 if "validation" in official else config.validation_fraction,
        }
        for piece in reader.kept("test"):
            writers[Split.TEST].add(piece.text, joins=not piece.first)
        if "validation" in official:
            spool = writer("validation.jsonl")
            for piece in reader.kept("validation"):
                spool.add(piece.text, joins=not piece.first)
            spool.flush()
            halve(spool, writers[Split.SEARCH], writers[Split.SELECTION])
        last = Split.TRAIN
        for piece in reader.kept("train"):
            split = split_of(text_digest(piece.text), fractions)
            writers[split].add(piece.text, joins=not piece.first and split == last)
            last = split
        for split in Split:
            writers[split].flush()
        _check_sizes(config, writers, official)
        (directory / MANIFEST).unlink(missing_ok=True)  # until all four files are in place
        written = {split: writers[split].publish() for split in Split}
    told("corpus", 1.0)
    return Division(written, reader.report(written))


class _Reader:
    """Gives the pieces of a role that are kept, and counts everything else."""

    def __init__(
        self,
        config: "CorpusConfig",
        sources: Sources,
        rows: Mapping[str, Any],
        told: Callable[[str, float], None],
    ) -> None:
        self.config, self.rows, self.told = config, rows, told
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.unreadable: list[str] = []
        self.files: dict[str, list[tuple[SourceFile, FileState]]] = {}
        for role in _ROLES:
            states = [(file, inspect(file)) for file in sources[role]]
            self.counts["binary"] += sum(state.binary for _, state in states)
            self.unreadable += [file.name for file, state in states if state.unreadable]
            self.files[role] = [
                (file, state) for file, state in states if not state.binary and not state.unreadable
            ]
        self.total_bytes = sum(state.num_bytes for role in _ROLES for _, state in self.files[role])
        for role, table in rows.items():
            for chunk in hub.read_rows(table, config.text_field, name=f"data set, {role}"):
                self.total_bytes += len(chunk.text.encode())
        thousandth = 1 << max((self.total_bytes // 1000).bit_length() - 1, 0)
        self.piece_bytes = config.piece_bytes or min(max(thousandth, 2048), 1 << 16)
        self.cut_above = config.cut_above_bytes or min(self.total_bytes // 100, _MAX_CUT_ABOVE)
        self.read_bytes = 0
        self.seen: set[bytes] = set()
        self.alike: Any = None
        if config.near_duplicates and not config.continuous:
            from archsmith.data.near_duplicates import NearDuplicates  # brings scipy: 0.5 s

            self.alike = NearDuplicates(
                threshold=config.near_duplicate_threshold,
                max_documents=config.near_duplicates_max_documents,
            )

    def kept(self, role: str) -> Iterator[Piece]:
        """Pieces of a role in order; where one is left out, the next begins a document."""
        broken = True
        for piece in self._pieces(role):
            self.read_bytes += len(piece.text.encode())
            if self.config.continuous or self._is_kept(piece.text):
                yield Piece(piece.text, first=piece.first or broken)
                broken = False
            else:
                broken = True

    def _is_kept(self, text: str) -> bool:
        counts = self.counts
        if not text.strip():
            counts["empty"] += 1
            return False
        if "\0" in text:
            counts["binary"] += 1
            return False
        digest = text_digest(text)
        if digest in self.seen:
            counts["exact_duplicates"] += 1
            counts["exact_duplicate_bytes"] += len(text.encode())
            return False
        self.seen.add(digest)
        if self.alike is not None:
            if self.alike.seen(text):
                counts["near_duplicates"] += 1
                counts["near_duplicate_bytes"] += len(text.encode())
                return False
            counts["near_duplicates_unchecked"] += self.alike.full
        return True

    def _pieces(self, role: str) -> Iterator[Piece]:
        for file, state in self.files[role]:
            self.counts["files"] += 1
            self.told("corpus", min(self.read_bytes / max(self.total_bytes, 1), 1.0))
            try:
                if is_json_lines(file.path):
                    for chunk in read_json_lines(file, self.config.text_field):
                        yield from self._document(self._counted(iter([chunk])), len(chunk.text))
                else:
                    yield from self._document(self._counted(read_text_file(file)), state.num_bytes)
            except DAMAGED:  # it could be read a moment ago
                self.unreadable.append(file.name)
        if role in self.rows:
            for chunk in hub.read_rows(self.rows[role], self.config.text_field, name=role):
                yield from self._document(self._counted(iter([chunk])), len(chunk.text))
                self.told("corpus", min(self.read_bytes / max(self.total_bytes, 1), 1.0))

    def _counted(self, chunks: Iterator[Chunk]) -> Iterator[str]:
        for chunk in chunks:
            self.counts["replaced_bytes"] += chunk.replaced_bytes
            yield chunk.text

    def _document(self, chunks: Iterator[str], num_bytes: int) -> Iterator[Piece]:
        if self.config.continuous:
            # borders only bound memory: the pieces are one stream again
            for piece in pieces(chunks, piece_bytes=_STREAM_PIECE_BYTES):
                yield Piece(piece.text, first=True)
        elif num_bytes <= self.cut_above:
            yield Piece("".join(chunks), first=True)
        else:
            yield from pieces(
                chunks, piece_bytes=self.piece_bytes, separators=self.config.separators
            )

    def report(self, written: Mapping[Split, WrittenSplit]) -> "CorpusReport":
        from archsmith.data.corpus import CorpusReport, SplitReport

        return CorpusReport(
            documents=sum(split.documents for split in written.values()),
            num_bytes=sum(split.num_bytes for split in written.values()),
            unreadable=len(self.unreadable),
            unreadable_files=tuple(self.unreadable[:10]),
            splits={
                split.value: SplitReport(documents=w.documents, num_bytes=w.num_bytes)
                for split, w in written.items()
            },
            **self.counts,
        )


def _check_sizes(
    config: "CorpusConfig", writers: Mapping[Split, SplitWriter], official: set[str]
) -> None:
    least = config.minimum_split_bytes
    if all(writers[split].num_bytes >= least for split in Split):
        return
    sizes = ", ".join(f"{split.value} {writers[split].num_bytes:,} bytes" for split in Split)
    total = sum(writers[split].num_bytes for split in Split)
    fraction = recommended_fraction(total, minimum_split_bytes=least)
    asked = max(config.validation_fraction, config.test_fraction)
    if official:
        advice = "give longer validation_files, test_files or files"
    elif fraction * total < 2 * least:
        advice = f"give at least {format_bytes(2 * least / 0.15)} of text"
    else:
        fraction = max(fraction, min(0.3, round(1.5 * asked, 2)))
        advice = f"set validation_fraction = {fraction} and test_fraction = {fraction}"
    raise CorpusError(
        f"the corpus is too small for its splits: {sizes}; each needs {least:,} bytes; "
        f"{advice}, or lower minimum_split_bytes"
    )

"""Writing one split of a corpus: JSON Lines under a temporary name, with counts and a hash."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archsmith.data.cutting import middle_border
from archsmith.data.storage import clear_write_errors, partial_path, publish

_LONGEST_DOCUMENT = 1 << 20  # joined pieces; more in one record would only cost memory


class WrittenSplit(NamedTuple):
    """A split's file as it lies on disk, and what it holds."""

    documents: int
    num_bytes: int
    file_bytes: int
    sha256: str


class SplitWriter:
    """One JSON Lines file under its temporary name; joins neighbouring pieces of a document.

    Its methods raise ConfigError where the system refuses to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = partial_path(path)
        self.documents = self.num_bytes = 0
        self._held: list[str] = []
        self._held_bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> "SplitWriter":
        with clear_write_errors(self.path):
            self._file = self.partial.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be written has been said
            self._file.close()
        self.partial.unlink(missing_ok=True)

    def add(self, text: str, *, joins: bool = False) -> None:
        """Take a text; one that `joins` goes on with the document before it."""
        num_bytes = len(text.encode())
        if not joins or self._held_bytes + num_bytes > _LONGEST_DOCUMENT:
            self._write_held()
        self._held.append(text)
        self._held_bytes += num_bytes

    def _write_held(self) -> None:
        if self._held:
            record = json.dumps({"text": "".join(self._held)}, ensure_ascii=False) + "\n"
            self._digest.update(record.encode())
            with clear_write_errors(self.path):
                self._file.write(record.encode())
            self.documents += 1
            self.num_bytes += self._held_bytes
            self._held, self._held_bytes = [], 0

    def flush(self) -> None:
        """Write what is held; the counts are then those of the file."""
        self._write_held()
        with clear_write_errors(self.path):
            self._file.flush()

    def texts(self) -> Iterator[str]:
        """The texts of the flushed file."""
        with self.partial.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)["text"]

    def publish(self) -> WrittenSplit:
        """Give the file its final name."""
        with clear_write_errors(self.path):
            self._file.close()
            file_bytes = self.partial.stat().st_size
            publish(self.partial, self.path)
        return WrittenSplit(self.documents, self.num_bytes, file_bytes, self._digest.hexdigest())


def halve(spool: SplitWriter, first: SplitWriter, second: SplitWriter) -> None:
    """The first half of the bytes to one split, the rest to the other, cut between paragraphs."""
    half, done = spool.num_bytes // 2, 0
    for text in spool.texts():
        num_bytes = len(text.encode())
        if done + num_bytes <= half:
            first.add(text)
        elif done >= half:
            second.add(text)
        else:
            border = middle_border(text, half - done)
            if border:
                first.add(text[:border])
            if border < len(text):
                second.add(text[border:])
        done += num_bytes

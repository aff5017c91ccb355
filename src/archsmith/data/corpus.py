"""The corpus: the user's text, cleaned of duplicates and divided into four splits, on disk.

A prepared corpus is a folder with one JSON Lines file per split and a manifest. It is made in one
pass that holds a document (or a piece of a long one) at a time, plus 16 bytes per document, so
the text may be larger than memory. Which split a document belongs to follows from the hash of its
own text: it never moves when others are added.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, field_validator, model_validator

from archsmith.config import Spec, canonical_json, content_hash, load_json
from archsmith.data import hub
from archsmith.data.splits import MANIFEST, Split, split_file
from archsmith.data.storage import make_folder, remove_leftovers, write_text
from archsmith.errors import ArchsmithError, CorpusError

__all__ = ["Corpus", "CorpusConfig", "CorpusReport", "Split", "SplitReport"]

_VERSION = 1
Progress = Callable[[str, float], None]


class CorpusConfig(Spec):
    """What to read and how to divide it.

    Attributes:
        files: files, folders (read recursively) or globs, relative to the settings file.
        exclude: globs on paths below those folders; `test/` leaves out every folder of that name.
        dataset: a Hugging Face data set, by name or with its settings, beside or instead of files.
        text_field: where the text is in JSON Lines and data sets.
        validation_files: official validation text, divided in halves at a paragraph border
            into search- and selection-validation; without it both are cut from `files` by hash.
        test_files: official test text, sealed; without it the test split is cut from `files`.
        continuous: one stream per split with a single document token at its start, nothing
            removed, as WikiText is scored; needs official validation and test text.
        validation_fraction: share of the text for each of the two validation splits.
        test_fraction: share of the text for the sealed test.
        minimum_split_bytes: each split must have this many bytes; two scoring blocks by default.
        separators: where a long file holds many documents, what stands between them.
        cut_above_bytes: longer documents are cut into pieces before they are divided among
            splits; by default above 1% of the corpus (and above 64 MiB). Fixing it keeps every
            border in place however much text is added.
        piece_bytes: about how long those pieces are; by default a thousandth of the corpus,
            rounded to a power of two between 2 KiB and 64 KiB. Neighbouring pieces of one split
            stay one document.
        near_duplicates: whether documents nearly equal to an earlier one are left out.
        near_duplicate_threshold: the least similarity (Jaccard) that counts as nearly equal.
        near_duplicates_max_documents: so many are remembered, at about 4 KB each; documents after
            them are still compared with these, and counted as not fully checked.
    """

    files: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dataset: hub.HubDataset | None = None
    text_field: str = "text"
    validation_files: tuple[str, ...] = ()
    test_files: tuple[str, ...] = ()
    continuous: bool = False
    validation_fraction: float = Field(default=0.02, gt=0.0, le=0.3)
    test_fraction: float = Field(default=0.02, gt=0.0, le=0.3)
    minimum_split_bytes: PositiveInt = 8192
    separators: tuple[str, ...] = ("<|endoftext|>",)
    cut_above_bytes: PositiveInt | None = None
    piece_bytes: PositiveInt | None = None
    near_duplicates: bool = True
    near_duplicate_threshold: float = Field(default=0.8, ge=0.5, le=1.0)
    near_duplicates_max_documents: PositiveInt = 100_000

    @field_validator("files", "exclude", "validation_files", "test_files", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("dataset", mode="before")
    @classmethod
    def _name_is_a_dataset(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _there_is_text(self) -> "CorpusConfig":
        if not self.files and self.dataset is None:
            raise ValueError('name the text: files = ["notes/"], or dataset = "NAME"')
        if any(not separator for separator in self.separators):
            raise ValueError("a separator must not be empty")
        return self


class SplitReport(Spec):
    """How much text a split holds."""

    documents: int
    num_bytes: int


class CorpusReport(Spec):
    """What was read, what was left out, and what each split holds.

    `documents` and `num_bytes` count what is kept. Cut pieces count as documents where they were
    left out; where kept, neighbours in one split count as one.
    """

    files: int
    documents: int
    num_bytes: int
    replaced_bytes: int
    empty: int
    binary: int
    unreadable: int
    unreadable_files: tuple[str, ...]
    exact_duplicates: int
    exact_duplicate_bytes: int
    near_duplicates: int
    near_duplicate_bytes: int
    near_duplicates_unchecked: int
    splits: dict[str, SplitReport]

    def lines(self) -> list[str]:
        """The report for people, a fact a line; facts that are zero are not told."""
        told = [f"{self.files:,} files, {self.documents:,} documents, {self.num_bytes:,} bytes"]
        left_out = {
            "empty documents left out": self.empty,
            "binary files or documents left out": self.binary,
            f"files that could not be read ({', '.join(self.unreadable_files)})": self.unreadable,
            "bytes that are not UTF-8, replaced by U+FFFD": self.replaced_bytes,
            f"exact duplicates left out ({self.exact_duplicate_bytes:,} bytes)": (
                self.exact_duplicates
            ),
            f"near-duplicates left out ({self.near_duplicate_bytes:,} bytes)": self.near_duplicates,
            "documents not fully checked for near-duplicates": self.near_duplicates_unchecked,
        }
        told += [f"{count:,} {fact}" for fact, count in left_out.items() if count]
        told += [
            f"{name}: {split.documents:,} documents, {split.num_bytes:,} bytes"
            for name, split in self.splits.items()
        ]
        return told


class _SplitFile(Spec):
    file_bytes: int
    sha256: str


class _Manifest(Spec):
    version: int
    hash: str
    fingerprint: str
    config: CorpusConfig
    report: CorpusReport
    files: dict[str, _SplitFile]


class Corpus:
    """A prepared corpus. Texts are read from disk each time they are asked for.

    Attributes:
        directory: its folder.
        hash: changes when the text of a split changes, and only then.
    """

    def __init__(self, directory: Path, manifest: _Manifest) -> None:
        self.directory = directory
        self.hash = manifest.hash
        self.config = manifest.config
        self.report = manifest.report

    @classmethod
    def prepare(
        cls,
        config: CorpusConfig,
        directory: Path,
        *,
        root: Path | None = None,
        progress: Progress | None = None,
    ) -> "Corpus":
        """Read, clean and divide the text into `directory`, or reuse what is there.

        It is reused when settings and files (names, bytes, times of change) are the same.
        `root` is what relative paths are relative to; the current folder by default.
        `progress` is told a stage and a fraction from 0 to 1. Raises CorpusError, ConfigError.
        """
        from archsmith.data import preparation

        root = (root or Path()).resolve()
        sources = preparation.find_sources(config, root=root)
        fingerprint = content_hash(
            canonical_json({"version": _VERSION, "config": config.model_dump(mode="json")})
            + preparation.state_of(sources, config, root=root)
        )
        try:
            manifest = _read_manifest(directory)
            if manifest.fingerprint == fingerprint:
                return cls(directory, manifest)
        except ArchsmithError:
            pass  # missing, damaged or of another version: made anew
        make_folder(directory)
        remove_leftovers(directory)
        made = preparation.divide(config, sources, directory, root=root, progress=progress)
        files = {
            split.value: _SplitFile(file_bytes=written.file_bytes, sha256=written.sha256)
            for split, written in made.splits.items()
        }
        identity = {name: file.sha256 for name, file in files.items()}
        manifest = _Manifest(
            version=_VERSION,
            hash=content_hash({"continuous": config.continuous, **identity}),
            fingerprint=fingerprint,
            config=config,
            report=made.report,
            files=files,
        )
        write_text(directory / MANIFEST, manifest.model_dump_json(indent=1))
        return cls(directory, manifest)

    @classmethod
    def open(cls, directory: Path) -> "Corpus":
        """A corpus prepared before. Raises CorpusError, ConfigError."""
        return cls(directory, _read_manifest(directory))

    @property
    def continuous(self) -> bool:
        """Whether each split is one stream; `documents` are then pieces that join without gap."""
        return self.config.continuous

    def split_bytes(self, split: Split) -> int:
        """Bytes of text in a split, as UTF-8."""
        return self.report.splits[split.value].num_bytes

    def split_documents(self, split: Split) -> int:
        """Number of texts that `documents` gives."""
        return self.report.splits[split.value].documents

    def documents(self, split: Split) -> Iterator[str]:
        """The texts of a split, always in the same order."""
        path = self.directory / split_file(split)
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def _read_manifest(directory: Path) -> _Manifest:
    path = directory / MANIFEST
    if not path.exists():
        raise CorpusError(f"{directory}: no prepared corpus here; Corpus.prepare makes one")
    manifest = load_json(_Manifest, path)
    if manifest.version != _VERSION:
        raise CorpusError(
            f"{path}: made by another version (format {manifest.version}, this one reads "
            f"{_VERSION}); prepare the corpus again"
        )
    for split in Split:
        file = directory / split_file(split)
        expected = manifest.files[split.value].file_bytes
        found = file.stat().st_size if file.exists() else 0
        if found != expected:
            raise CorpusError(
                f"{file}: damaged: {found:,} bytes instead of {expected:,}; "
                "prepare the corpus again"
            )
    return manifest

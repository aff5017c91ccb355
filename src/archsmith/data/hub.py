"""Data sets of the Hugging Face Hub, or saved on disk by `datasets`, through the extra `hf`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archsmith.config import Spec
from archsmith.data.sources import Chunk, clean, text_of
from archsmith.errors import CorpusError, MissingExtraError, did_you_mean


class HubDataset(Spec):
    """Which data set, and which of its splits serve as what.

    Attributes:
        name: a name on the Hub, or a folder written by `save_to_disk`.
        config: the data set's configuration, as in "wikitext-2-raw-v1".
        revision: commit or tag on the Hub. A prepared corpus is not made anew when the Hub changes.
        train_split, validation_split, test_split: names in the data set; a validation or test
            split that it lacks is cut from the training text instead.
    """

    name: str
    config: str | None = None
    revision: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"


def load(dataset: HubDataset, *, root: Path) -> dict[str, Any]:
    """Row sequences under the keys `train` and, where they exist, `validation` and `test`.

    Raises MissingExtraError, CorpusError.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(f"reading the data set '{dataset.name}'", "hf") from None
    folder = local_folder(dataset, root=root)
    try:
        if folder is not None:
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(dataset.name, dataset.config, revision=dataset.revision)
    except Exception as error:  # the library raises dozens of kinds, its own and its servers'
        raise CorpusError(
            f"the data set '{dataset.name}' cannot be loaded: {type(error).__name__}: {error}; "
            "give a name on the Hugging Face Hub or a folder written by save_to_disk"
        ) from error
    splits = dict(loaded) if isinstance(loaded, dict) else {dataset.train_split: loaded}
    if dataset.train_split not in splits:
        raise CorpusError(
            f"the data set '{dataset.name}' has no split '{dataset.train_split}'; "
            f"{did_you_mean(dataset.train_split, splits)}"
        )
    names = {
        "train": dataset.train_split,
        "validation": dataset.validation_split,
        "test": dataset.test_split,
    }
    return {role: splits[name] for role, name in names.items() if name in splits}


def local_folder(dataset: HubDataset, *, root: Path) -> Path | None:
    """The folder a data set's name stands for, if there is one."""
    folder = root / Path(dataset.name).expanduser()
    return folder if folder.is_dir() else None


def read_rows(rows: Any, text_field: str, *, name: str) -> Iterator[Chunk]:
    """One document a row. Raises CorpusError naming the row."""
    for index, row in enumerate(rows):
        text = text_of(row, text_field, where=f"{name}, row {index}")
        yield Chunk(*clean(text, first=True))

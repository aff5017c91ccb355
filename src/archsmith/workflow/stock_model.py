"""A model trained elsewhere, from its transformers folder: what `export` makes a GGUF file of."""

from pathlib import Path

from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError
from archsmith.export.reading.folder import read_huggingface
from archsmith.workflow.model_folder import FinishedModel


def load_stock_model(folder: Path) -> FinishedModel:
    """Architecture, weights and tokenizer of a transformers folder.

    Published embedding tables are often longer than the vocabulary; the tokenizer then gets unused
    tokens. Raises ConfigError, CheckpointError.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"{folder}: holds no tokenizer.json; a byte-level BPE is needed")
    tokenizer = Tokenizer.from_file(file)  # quick to refuse, before weights are read
    architecture, weights = read_huggingface(folder)
    return FinishedModel(
        folder=folder,
        architecture=architecture,
        tokenizer=tokenizer.padded(architecture.vocab_size),
        weights=weights,
    )

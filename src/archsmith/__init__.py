"""archsmith: neural architecture search for small language models, on your text and your limits.

The names below are imported when they are first used, so that `import archsmith` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

# public name -> module that has it
_NAMES = {
    "Architecture": "archsmith.architecture.tree",
    "ArchsmithError": "archsmith.errors",
    "Corpus": "archsmith.data.corpus",
    "CorpusConfig": "archsmith.data.corpus",
    "Limit": "archsmith.trial",
    "Pipeline": "archsmith.workflow.pipeline",
    "Recipe": "archsmith.train.recipe",
    "ScoringProtocol": "archsmith.data.protocol",
    "SearchConfig": "archsmith.workflow.search_config",
    "Strategy": "archsmith.strategies.base",
    "Study": "archsmith.study",
    "Tokenizer": "archsmith.data.tokenizer",
    "Watcher": "archsmith.workflow.watcher",
    "create_study": "archsmith.api",
    "export_model": "archsmith.api",
    "load_model": "archsmith.api",
    "load_study": "archsmith.study",
    "prepare_corpus": "archsmith.api",
    "read_huggingface": "archsmith.api",
    "space_for": "archsmith.api",
    "train_model": "archsmith.api",
    "trunk_training": "archsmith.api",
}
_MODULES = {"presets": "archsmith.presets", "spaces": "archsmith.space.presets"}

__all__ = [
    "Architecture",
    "ArchsmithError",
    "Corpus",
    "CorpusConfig",
    "Limit",
    "Pipeline",
    "Recipe",
    "ScoringProtocol",
    "SearchConfig",
    "Strategy",
    "Study",
    "Tokenizer",
    "Watcher",
    "create_study",
    "export_model",
    "load_model",
    "load_study",
    "prepare_corpus",
    "presets",
    "read_huggingface",
    "space_for",
    "spaces",
    "train_model",
    "trunk_training",
]

if TYPE_CHECKING:
    from archsmith import presets
    from archsmith.api import (
        create_study,
        export_model,
        load_model,
        prepare_corpus,
        read_huggingface,
        space_for,
        train_model,
        trunk_training,
    )
    from archsmith.architecture.tree import Architecture
    from archsmith.data.corpus import Corpus, CorpusConfig
    from archsmith.data.protocol import ScoringProtocol
    from archsmith.data.tokenizer import Tokenizer
    from archsmith.errors import ArchsmithError
    from archsmith.space import presets as spaces
    from archsmith.strategies.base import Strategy
    from archsmith.study import Study, load_study
    from archsmith.train.recipe import Recipe
    from archsmith.trial import Limit
    from archsmith.workflow.pipeline import Pipeline
    from archsmith.workflow.search_config import SearchConfig
    from archsmith.workflow.watcher import Watcher


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'archsmith' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)

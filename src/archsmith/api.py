"""The Python interface: the steps of the command line as functions over a corpus and a tokenizer.

corpus = archsmith.prepare_corpus("notes/**/*.md", directory="work/corpus")
tokenizer = archsmith.Tokenizer.train(corpus, vocab_size=4096)
study = archsmith.create_study(
    study_name="notes", storage="sqlite:///notes.db", load_if_exists=True,
    space=archsmith.space_for(tokenizer, corpus, vocab_sizes=(1024, 2048, 4096)),
    tokenizer=tokenizer, corpus=corpus, limits=["file_bytes <= 8MiB"], train_bytes="50MB",
)
study.optimize(archsmith.trunk_training(corpus, tokenizer, work_dir="work"), n_trials=50)
best = study.best_trials[0].architecture
model = archsmith.train_model(
    best, corpus, tokenizer, train_bytes="50MB", output_dir="notes-model"
)
archsmith.export_model(model, "notes-files")
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, static_metrics
from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.halving.rungs import plan_rungs
from archsmith.space.dimensions import equal_context
from archsmith.space.presets import SpaceConfig
from archsmith.space.space import ArchitectureSpace
from archsmith.strategies.base import Strategy
from archsmith.study import Study
from archsmith.study import create_study as create_bare_study
from archsmith.train.recipe import Recipe
from archsmith.trial import Limit
from archsmith.units import parse_bytes
from archsmith.workflow.fitting import measure_latency
from archsmith.workflow.planning import LEAST_UPDATES
from archsmith.workflow.search_config import RUNG_SCORE_BYTES
from archsmith.workflow.workspace import bytes_per_token, training_settings

if TYPE_CHECKING:
    from archsmith.evaluators.trunk_training import TrunkTraining
    from archsmith.export.reading.folder import StockModel
    from archsmith.model.transformer import Transformer
    from archsmith.workflow.continuing import Exported
    from archsmith.workflow.model_folder import FinishedModel, TrainedModel


def prepare_corpus(*files: str, directory: str | Path, **settings: Any) -> Corpus:
    """Read, clean and split text; prepared again only when it changed.

    Args:
        files: files, folders or globs.
        directory: where the prepared corpus is kept.
        settings: further fields of `CorpusConfig`.

    Raises:
        CorpusError, ConfigError: the text or a setting will not do.
    """
    return Corpus.prepare(CorpusConfig(files=files, **settings), Path(directory))


def space_for(
    tokenizer: Tokenizer,
    corpus: Corpus,
    *,
    vocab_sizes: Sequence[int],
    context_bytes: int = 1024,
    **settings: Any,
) -> ArchitectureSpace:
    """A space whose vocabularies are prefixes of `tokenizer`, in contexts of equal bytes.

    `settings` are fields of `SpaceConfig`, such as preset="phi" or max_params="20M". Points that
    one of the two export formats cannot carry are left out.
    """
    known = bytes_per_token(corpus, tokenizer, tuple(vocab_sizes))
    config = SpaceConfig.model_validate(settings)
    built = config.build(equal_context(known, context_bytes=context_bytes))
    return built.exportable_to(("huggingface", "gguf")).space


def create_study(
    *,
    study_name: str,
    storage: str | Path,
    space: ArchitectureSpace,
    tokenizer: Tokenizer,
    strategy: Strategy | str = "law_guided",
    objectives: Sequence[str] = ("bits_per_byte",),
    limits: Sequence[str | Limit] = (),
    train_bytes: int | str,
    rungs: Sequence[float] = (0.03, 0.1, 0.3),
    corpus: Corpus | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    load_if_exists: bool = False,
    **options: Any,
) -> Study:
    """A study over architectures with the exact cost models, and latency where it is asked for.

    Args:
        tokenizer: the largest; its entries are part of the file's bytes.
        train_bytes: text of the final training; `rungs` are shares of it.
        corpus: the text; with it a surrogate knows what is read twice.
        recipe: the evaluator's, which says how short a rung may be.
        options: as `archsmith.study.create_study`.

    Raises:
        ConfigError: an unknown strategy, metric or limit.
        StoreError: the name is taken and `load_if_exists` is not set.
    """
    from archsmith.export.layout import prefix_num_bytes

    parsed = [Limit.parse(limit) if isinstance(limit, str) else limit for limit in limits]
    measured = {*objectives, *(limit.metric for limit in parsed)}
    trained_by = recipe or Recipe()
    tokenizer_bytes = prefix_num_bytes(tokenizer)
    least = max(2 * trained_by.warmup_steps, LEAST_UPDATES) * trained_by.batch_tokens
    total = parse_bytes(train_bytes)

    @cache  # torch is imported when the first candidate is counted
    def context() -> CostContext:
        return CostContext(tokenizer_bytes=tokenizer_bytes, training=training_settings(trained_by))

    def metrics(architecture: Architecture) -> Mapping[str, float]:
        return static_metrics(architecture, context())

    return create_bare_study(
        study_name=study_name,
        storage=storage,
        space=space,
        strategy=strategy,
        objectives=objectives,
        static_metrics=metrics,
        limits=parsed,
        # a token stands for a byte at least, so no rung ends too early
        rungs=plan_rungs(rungs, plan_bytes=total, min_bytes=min(least, total)),
        seed=seed,
        corpus_train_bytes=None if corpus is None else corpus.split_bytes(Split.TRAIN),
        measure=measure_latency if "decode_ms_per_token" in measured else None,
        load_if_exists=load_if_exists,
        **options,
    )


def trunk_training(
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    work_dir: str | Path,
    recipe: Recipe | None = None,
    protocol: ScoringProtocol | None = None,
) -> "TrunkTraining":
    """The evaluator that trains trunks on a corpus; token files are kept in `work_dir`."""
    from archsmith.evaluators.trunk_training import TrunkTraining

    folder = Path(work_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tokenizer-{tokenizer.hash}.json"
    tokenizer.save(path)
    return TrunkTraining(
        corpus=corpus.directory.absolute(),
        tokenizer=path,
        token_files=folder / "tokens",
        recipe=recipe or Recipe(),
        protocol=protocol or ScoringProtocol(max_bytes=RUNG_SCORE_BYTES),
    )


def train_model(
    architecture: Architecture,
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    output_dir: str | Path,
    train_bytes: int | str | None = None,
    max_seconds: float | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    num_threads: int = 1,
    **options: Any,
) -> "TrainedModel":
    """Train an architecture fully into a model folder; started again it continues.

    Exactly one of `train_bytes` and `max_seconds` is given. `options` as
    `archsmith.workflow.training.train_model`.
    """
    from archsmith.workflow.training import train_interruptibly

    size = architecture.vocab_size
    own = tokenizer if size == tokenizer.vocab_size else tokenizer.prefix(size)
    folder = Path(output_dir)
    train_tokens, search_tokens = (
        TokenFile.build(corpus, split, own, folder / "tokens")
        for split in (Split.TRAIN, Split.SEARCH)
    )
    return train_interruptibly(
        architecture,
        train_tokens=train_tokens,
        validation_tokens=search_tokens,
        tokenizer=own,
        recipe=recipe or Recipe(),
        protocol=ScoringProtocol(max_bytes=RUNG_SCORE_BYTES),
        output_dir=folder,
        max_seconds=max_seconds,
        train_bytes=None if train_bytes is None else parse_bytes(train_bytes),
        seed=seed,
        num_threads=num_threads,
        **options,
    )


def read_huggingface(folder: str | Path) -> "StockModel":
    """Architecture and weights of a folder that transformers' `save_pretrained` wrote.

    Returns a pair: the `Architecture`, and float32 arrays by canonical name. No code of the folder
    is run, and neither torch nor transformers is needed.

    Raises:
        ConfigError: a file is missing, or a setting is not among what archsmith computes.
        CheckpointError: a file is damaged, or a tensor missing, surplus or of another shape.
    """
    from archsmith.export.reading.folder import read_huggingface as read

    return read(folder)


def load_model(folder: str | Path) -> "Transformer":
    """The network of a model folder or of a transformers folder, in float32, ready to run.

    Raises ConfigError, CheckpointError.
    """
    from archsmith.model.transformer import build, load_numpy
    from archsmith.workflow.model_folder import is_model_folder, load_model_folder

    path = Path(folder)
    found = load_model_folder(path) if is_model_folder(path) else read_huggingface(path)
    model = build(found.architecture, seed=None)
    load_numpy(model, found.weights)
    return model.eval()


def export_model(
    model: "FinishedModel | str | Path",
    output_dir: str | Path,
    *,
    formats: Sequence[str] = ("gguf", "huggingface"),
    quantization: str | None = None,
    overwrite: bool = False,
) -> "Exported":
    """Write a model for stock tools, reload it in them, and compare.

    `model` may be a folder: one that `train_model` wrote, or a transformers folder.

    Raises ExportError, GateError.
    """
    from archsmith.workflow.continuing import export_source, export_trained

    if isinstance(model, str | Path):
        return export_source(
            Path(model),
            formats=formats,
            output_dir=Path(output_dir),
            quantization=quantization,
            overwrite=overwrite,
        )
    return export_trained(
        model,
        formats=formats,
        output_dir=Path(output_dir),
        quantization=quantization,
        overwrite=overwrite,
    )

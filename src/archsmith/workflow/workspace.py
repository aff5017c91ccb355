"""The prepared ground of a search: corpus, tokenizer, token files, space, cost models, target.

Everything is made on demand in the output folder and reused while its inputs are the same.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import islice
from pathlib import Path

from archsmith.architecture.tree import Architecture
from archsmith.config import content_hash
from archsmith.cost.base import CostContext, TrainingSettings, static_metrics
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.device.target import Target, load_target
from archsmith.errors import ConfigError, MissingExtraError
from archsmith.export.layout import prefix_num_bytes
from archsmith.space.dimensions import Vocabulary, equal_context
from archsmith.space.space import ArchitectureSpace, Exportable
from archsmith.train.recipe import Recipe
from archsmith.trial import Problem, Rung
from archsmith.workflow.search_config import SearchConfig, TokenizerConfig

# Enough to know the mean bytes per token to a few thousandths.
_SAMPLE_BYTES = 400_000
Report = Callable[[str, float], None]
# Formats that every point of a search's space can be written in.
EXPORTS = ("huggingface", "gguf")


def require_export() -> None:
    """Refuse early what cannot be handed over later. Raises MissingExtraError."""
    from importlib.util import find_spec

    for package in ("gguf", "transformers", "xllamacpp"):
        if find_spec(package) is None:
            raise MissingExtraError(f"a search ends in exported files; {package}", "export")
    from archsmith.export.native import library

    library()


class Workspace:
    """The inputs of a search on disk.

    Attributes:
        config: the search file.
        root: the folder its relative paths start from.
        output_dir: where everything made from it lies.
    """

    def __init__(
        self, config: SearchConfig, *, root: Path, report: Report = lambda what, fraction: None
    ) -> None:
        self.config = config
        self.root = root
        self.output_dir = root / config.output_dir
        self._report = report

    @cached_property
    def corpus(self) -> Corpus:
        """The prepared corpus. Raises CorpusError."""
        return prepare_corpus(
            self.config.corpus, self.output_dir, root=self.root, report=self._report
        )

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer of the largest vocabulary."""
        key = content_hash(self.config.tokenizer.model_dump_json() + self.corpus.hash)
        return self.output_dir / "tokenizers" / f"{key}.json"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the largest vocabulary; smaller ones are its prefixes."""
        return prepare_tokenizer(
            self.config.tokenizer,
            self.corpus,
            self.tokenizer_path,
            root=self.root,
            report=self._report,
        )

    def tokenizer_for(self, vocab_size: int) -> Tokenizer:
        """The tokenizer of a vocabulary of the space."""
        if vocab_size == self.tokenizer.vocab_size:
            return self.tokenizer
        return self.tokenizer.prefix(vocab_size)

    @property
    def tokens_dir(self) -> Path:
        """Where token files lie."""
        return self.output_dir / "tokens"

    def tokens(self, split: Split, vocab_size: int) -> TokenFile:
        """The token file of a split in a vocabulary, made if it is not there."""
        what = f"tokens of {split.value}, vocabulary {vocab_size}"
        return TokenFile.build(
            self.corpus,
            split,
            self.tokenizer_for(vocab_size),
            self.tokens_dir,
            progress=lambda fraction: self._report(what, fraction),
        )

    @cached_property
    def bytes_per_token(self) -> dict[int, float]:
        """Mean bytes of held-out text per token, for every vocabulary offered."""
        return bytes_per_token(self.corpus, self.tokenizer, self._vocab_sizes)

    @property
    def _vocab_sizes(self) -> tuple[int, ...]:
        if self.config.tokenizer.file is not None:
            return (self.tokenizer.vocab_size,)
        return self.config.tokenizer.vocab_sizes

    @cached_property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Vocabulary sizes with contexts that cover equal bytes of text."""
        return equal_context(self.bytes_per_token, context_bytes=self.config.plan.context_bytes)

    def context_of(self, vocab_size: int) -> int:
        """Tokens of context that hold the plan's bytes of text in any prefix of the tokenizer."""
        known = bytes_per_token(self.corpus, self.tokenizer, (vocab_size,))
        found = equal_context(known, context_bytes=self.config.plan.context_bytes)
        return found[0].context_tokens

    @cached_property
    def space(self) -> ArchitectureSpace:
        """The space of the search: what `[space]` says and both formats carry."""
        if self.config.space.vocabularies is not None:
            raise ConfigError(
                "space.vocabularies: in a search the vocabularies come from tokenizer.vocab_sizes "
                "and their contexts from plan.context_bytes; remove this key"
            )
        return self._exportable.space

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why parts of the space are not searched."""
        return self._exportable.reasons

    @cached_property
    def _exportable(self) -> Exportable:
        return self.config.space.build(self.vocabularies).exportable_to(EXPORTS)

    @cached_property
    def target(self) -> Target | None:
        """The machine the model is for, where it is another. Raises ConfigError."""
        named = self.config.device.target
        return None if named is None else load_target(self.root / named)

    @cached_property
    def cost_context(self) -> CostContext:
        """What the cost models need: metadata bytes of every vocabulary, and the recipe."""
        return CostContext(
            tokenizer_bytes=prefix_num_bytes(self.tokenizer),
            training=training_settings(self.config.training),
        )

    def static_metrics(self, architecture: Architecture) -> dict[str, float]:
        """Every metric that is known without running the model."""
        return dict(static_metrics(architecture, self.cost_context))

    def problem(
        self, *, rungs: tuple[Rung, ...] = (), start: tuple[Architecture, ...] = ()
    ) -> Problem:
        """The problem as strategies see it."""
        return Problem(
            space=self.space,
            objectives=self.config.objectives,
            limits=self.config.limits,
            rungs=rungs,
            static_metrics=self.static_metrics,
            seed=self.config.seed,
            start=start,
            corpus_train_bytes=self.corpus.split_bytes(Split.TRAIN),
            root=self.root,
        )


def training_settings(recipe: Recipe) -> TrainingSettings:
    """What the cost models need of a recipe. `auto` is what this machine trains in."""
    dtype = recipe.dtype
    if dtype == "auto":
        from archsmith.train.precision import choose_device, choose_dtype, dtype_name

        dtype = dtype_name(choose_dtype(dtype, choose_device("auto")))
    return TrainingSettings(
        optimizer=recipe.optimizer, batch_tokens=recipe.batch_tokens, dtype=dtype
    )


def prepare_corpus(config: CorpusConfig, output_dir: Path, *, root: Path, report: Report) -> Corpus:
    """The corpus of a config, in a folder of its own under `output_dir`."""
    return Corpus.prepare(
        config, output_dir / "corpus" / content_hash(config), root=root, progress=report
    )


def prepare_tokenizer(
    config: TokenizerConfig, corpus: Corpus, path: Path, *, root: Path, report: Report
) -> Tokenizer:
    """The tokenizer of a config: read from `path` if it is there, else read or trained."""
    if path.is_file():
        return Tokenizer.from_file(path)
    if config.file is not None:
        tokenizer = Tokenizer.from_file(root / config.file)
    else:
        report(f"tokenizer of {config.largest} entries", 0.0)
        tokenizer = Tokenizer.train(
            corpus,
            vocab_size=config.largest,
            pre_tokenizer=config.pre_tokenizer,
            max_bytes=config.sample_bytes,
        )
        report(f"tokenizer of {config.largest} entries", 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(path)
    return tokenizer


def bytes_per_token(
    corpus: Corpus, tokenizer: Tokenizer, vocab_sizes: tuple[int, ...]
) -> dict[int, float]:
    """Mean bytes per token on the start of the search split, document tokens included."""
    texts, total = [], 0
    for text in islice(corpus.documents(Split.SEARCH), 10_000):
        texts.append(text[:_SAMPLE_BYTES])
        total += len(texts[-1].encode())
        if total >= _SAMPLE_BYTES:
            break
    found = {}
    for size in vocab_sizes:
        kind = tokenizer if size == tokenizer.vocab_size else tokenizer.prefix(size)
        num_tokens = sum(1 + len(ids) for ids in kind.encode_batch(texts))
        found[size] = total / num_tokens
    return found

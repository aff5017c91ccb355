"""The search file, `search.toml`: one typed section per part, mistyped keys refused."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from archsmith.config import Spec, of_kind, read_toml, validate
from archsmith.data.corpus import CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.space.presets import SpaceConfig
from archsmith.strategies.base import Strategy
from archsmith.strategies.law_guided import LawGuided
from archsmith.train.recipe import Recipe
from archsmith.trial import Limit, known_metric
from archsmith.units import parse_bytes, parse_seconds
from archsmith.workflow.supernet_config import SupernetConfig, require_one_kind, settle

# Held-out text scored at a rung. Candidates are compared on the same bytes, so the text's own
# variance cancels; twice as much would read more tokens than the shortest rungs train on.
RUNG_SCORE_BYTES = 1 << 16


class TokenizerConfig(Spec):
    """[tokenizer]: a byte-level BPE trained on the corpus, or an existing `tokenizer.json`.

    The vocabulary is searched: it is trained once, at `trained_size` entries or the largest of
    `vocab_sizes`, and those offered are its first merges. With `file`, it is that file's.
    """

    vocab_sizes: tuple[PositiveInt, ...] = (512, 1024, 2048, 4096, 8192)
    trained_size: PositiveInt | None = None
    pre_tokenizer: Literal["gpt-2", "llama-bpe", "qwen2"] = "gpt-2"
    file: str | None = None
    sample_bytes: PositiveInt = 100_000_000

    @field_validator("sample_bytes", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("vocab_sizes")
    @classmethod
    def _sorted(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes:
            raise ValueError("at least one vocabulary size is needed")
        if min(sizes) < 288:
            raise ValueError(
                f"a byte-level vocabulary needs 256 bytes, a document token and some merges: "
                f"at least 288, got {min(sizes)}"
            )
        return tuple(sorted(set(sizes)))

    @property
    def largest(self) -> int:
        """Entries to train."""
        return max(self.trained_size or 0, *self.vocab_sizes)


class PlanConfig(Spec):
    """[plan]: what is trained, and for how long.

    `train_bytes` (text the winner is trained on) follows from the time left for training where it
    is not given. `rungs` are shares of it at which candidates are compared; those that end before
    twice the warm-up and 200 updates are dropped. `context_bytes` is the text one window covers;
    every vocabulary gets the context in tokens that holds it. Where the search's time has room, the
    best finalists are trained again, with `fresh_seeds` other seeds and with both learning rates
    times each of `rate_factors`.
    """

    train_bytes: int | None = None
    context_bytes: PositiveInt = 1024
    rungs: tuple[float, ...] = (0.03, 0.1, 0.3)
    reduction_factor: int = Field(default=3, ge=2)
    search_share: float = Field(default=0.25, gt=0.0, le=0.9)
    finalists: PositiveInt = 3
    fresh_seeds: int = Field(default=1, ge=0, le=16)
    rate_factors: tuple[float, ...] = (0.5, 2.0)
    calibrate: bool = True

    @field_validator("train_bytes", "context_bytes", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("rate_factors")
    @classmethod
    def _factors(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        inside = all(1 / 16 <= factor <= 16 and factor != 1.0 for factor in factors)
        if not inside or list(factors) != sorted(set(factors)):
            raise ValueError(
                "must rise from at least 0.0625 to at most 16, without 1, which every finalist has "
                f"been trained with; got {list(factors)}"
            )
        return factors

    @field_validator("rungs")
    @classmethod
    def _rungs(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        if (
            not rungs
            or any(not 0.0 < rung <= 1.0 for rung in rungs)
            or list(rungs) != sorted(set(rungs))
        ):
            raise ValueError(f"must rise from above 0 to at most 1, got {list(rungs)}")
        return rungs


class DeviceConfig(Spec):
    """[device]: the machine that the model is for, where it is another than this one.

    Milliseconds are then predicted, from what is measured here and the profiles of both machines,
    and are labelled so. Training follows this machine's own profile in any case.
    """

    target: str | None = None


class SearchConfig(Spec):
    """A whole search, as written in `search.toml`.

    `baselines` are hand-drawn shapes, tuned and trained for what the whole search cost, for the
    report's verdict; they take their time out of `timeout`. An empty list leaves them out.
    """

    study_name: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,100}$")
    storage: str = "sqlite:///archsmith.db"
    output_dir: str = "archsmith-output"
    seed: int = 0
    objectives: tuple[str, ...] = ("bits_per_byte",)
    limits: tuple[Limit, ...] = ()
    timeout: float | None = None
    n_trials: PositiveInt | None = None
    n_jobs: PositiveInt = 1
    baselines: tuple[Literal["parameter_maximizer", "llama_shape", "phi3_shape"], ...] = (
        "parameter_maximizer",
    )
    corpus: CorpusConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    space: SpaceConfig = SpaceConfig()
    strategy: of_kind(Strategy, "strategies") = LawGuided()  # type: ignore[valid-type]
    supernet: SupernetConfig | None = None
    training: Recipe = Recipe()
    plan: PlanConfig = PlanConfig()
    device: DeviceConfig = DeviceConfig()
    protocol: ScoringProtocol = ScoringProtocol()

    @field_validator("objectives")
    @classmethod
    def _objectives(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if not objectives:
            raise ValueError("at least one objective is needed, such as 'bits_per_byte'")
        return tuple(known_metric(name) for name in objectives)

    @field_validator("timeout", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return parse_seconds(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.timeout is None and self.n_trials is None:
            raise ValueError('a search needs an end: set timeout = "8h", n_trials = 200, or both')
        if self.timeout is None and self.plan.train_bytes is None:
            raise ValueError("without a timeout, plan.train_bytes says how long to train")
        return self

    @model_validator(mode="after")
    def _can_share_weights(self) -> Self:
        if self.shared_weights is None:
            return self
        if "train_seconds" in self.objectives:
            raise ValueError(
                "objectives: 'train_seconds' says nothing where candidates are not trained alone; "
                "leave it out, or [supernet] and its strategies"
            )
        require_one_kind(
            self.space,
            vocab_sizes=self.tokenizer.vocab_sizes,
            has_tokenizer_file=self.tokenizer.file is not None,
        )
        return self

    @property
    def shared_weights(self) -> SupernetConfig | None:
        """`[supernet]` with its method, also where the strategy implies it; None where every
        candidate is trained by itself."""
        return settle(self.supernet, self.strategy)

    @property
    def rung_protocol(self) -> ScoringProtocol:
        """How readings along the way are scored: the study's protocol on fewer bytes."""
        bound = self.protocol.max_bytes or RUNG_SCORE_BYTES
        return self.protocol.model_copy(update={"max_bytes": min(bound, RUNG_SCORE_BYTES)})


def load_search_config(path: Path, **overrides: Any) -> tuple[SearchConfig, Path]:
    """Read a search file; `overrides` replace top-level keys where they are not None.

    Returns the config and the folder its relative paths start from. Raises ConfigError.
    """
    data = read_toml(path)
    data.update({key: value for key, value in overrides.items() if value is not None})
    config = validate(SearchConfig, data, source=str(path))
    return config, path.resolve().parent

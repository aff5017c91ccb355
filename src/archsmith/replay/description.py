"""What the columns of a recorded table mean: a small TOML file, or options that say the same.

    [choices]
    categorical = ["l[0-7]"]          # names or patterns
    [objectives.accuracy]
    columns = ["acc_s0", "acc_s1", "acc_s2"]
    direction = "maximize"
    [static]
    num_params = "params"

A column is named as in the file's header. In JSON lines, `params.total` is a value inside an
object, `widths.0` one of a list, and `widths.length`, `widths.mean`, `widths.deviation` (standard)
and `widths.last` summarize a list of numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from archsmith.config import Spec, load_toml
from archsmith.errors import ConfigError

_OBJECTIVE = "NAME=COLUMN[,COLUMN...][:max]"
Direction = Literal["minimize", "maximize"]
_DIRECTIONS: dict[str, Direction] = {
    "maximize": "maximize", "max": "maximize", "minimize": "minimize", "min": "minimize",
}  # fmt: skip


class Choices(Spec):
    """Columns that say what a model is; patterns such as `l[0-7]` stand for several.

    Attributes:
        categorical: choices without an order.
        ordinal: numbers whose order means something; a step goes to the next recorded value.
        identity: a column that tells models apart, where the choices do not.
    """

    categorical: tuple[str, ...] = ()
    ordinal: tuple[str, ...] = ()
    identity: str | None = None


class Objective(Spec):
    """What is measured by training.

    Attributes:
        columns: one column, or one per training seed. A search sees one of them.
        direction: which way is better.
        scored: the column by which a search is judged; without it, the mean over the seeds.
        scale: the values are multiplied by it, as 100 for shares told in points.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    direction: Direction = "minimize"
    scored: str | None = None
    scale: float = Field(default=1.0, gt=0)

    @field_validator("columns", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class TableDescription(Spec):
    """Everything `archsmith replay` has to know of a table.

    Attributes:
        choices: what a model is.
        objectives: what training measures, by name; a run may use some of them.
        static: metric name to column, known before training; limits and rankings read them. A
            column may be an expression of two, as in "total - embedding".
        features: name to column, more numbers for surrogates. The logarithm is taken where the
            name begins with `log_`.
        where: column to value; other rows are left out.
        repeated_rows: what several rows of one model are: an error, or its training seeds.
        seen_seed: which seed a search sees: the first, or one drawn per repeat.
    """

    choices: Choices
    objectives: Mapping[str, Objective] = {}
    static: Mapping[str, str] = {}
    features: Mapping[str, str] = {}
    where: Mapping[str, str | int | float] = {}
    repeated_rows: Literal["error", "seeds"] = "error"
    seen_seed: Literal["first", "drawn"] = "first"

    @model_validator(mode="after")
    def _says_what_a_model_is(self) -> Self:
        choices = self.choices
        if not (choices.categorical or choices.ordinal or choices.identity):
            raise ValueError("[choices] names no column; give categorical, ordinal or identity")
        if not self.objectives and not self.static:
            raise ValueError("no [objectives.NAME] is described")
        return self


def find_description(table: Path) -> Path | None:
    """The TOML file beside a table (`runs.toml` for `runs.csv.gz`), or None."""
    path = table.with_name(table.name.split(".")[0] + ".toml")
    return path if path.is_file() else None


def read_description(path: Path) -> TableDescription:
    """Read a description. Raises ConfigError."""
    return load_toml(TableDescription, path)


def describe(
    *,
    categorical: Sequence[str] = (),
    ordinal: Sequence[str] = (),
    identity: str | None = None,
    objectives: Sequence[str] = (),
    static: Sequence[str] = (),
    where: Sequence[str] = (),
    seeds_in_rows: bool = False,
) -> TableDescription:
    """A description from options: `NAME=COLUMN` texts. Raises ConfigError.

    An objective without `=` is a static metric of that name, else the column.
    """
    known = _pairs(static, "--static")
    objectives = [text for text in objectives if text not in known]
    try:
        return TableDescription(
            choices=Choices(
                categorical=tuple(categorical), ordinal=tuple(ordinal), identity=identity
            ),
            objectives={objective_name(text): _objective(text) for text in objectives},
            static=known,
            where=_pairs(where, "--where"),
            repeated_rows="seeds" if seeds_in_rows else "error",
        )
    except ConfigError:
        raise
    except ValueError:
        raise ConfigError(
            "the table is not described: write a TOML file beside it or pass --description; or "
            f"name its columns by --categorical, --ordinal and --objective {_OBJECTIVE}"
        ) from None


def objective_name(text: str) -> str:
    """What an objective given as an option is called."""
    name, found, _ = text.partition("=")
    return name if found else text.rpartition(":")[0] or text


def _objective(text: str) -> Objective:
    name, found, columns = text.partition("=")
    if not (name and columns if found else text):
        raise ConfigError(f"cannot read --objective {text!r}; write {_OBJECTIVE}")
    columns, colon, last = (columns if found else text).rpartition(":")
    if not colon:
        return Objective(columns=tuple(last.split(",")))
    if last.lower() not in _DIRECTIONS:
        raise ConfigError(
            f"cannot read --objective {text!r}: behind the last colon stands max, maximize, min or "
            f"minimize, not {last!r}"
        )
    return Objective(columns=tuple(columns.split(",")), direction=_DIRECTIONS[last.lower()])


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, _, column = text.partition("=")
        if not (name and column):
            raise ConfigError(f"cannot read {option} {text!r}; write NAME=COLUMN")
        if name in pairs:
            raise ConfigError(f"{option} names '{name}' twice")
        pairs[name] = column
    return pairs

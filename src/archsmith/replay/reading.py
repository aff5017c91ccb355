"""Recorded tables as columns: CSV and JSON lines, plain or compressed by gzip."""

import csv
import fnmatch
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from archsmith.errors import ConfigError, did_you_mean

Value = str | float | int | None
# what spreadsheets and data frames write where a number is missing
_MISSING = frozenset({"", "n/a", "na", "<na>", "#n/a", "nan", "null", "none"})
_ENCODING = "utf-8-sig"  # spreadsheets begin a file with a mark
_OPERATIONS = {
    " + ": lambda a, b: a + b,
    " - ": lambda a, b: a - b,
    " * ": lambda a, b: a * b,
    " / ": lambda a, b: a / b if b else math.nan,
}


class Columns:
    """A table's rows by column name. Missing cells are None."""

    def __init__(self, name: str, rows: Sequence[Mapping[str, Value]]) -> None:
        self.name = name
        self._rows = list(rows)
        self.names = tuple(dict.fromkeys(key for row in rows for key in row))

    def __len__(self) -> int:
        return len(self._rows)

    def matching(self, pattern: str) -> list[str]:
        """Columns that a name or pattern stands for, in the file's order. Raises ConfigError."""
        if pattern in self.names:
            return [pattern]
        found = [name for name in self.names if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise ConfigError(
                f"{self.name}: no column '{pattern}'; {did_you_mean(pattern, self.names)}"
            )
        return found

    def expand(self, column: str) -> list[str]:
        """Columns a pattern stands for, or the expression of two columns itself."""
        is_expression = any(sign in column for sign in _OPERATIONS)
        return [column] if is_expression else self.matching(column)

    def values(self, column: str) -> list[Value]:
        """A column as it was recorded. Raises ConfigError where there is none of that name."""
        if column not in self.names:
            raise ConfigError(
                f"{self.name}: no column '{column}'; {did_you_mean(column, self.names)}"
            )
        return [row.get(column) for row in self._rows]

    def numbers(self, column: str) -> list[float]:
        """A column, or an expression of two, as numbers; NaN where a cell is missing, `n/a` or so.

        Raises ConfigError for a missing column and for other text.
        """
        if column not in self.names:
            for sign, operation in _OPERATIONS.items():
                first, found, second = column.partition(sign)
                if found:
                    pairs = zip(self.numbers(first), self.numbers(second), strict=True)
                    return [operation(a, b) for a, b in pairs]
        numbers = []
        for row, value in enumerate(self.values(column), start=1):
            number = math.nan if _is_missing(value) else as_number(value)
            if number is None:
                raise ConfigError(
                    f"{self.name}: row {row}: column '{column}' holds {value!r}, not a number"
                )
            numbers.append(number)
        return numbers

    def only(self, where: Mapping[str, str | float | int]) -> "Columns":
        """The rows whose cells equal `where`. Raises ConfigError where none is left."""
        kept = self._rows
        for column, wanted in where.items():
            values = self.values(column)
            kept = [row for row in kept if same(row.get(column), wanted)]
            if not kept:
                seen = ", ".join(str(v) for v in list(dict.fromkeys(values))[:5])
                raise ConfigError(
                    f"{self.name}: no row where {column} is {wanted!r}; it holds {seen}"
                )
        return Columns(self.name, kept)


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _MISSING)


def as_number(value: Value) -> float | None:
    """The number a cell holds, or None for text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    if value is None:
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf


def same(cell: Value, wanted: Value) -> bool:
    """Whether a cell holds a value, "1.0" and 1 being the same number."""
    if cell is None or wanted is None:
        return cell is wanted
    first, second = as_number(cell), as_number(wanted)
    return str(cell) == str(wanted) if first is None or second is None else first == second


def read_columns(path: Path) -> Columns:
    """Read `.csv`, `.tsv` or `.jsonl`, also `.gz`. Raises ConfigError with the line at fault."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    readers = {"csv": _csv, "tsv": _tsv, "jsonl": _json_lines, "ndjson": _json_lines}
    if kind not in readers:
        raise ConfigError(f"{path}: not a table; known endings: .csv, .tsv, .jsonl, each also .gz")
    try:
        with _open(path) as lines:
            rows = list(readers[kind](lines, path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise ConfigError(f"{path}: holds no rows")
    return Columns(path.name, rows)


def _open(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding=_ENCODING, newline="")
    return path.open(encoding=_ENCODING, newline="")


def _csv(lines: IO[str], path: Path, delimiter: str = ",") -> Iterator[dict[str, Value]]:
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if not header:
        return
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two columns are named '{twice}'")
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ConfigError(
                f"{path}: line {reader.line_num} has {len(cells)} cells, the header {len(header)}"
            )
        yield {name: cell.strip() or None for name, cell in zip(header, cells, strict=True)}


def _tsv(lines: IO[str], path: Path) -> Iterator[dict[str, Value]]:
    return _csv(lines, path, delimiter="\t")


def _json_lines(lines: IO[str], path: Path) -> Iterator[dict[str, Value]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
            raise ConfigError(f"{path}: line {number}: not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {number}: not a JSON object")
        yield dict(_flat(row, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Value]]:
    """Objects and lists as names with dots; of a list of numbers also its length, mean,
    standard deviation and last one."""
    dot = f"{name}." if name else ""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{dot}{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{dot}{index}")
        numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
        if numbers and len(numbers) == len(value):
            yield f"{dot}length", len(numbers)
            try:
                mean = sum(numbers) / len(numbers)
                squares = sum((number - mean) ** 2 for number in numbers)
            except OverflowError:
                mean = squares = math.inf
            yield f"{dot}mean", mean
            yield f"{dot}deviation", math.sqrt(squares / len(numbers))
            yield f"{dot}last", numbers[-1]
    elif isinstance(value, bool):
        yield name, str(value).lower()
    else:
        yield name, value

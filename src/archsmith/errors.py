"""Every exception archsmith raises on purpose, with the exit code its command ends with.

    ArchsmithError                 1   something failed; the message says what and what would work
    ├── ConfigError (ValueError)   2   a setting, option or file given by the user is wrong
    │   └── CorpusError            2   the text cannot serve: missing, too small, not text
    ├── InfeasibleError            3   nothing in the space meets the limits
    ├── MissingExtraError          1   an optional package is not installed
    ├── StoreError                 1   the study database is missing, damaged or of another version
    ├── CheckpointError            1   a checkpoint is missing, damaged or of another architecture
    ├── EvaluationError            1   a candidate failed; recorded, and the search goes on
    │   ├── DivergedError          1   loss or gradient became infinite or not a number
    │   └── OutOfMemoryError       1   the candidate needed more memory than there is
    ├── ExportError                1   a model cannot be written in a format
    │   └── GateError              1   the written file does not compute what the model computes
    └── SearchInterrupted        130   stopped by the user; resumable

Exit code 2 for wrong usage is click's own; 130 is the shell's for Ctrl-C.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ArchsmithError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(ArchsmithError, ValueError):
    """A setting, option or file given by the user is wrong."""

    exit_code = 2


class CorpusError(ConfigError):
    """The text cannot serve: it is missing, too small, or not text."""


class InfeasibleError(ArchsmithError):
    """Nothing in the space meets the limits."""

    exit_code = 3


class MissingExtraError(ArchsmithError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the '{extra}' extra: pip install 'archsmith[{extra}]'")


class StoreError(ArchsmithError):
    """The study database is missing, damaged or of another version."""


class CheckpointError(ArchsmithError):
    """A checkpoint is missing, damaged or belongs to another architecture."""


class EvaluationError(ArchsmithError):
    """A candidate failed. It is recorded with this reason and the search goes on."""


class DivergedError(EvaluationError):
    """Loss or gradient became infinite or not a number."""


class OutOfMemoryError(EvaluationError):
    """A candidate needed more memory than there is."""


class ExportError(ArchsmithError):
    """A model cannot be written in the format asked for."""


class GateError(ExportError):
    """The written file does not compute what the model computes."""


class SearchInterrupted(ArchsmithError):  # noqa: N818 - a state, not a fault
    """Stopped by the user; starting the same command again continues."""

    exit_code = 130


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A closing phrase for an error message: the nearest known word, or all of them."""
    names = sorted(known)
    near = get_close_matches(given, names, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is known"

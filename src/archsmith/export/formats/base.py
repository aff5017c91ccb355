"""What every exporter is: reasons against an architecture, and a writer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from archsmith.architecture.tree import Architecture

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer


class Exporter(Protocol):
    """Writes a trained model in one format."""

    @property
    def name(self) -> str:
        """The format's name."""

    def unsupported(self, architecture: Architecture) -> list[str]:
        """Why the format cannot hold `architecture`; empty if it can."""

    def write(
        self,
        path: Path,
        *,
        weights: Mapping[str, np.ndarray],
        architecture: Architecture,
        tokenizer: "Tokenizer",
        metadata: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        """Write the model; whole or not at all.

        Args:
            weights: canonical names to float32 arrays.
            metadata: what is to be said of the model's origin (name, corpus hash, versions).
        """

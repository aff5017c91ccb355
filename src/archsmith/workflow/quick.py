"""The suggestion for a corpus without a search file: read it in passing, ask the prior."""

import importlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from archsmith.config import validate
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.starter import held_out_fraction, vocab_sizes_for
from archsmith.workflow.suggesting import make_suggestion
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.workspace import Workspace

# Of a larger corpus the vocabulary is trained on a sample: an answer in seconds is promised. The
# search's own vocabulary has other merges then, and files that differ by some bytes of text.
VOCABULARY_SAMPLE_BYTES = 8_000_000


def quick_suggestion(
    files: Sequence[str],
    *,
    root: Path,
    limits: Sequence[str] = (),
    exclude: Sequence[str] = (),
    quantizations: Sequence[str] = ("Q8_0", "Q4_0"),
    seconds: float = 3600.0,
    report: Callable[[str, float], None] = lambda what, fraction: None,
) -> Suggestion:
    """Suggest for files, folders or globs below `root`; nothing is kept on disk.

    Args:
        limits: as "file_bytes<=16MiB".
        seconds: training time that is planned for.

    Raises:
        CorpusError, ConfigError: the text or a limit will not do.
        InfeasibleError: nothing meets the limits.
    """
    from archsmith.data.sources import find_files

    found = find_files(files, exclude=exclude, root=root.resolve())
    num_bytes = sum(file.path.stat().st_size for file in found)
    with tempfile.TemporaryDirectory(prefix="archsmith-suggest-") as folder:
        config = validate(
            SearchConfig,
            {
                "study_name": "suggest",
                "output_dir": folder,
                "limits": list(limits),
                "timeout": max(seconds, 60.0),
                "corpus": {
                    "files": list(files),
                    "exclude": list(exclude),
                    "near_duplicates": False,
                    "validation_fraction": held_out_fraction(num_bytes),
                    "test_fraction": held_out_fraction(num_bytes),
                },
                "tokenizer": {
                    "vocab_sizes": vocab_sizes_for(num_bytes),
                    "sample_bytes": VOCABULARY_SAMPLE_BYTES,
                },
                "space": {"quantizations": list(quantizations)},
            },
            source="suggest",
        )
        # needed at the end, to time an update; read from disk while corpus and tokenizer are made;
        # waited for at the end, as an interpreter that ends in the midst of an import may crash
        threading.Thread(target=importlib.import_module, args=("torch",)).start()
        workspace = Workspace(config, root=root.resolve(), report=report)
        return make_suggestion(
            workspace, recipe=config.training, seconds=seconds, train_bytes=None, num_threads=1
        )

"""Where checkpoints lie: one folder per store, study, trial and job.

`studies.db` keeps them in `studies-checkpoints/` beside it or in a folder that was named, and the
store holds paths relative to that folder, so that both can be moved together.
"""

import re
from pathlib import Path

from archsmith.config import content_hash
from archsmith.store.records import JobKind, JobRecord, StudyRecord
from archsmith.store.store import Store


def checkpoint_root(store: Store, study: StudyRecord) -> Path:
    """The folder of a study's checkpoints."""
    named = study.spec.get("checkpoint_dir")
    if named:
        # an absolute path stays what it is
        base = Path(named) if store.path is None else store.path.absolute().parent / named
    elif store.path is not None:
        base = store.path.with_name(f"{store.path.stem}-checkpoints")
    else:
        base = Path("archsmith-checkpoints").absolute()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", study.name).strip(".-") or "study"
    return base / f"{slug}-{content_hash(study.name)[:6]}"


def named_root(store: Store, folder: str | Path) -> str:
    """How a study's folder of checkpoints is stored: relative to the store's file if below it."""
    absolute = Path(folder).absolute()
    beside = None if store.path is None else store.path.absolute().parent
    if beside is None or not absolute.is_relative_to(beside):
        return str(absolute)
    return str(absolute.relative_to(beside))


def job_folder(root: Path, job: JobRecord) -> Path:
    """The folder of a job; the same on every attempt."""
    parts = [job.kind.value]
    if job.kind is JobKind.RUNG:
        parts.append(str(job.rung))
    parts.append(f"seed-{job.seed}")
    if job.label:
        parts.append(job.label)
    return root / f"trial-{job.number:05d}" / "-".join(parts)


def stored_path(root: Path, path: Path) -> str:
    """How a checkpoint's path is stored."""
    path = path.absolute()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def resume_point(root: Path, job: JobRecord) -> Path | None:
    """The latest checkpoint of an interrupted job, else the one it was given, else None.

    A job that was begun before may have left entries named `checkpoint*` in its folder; they are
    written under another name and renamed, so that an entry of that name is whole.
    """
    if job.attempt > 1:
        left = sorted(
            job_folder(root, job).glob("checkpoint*"), key=lambda entry: entry.stat().st_mtime_ns
        )
        whole = [entry for entry in left if not entry.name.endswith((".tmp", ".partial"))]
        if whole:
            return whole[-1]
    return root / job.checkpoint_in if job.checkpoint_in else None


def num_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    return path.stat().st_size if path.exists() else 0

"""The tables, as this version of archsmith knows them.

Every change to a study adds one to `studies.revision` and stamps the candidate it concerns, so
that a reader asks only for what is new. The stamp is written last in each transaction: the row of
the study serializes writers, so revisions become visible in order.

A change here needs a numbered migration in `migrations/versions` and its number in `REVISIONS`;
a test holds the migrated schema against this file.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Oldest first. The last one is the version this code reads and writes.
REVISIONS = ("0001", "0002")

metadata = MetaData()

version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("spec", Text, nullable=False),  # JSON
    Column("seed", BigInteger, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970
    Column("revision", Integer, nullable=False),
    Column("stop", Integer, nullable=False),  # 1 asks every worker to checkpoint and stop
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("point_type", String(255), nullable=False),  # "module:Class", or "json"
    Column("architecture", Text, nullable=False),  # JSON
    Column("state", String(16), nullable=False),  # trial.TrialState
    Column("strategy", String(255), nullable=False),
    Column("parents", Text, nullable=False),  # JSON list of numbers
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("static_metrics", Text, nullable=False),  # JSON
    Column("eliminated_rung", Integer),
    Column("created", Float, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("study_id", "number", name="uq_candidates_number"),
    UniqueConstraint("study_id", "hash", name="uq_candidates_hash"),
    Index("ix_candidates_revision", "study_id", "revision"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.id"), nullable=False),
    Column("candidate_id", Integer, ForeignKey("candidates.id"), nullable=False),
    Column("kind", String(16), nullable=False),  # records.JobKind
    Column("rung", Integer, nullable=False),  # -1 where the job belongs to none
    Column("fraction", Float, nullable=False),
    Column("train_bytes", BigInteger, nullable=False),  # target; 0 where it has none
    Column("seed", BigInteger, nullable=False),
    Column("label", String(64), nullable=False),  # tells jobs of one kind, rung and seed apart
    Column("state", String(16), nullable=False),  # records.JobState
    Column("owner", String(255), nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("attempt", Integer, nullable=False),  # how often it was claimed
    Column("losses", Integer, nullable=False),  # how often its worker died
    Column("options", Text, nullable=False),  # JSON
    Column("checkpoint_in", Text, nullable=False),
    Column("checkpoint_out", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("cpu_seconds", Float, nullable=False),  # all attempts
    Column("wall_seconds", Float, nullable=False),  # all attempts
    Column("threads", Integer, nullable=False),
    Column("progress", Text, nullable=False),  # JSON, the latest reading
    Column("progress_at", Float),
    UniqueConstraint("candidate_id", "kind", "rung", "seed", "label", name="uq_jobs_content"),
    Index("ix_jobs_queue", "study_id", "state", "id"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("job_id", Integer, ForeignKey("jobs.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Float, nullable=False),
)

readings = Table(
    "readings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
    Column("train_bytes", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("name", String(255), nullable=False),
    Column("value", Float, nullable=False),
    Index("ix_readings_job", "job_id", "train_bytes"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
    Column("path", Text, nullable=False),  # relative to the study's checkpoint folder if inside
    Column("bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # live, collected
    Column("created", Float, nullable=False),
    Index("ix_checkpoints_job", "job_id"),
)

notes = Table(
    "notes",
    metadata,
    Column("study_id", Integer, ForeignKey("studies.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", Text, nullable=False),  # JSON
)

# What was spent. Since 0002.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.id"), nullable=False),
    Column("phase", String(64), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("flops", Float, nullable=False),
    Column("number", Integer),  # the trial it was spent on, if one
    Column("created", Float, nullable=False),
    Index("ix_ledger_study", "study_id"),
)

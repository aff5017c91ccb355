"""The ledger: what was spent, and on which trial."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the ledger; jobs already done are entered from their own record."""
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("phase", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("cpu_seconds", sa.Float, nullable=False),
        sa.Column("flops", sa.Float, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("ix_ledger_study", "ledger", ["study_id"])
    op.execute(
        sa.text(
            "INSERT INTO ledger (study_id, phase, seconds, cpu_seconds, flops, number, created) "
            "SELECT jobs.study_id, jobs.kind, jobs.wall_seconds, jobs.cpu_seconds, 0, "
            "candidates.number, jobs.finished FROM jobs "
            "JOIN candidates ON candidates.id = jobs.candidate_id "
            "WHERE jobs.finished IS NOT NULL ORDER BY jobs.id"
        )
    )

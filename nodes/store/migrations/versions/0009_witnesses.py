"""Witnesses: what was cosigned, quorums, heads of partners, evidence."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "cosigned_head",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_cosigned_head"),
    )
    op.create_table(
        "quorum",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("quorum_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seen_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_quorum"),
    )
    op.create_table(
        "heard_head",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("heard_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("party", "log", name="pk_heard_head"),
    )
    op.create_table(
        "log_evidence",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("found_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_log_evidence"),
    )

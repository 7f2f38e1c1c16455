"""Attachments."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "blob",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("held", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("touched_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("expires_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sender", "blob_id", name="pk_blob"),
    )
    op.create_index("ix_blob_state", "blob", ["state"])
    op.create_table(
        "blob_part",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("start", NUMBER, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sender", "blob_id", "start", name="pk_blob_part"),
    )
    op.create_table(
        "blob_reader",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sender", "blob_id", "reader", name="pk_blob_reader"),
    )
    op.create_index("ix_blob_reader_reader", "blob_reader", ["reader"])

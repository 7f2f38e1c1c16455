"""Cosigned checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "cosigned",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("since_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("log", "stage", name="pk_cosigned"),
    )

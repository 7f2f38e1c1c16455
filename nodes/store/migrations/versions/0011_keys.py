"""Keys: with which each version was signed; streams that ended with a restore."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "provenance",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("statement_key", sa.LargeBinary(), nullable=False),
        sa.Column("envelope_key", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("reviewed_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_provenance"),
    )
    op.create_index("ix_provenance_statement_key", "provenance", ["statement_key", "received_ms"], unique=False)
    op.create_index("ix_provenance_envelope_key", "provenance", ["envelope_key", "received_ms"], unique=False)
    op.create_table(
        "stream_reset",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("log_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sender", name="pk_stream_reset"),
    )
    op.create_table(
        "stream_told",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partner", name="pk_stream_told"),
    )

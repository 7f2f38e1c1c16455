"""Sharing rules: agreements."""

import sqlalchemy as sa
from alembic import op

from exchange.names import PARTY_MAX

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "agreement_change",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("place", NUMBER, autoincrement=False, nullable=False),
        sa.Column("party", sa.String(length=PARTY_MAX), nullable=False),
        sa.Column("action", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("acknowledged_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_agreement_change"),
    )
    op.create_index("ix_agreement_change_commitment", "agreement_change", ["commitment", "place"], unique=False)
    op.create_table(
        "notice_acknowledgement",
        sa.Column("notice", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.String(length=PARTY_MAX), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("notice", "party", name="pk_notice_acknowledgement"),
    )

"""Sharing rules: consent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PARTY = sa.String(length=64)


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "consent_request",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("asker", PARTY, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pass_on", sa.Boolean(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_consent_request"),
    )
    op.create_index("ix_consent_request_item", "consent_request", ["item"], unique=False)
    op.create_index("ix_consent_request_asker", "consent_request", ["asker", "state"], unique=False)
    op.create_table(
        "consent_answer",
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("originator", PARTY, nullable=False),
        sa.Column("recipient", PARTY, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("answered_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("request", "originator", "recipient", name="pk_consent_answer"),
    )
    op.create_table(
        "consent_grant",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("originator", PARTY, nullable=False),
        sa.Column("holder", PARTY, nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_consent_grant"),
    )
    op.create_index("ix_consent_grant_item", "consent_grant", ["item", "holder"], unique=False)
    op.create_table(
        "onward",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", PARTY, nullable=False),
        sa.Column("holder", PARTY, nullable=False),
        sa.Column("hop", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", "recipient", "holder", name="pk_onward"),
    )

"""Sharing rules: operators and readers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of operators, their sessions, the audit, and of reader rules.

    The node writes the rules of reports that are here already when it starts: it takes their keys.
    """
    op.create_table(
        "reader_rule",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("rule", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_reader_rule"),
    )
    op.create_table(
        "reader_policy",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("party", name="pk_reader_policy"),
    )
    op.create_table(
        "reader_policy_told",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partner", name="pk_reader_policy_told"),
    )
    op.create_table(
        "operator",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("added_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("revoked_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("login_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_operator"),
    )
    op.create_index("ix_operator_key_id", "operator", ["key_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("started_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_session"),
    )
    op.create_index("ix_session_operator", "session", ["operator"], unique=False)
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )

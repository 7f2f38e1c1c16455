"""Sharing rules: obligations."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    for name in ("basis_id", "basis_commitment"):
        op.add_column("report", _bytes(name))
    op.create_index("ix_report_basis_commitment", "report", ["basis_commitment"], unique=False)
    op.create_table(
        "export",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("action", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.String(length=8), nullable=False),
        sa.Column("as_evidence", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_export"),
    )
    op.create_index("ix_export_item", "export", ["item"], unique=False)
    _make_recall()
    _make_decision()
    op.add_column("refusal", sa.Column("directory_size", NUMBER, nullable=False, server_default="0"))
    op.add_column("refusal", _bytes("evidence"))
    op.add_column("refusal", sa.Column("verdict", sa.String(length=16), nullable=False, server_default=""))
    op.create_index("ix_refusal_item", "refusal", ["item"], unique=False)
    op.create_index("ix_refusal_verdict", "refusal", ["verdict", "directory_size"], unique=False)
    with op.batch_alter_table("audience") as audience:
        for name in ("purge_by_ms", "keep_ms"):
            audience.add_column(sa.Column(name, NUMBER, autoincrement=False, nullable=False, server_default="0"))
    with op.batch_alter_table("audience") as audience:
        for name in ("purge_by_ms", "keep_ms"):
            audience.alter_column(name, server_default=None)
    receipted = sa.text("state = 'receipted'")
    op.create_index(
        "ix_audience_purge_by_ms",
        "audience",
        ["purge_by_ms"],
        unique=False,
        sqlite_where=receipted,
        postgresql_where=receipted,
    )


def _make_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("directory_size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_decision"),
    )
    op.create_index("ix_decision_item", "decision", ["item"], unique=False)
    op.create_index("ix_decision_stage", "decision", ["stage", "at_ms"], unique=False)


def _make_recall() -> None:
    op.create_table(
        "recall",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("action", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason_code", sa.String(length=32), nullable=False),
        sa.Column("onward", sa.Boolean(), nullable=False),
        sa.Column("asked_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("retracted_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("purged_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item", "partner", name="pk_recall"),
    )
    op.create_index("ix_recall_asked_ms", "recall", ["asked_ms"], unique=False)


def _bytes(name: str) -> "sa.Column[bytes]":
    """Return a column of bytes for a table that has rows: they get empty bytes."""
    empty = "x''" if op.get_bind().dialect.name == "sqlite" else "''"
    return sa.Column(name, sa.LargeBinary(), nullable=False, server_default=sa.text(empty))

"""What never came: numbers that are missing, requests for them, and control statements that are kept for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables and columns; streams that were heard before are looked through from their first number."""
    with op.batch_alter_table("stream_head") as table:
        for name in ("known_seq", "top_seq", "heard_ms"):
            table.add_column(sa.Column(name, NUMBER, nullable=False, server_default="0"))
    with op.batch_alter_table("stream_head") as table:
        for name in ("known_seq", "top_seq", "heard_ms"):
            table.alter_column(name, server_default=None)
    # A head that was compared and held leaves nothing to look for up to its number.
    op.execute("UPDATE stream_head SET known_seq = checked_seq, top_seq = head_seq, heard_ms = head_ms")
    with op.batch_alter_table("quarantine") as table:
        empty = "''" if op.get_bind().dialect.name == "postgresql" else "x''"
        table.add_column(sa.Column("envelope", sa.LargeBinary(), nullable=False, server_default=sa.text(empty)))
        table.create_index("ix_quarantine_envelope", ["envelope"])
    with op.batch_alter_table("quarantine") as table:
        table.alter_column("envelope", server_default=None)
    op.create_index("ix_slot_item", "slot", ["item"])
    again = sa.text("state = 'again'")
    op.create_index("ix_audience_again", "audience", ["item"], sqlite_where=again, postgresql_where=again)
    _create_recipients_side()
    _create_senders_side()


def _create_recipients_side() -> None:
    op.create_table(
        "missing",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("tries", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("due_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("promise", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("answered_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sender", "stream", "lane", "seq", name="pk_missing"),
    )
    op.create_index("ix_missing_state", "missing", ["state", "sender"])
    op.create_index("ix_missing_envelope", "missing", ["envelope"])
    op.create_table(
        "resend_statement",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_resend_statement"),
    )


def _create_senders_side() -> None:
    op.create_table(
        "asked_again",
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("asked_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("answered_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "stream", "lane", "seq", name="pk_asked_again"),
    )
    op.create_index("ix_asked_again_waiting", "asked_again", ["waiting"])
    op.create_table(
        "sent_control",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.String(length=128), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("added_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("promised_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_sent_control"),
    )
    op.create_index("ix_sent_control_promised_ms", "sent_control", ["promised_ms"])

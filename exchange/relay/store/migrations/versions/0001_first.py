"""The relay's store as it began."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _make_logs()
    _make_envelopes()
    _make_mailboxes()
    _make_registry()


def _make_logs() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_checkpoint"),
    )
    op.create_table(
        "directory_entry",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_directory_entry"),
    )
    op.create_table(
        "directory_mark",
        sa.Column("one", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_directory_mark"),
    )
    op.create_table(
        "log_state",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_log_state"),
    )
    op.create_table(
        "log_tile",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "level", "number", name="pk_log_tile"),
    )
    op.create_table(
        "traffic_entry",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_traffic_entry"),
    )


def _make_envelopes() -> None:
    op.create_table(
        "accepted",
        sa.Column("id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("promise", sa.LargeBinary(), nullable=False),
        sa.Column("decisions", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accepted"),
        sa.UniqueConstraint("hash", name="uq_accepted_hash"),
        sa.UniqueConstraint("sender", "envelope_id", name="uq_accepted_sender"),
    )
    op.create_table(
        "envelope",
        sa.Column("id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_envelope"),
    )
    op.create_table(
        "slots",
        sa.Column("key", NUMBER, autoincrement=False, nullable=False),
        sa.Column("envelope", NUMBER, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_slots"),
    )
    op.create_table(
        "evidence",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_evidence"),
    )
    op.create_table(
        "refused",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sender", "hash", name="pk_refused"),
    )
    op.create_index("ix_refused_at_ms", "refused", ["at_ms"], unique=False)


def _make_mailboxes() -> None:
    op.create_table(
        "cursor",
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("recipient", "lane", name="pk_cursor"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "held",
        sa.Column("id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("expires_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("parts", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_held"),
    )
    op.create_index("ix_held_expires_ms", "held", ["expires_ms"], unique=False)
    op.create_index(
        "ix_held_free",
        "held",
        ["id"],
        unique=False,
        sqlite_where=sa.text("remaining = 0"),
        postgresql_where=sa.text("remaining = 0"),
    )
    op.create_table(
        "mailbox",
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "lane", "position", name="pk_mailbox"),
        sqlite_with_rowid=False,
    )


def _make_registry() -> None:
    op.create_table(
        "agreement_view",
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("view", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("commitment", name="pk_agreement_view"),
    )
    op.create_table(
        "join_request",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("party", name="pk_join_request"),
    )
    op.create_table(
        "prekey_bundle",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_prekey_bundle"),
    )

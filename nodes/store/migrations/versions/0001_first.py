"""The node's store as it began."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _make_reports()
    _make_reports_2()
    _make_reports_3()
    _make_sending()
    _make_sending_2()
    _make_evidence()
    _make_evidence_2()
    _make_receiving()
    _make_receiving_2()
    _make_receiving_3()
    _make_trust()
    _make_trust_2()
    _make_operation()


def _make_reports() -> None:
    op.create_table(
        "report",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("originator", sa.String(length=64), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("tlp", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("authored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stix_digest", sa.LargeBinary(), nullable=False),
        sa.Column("title", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("purge_at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ask_at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("review_at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_report"),
        sa.UniqueConstraint("number", name="uq_report_number"),
    )
    op.create_index("ix_report_purge_at_ms", "report", ["purge_at_ms"], unique=False)
    op.create_index("ix_report_stix_digest", "report", ["stix_digest"], unique=False)
    op.create_index("ix_report_thread", "report", ["thread"], unique=False)


def _make_reports_2() -> None:
    op.create_table(
        "audience",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("due_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("basis_id", sa.LargeBinary(), nullable=False),
        sa.Column("basis_version", sa.Integer(), nullable=False),
        sa.Column("basis_commitment", sa.LargeBinary(), nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("receipted_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", "recipient", name="pk_audience"),
    )
    op.create_index(
        "ix_audience_todo",
        "audience",
        ["lane", "number"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_audience_unreceipted",
        "audience",
        ["item"],
        unique=False,
        sqlite_where=sa.text("state = 'promised'"),
        postgresql_where=sa.text("state = 'promised'"),
    )


def _make_reports_3() -> None:
    op.create_table(
        "event",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("log_position", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_event"),
    )
    op.create_index("ix_event_item", "event", ["item"], unique=False)
    op.create_table(
        "retraction",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("originator", sa.String(length=64), nullable=False),
        sa.Column("action", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason_code", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item", "originator", name="pk_retraction"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency"),
    )


def _make_sending() -> None:
    op.create_table(
        "control",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.String(length=128), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("added_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_control"),
    )
    op.create_table(
        "outbox",
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("submission", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("envelope", name="pk_outbox"),
        sa.UniqueConstraint("number", name="uq_outbox_number"),
    )
    op.create_table(
        "slot",
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("envelope", "recipient", name="pk_slot"),
    )
    op.create_index("ix_slot_recipient", "slot", ["recipient", "stream", "lane", "seq"], unique=True)


def _make_sending_2() -> None:
    op.create_table(
        "sequence",
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("settled_seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("settled_hash", sa.LargeBinary(), nullable=False),
        sa.Column("traffic_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("head_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("recipient", "stream", "lane", name="pk_sequence"),
    )


def _make_evidence() -> None:
    op.create_table(
        "promise",
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("directory_size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("received_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("checked_size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("promise", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("decisions", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("envelope", name="pk_promise"),
    )
    op.create_index("ix_promise_checked_size", "promise", ["checked_size", "log_index"], unique=False)
    op.create_index("ix_promise_log_index", "promise", ["log_index"], unique=False)
    op.create_table(
        "refusal",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("refused_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_refusal"),
    )


def _make_evidence_2() -> None:
    op.create_table(
        "receipt_batch",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_receipt_batch"),
    )
    op.create_table(
        "receipt",
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("envelope", "recipient", "status", name="pk_receipt"),
    )


def _make_receiving() -> None:
    op.create_table(
        "inbox",
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("envelope", name="pk_inbox"),
    )
    op.create_index("ix_inbox_item", "inbox", ["item"], unique=False)
    op.create_index("ix_inbox_sender", "inbox", ["sender", "stream", "lane", "seq"], unique=False)
    op.create_table(
        "cursor",
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("drained_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("lane", name="pk_cursor"),
    )


def _make_receiving_2() -> None:
    op.create_table(
        "stream_head",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("stream", NUMBER, autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("checked_seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("checked_hash", sa.LargeBinary(), nullable=False),
        sa.Column("head_seq", NUMBER, autoincrement=False, nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("voided", sa.Text(), nullable=False),
        sa.Column("head_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("sender", "stream", "lane", name="pk_stream_head"),
    )
    op.create_table(
        "receipt_queue",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_receipt_queue"),
    )


def _make_receiving_3() -> None:
    op.create_table(
        "quarantine",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_quarantine"),
    )


def _make_trust() -> None:
    op.create_table(
        "directory_entry",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_directory_entry"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("seen_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_checkpoint"),
    )
    op.create_table(
        "prekey_bundle",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("first_day", NUMBER, autoincrement=False, nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_prekey_bundle"),
    )
    op.create_table(
        "own_bundle",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("first_day", NUMBER, autoincrement=False, nullable=False),
        sa.Column("days", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("made_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_own_bundle"),
    )


def _make_trust_2() -> None:
    op.create_table(
        "agreement",
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("agreement_id", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("view", sa.LargeBinary(), nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("commitment", name="pk_agreement"),
    )


def _make_operation() -> None:
    op.create_table(
        "alarm",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("closed_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_alarm"),
    )
    op.create_index("ix_alarm_kind", "alarm", ["kind", "subject"], unique=False)
    op.create_table(
        "sensor",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.Column("until_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("added_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("revoked_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("pushed", NUMBER, autoincrement=False, nullable=False),
        sa.Column("refused", NUMBER, autoincrement=False, nullable=False),
        sa.Column("last_ms", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_sensor"),
        sa.UniqueConstraint("token_digest", name="uq_sensor_token_digest"),
    )

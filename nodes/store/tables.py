"""Tables of node.db. SQLAlchemy Core, the same on SQLite and PostgreSQL.

Titles, contents, labels and audiences of reports lie in `report.record` and `report.title`, sealed under the report's
own key (keys.db). What stands in clear here is what must be searched: docs/spec/node-store.md lists it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from exchange.names import PARTY_MAX

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)


NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite makes a single key of this type the row's own number."""


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, NUMBER, primary_key=key, autoincrement=False, nullable=False)


def _small(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, SmallInteger, primary_key=key, autoincrement=False, nullable=False)


def _data(name: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def _party(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String(PARTY_MAX), primary_key=key, nullable=False)


def _word(name: str, *, key: bool = False, length: int = 64) -> Column[str]:
    return Column(name, String(length), primary_key=key, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


# -- reports -----------------------------------------------------------------------------------------------------------

report = Table(
    "report",
    metadata,
    _data("item", key=True),
    _number("number"),
    _data("thread"),
    _word("direction", length=8),
    _party("originator"),
    _party("sender"),
    _word("kind"),
    _small("tlp"),
    _small("lane"),
    _number("authored_ms"),
    _number("stored_ms"),
    _word("state", length=16),
    _data("stix_digest"),
    _data("title"),
    _data("record"),
    _number("purge_at_ms"),
    _number("ask_at_ms"),
    _number("review_at_ms"),
    UniqueConstraint("number"),
    Index("ix_report_thread", "thread"),
    Index("ix_report_stix_digest", "stix_digest"),
    Index("ix_report_purge_at_ms", "purge_at_ms"),
)
"""Every version of every report, sent and received. `title` and `record` are sealed; both are empty once purged.

`stix_digest` is a keyed digest of the STIX id, so that a report can be found by it and guessed by nobody.
"""

audience = Table(
    "audience",
    metadata,
    _data("item", key=True),
    _party("recipient", key=True),
    _number("number"),
    _small("kind"),
    _small("lane"),
    _word("state", length=16),
    _text("why"),
    _number("due_ms"),
    Column("tries", Integer, nullable=False),
    Column("alone", Boolean, nullable=False),
    _data("basis_id"),
    Column("basis_version", Integer, nullable=False),
    _data("basis_commitment"),
    _text("clause"),
    _data("envelope"),
    _number("receipted_ms"),
)
"""Where an item stands with each recipient; of control statements only until the relay has promised them."""

Index(
    "ix_audience_todo",
    audience.c.lane,
    audience.c.number,
    sqlite_where=audience.c.state == "waiting",
    postgresql_where=audience.c.state == "waiting",
)
Index(
    "ix_audience_unreceipted",
    audience.c.item,
    sqlite_where=audience.c.state == "promised",
    postgresql_where=audience.c.state == "promised",
)

event = Table(
    "event",
    metadata,
    _number("number", key=True),
    _data("item"),
    _number("at_ms"),
    _word("event", length=32),
    Column("partner", String(PARTY_MAX), nullable=False),
    _text("detail"),
    _data("envelope"),
    _number("log_position"),
    Index("ix_event_item", "item"),
)
"""The story of each report. Rows are added and never changed."""

retraction = Table(
    "retraction",
    metadata,
    _data("item", key=True),
    _party("originator", key=True),
    _small("action"),
    _word("reason_code", length=32),
    _text("text"),
    _number("at_ms"),
    _number("stored_ms"),
    _data("statement"),
    _data("envelope"),
)
"""Retractions, also of items that have not come yet; only the one by an item's originator counts for it."""

idempotency = Table("idempotency", metadata, _data("key", key=True), _data("item"), _number("at_ms"))
"""Digests of idempotency keys, and the item that each push made."""

# -- sending -----------------------------------------------------------------------------------------------------------

control = Table(
    "control",
    metadata,
    _data("item", key=True),
    _word("type", length=128),
    _data("statement"),
    _number("added_ms"),
)
"""Signed control statements that wait to be sealed for somebody."""

outbox = Table(
    "outbox",
    metadata,
    _data("envelope", key=True),
    _number("number"),
    _data("item"),
    _small("kind"),
    _small("lane"),
    _number("sealed_ms"),
    _data("header"),
    _data("submission"),
    UniqueConstraint("number"),
)
"""Sealed envelopes without an answer: these bytes, and no others, are sent until the relay answers."""

slot = Table(
    "slot",
    metadata,
    _data("envelope", key=True),
    _party("recipient", key=True),
    _data("item"),
    _small("place"),
    _small("lane"),
    _number("stream"),
    _number("seq"),
    _word("state", length=16),
    Index("ix_slot_recipient", "recipient", "stream", "lane", "seq", unique=True),
)
"""The number that each recipient's slot took: sealed, promised or voided."""

sequence = Table(
    "sequence",
    metadata,
    _party("recipient", key=True),
    _number("stream", key=True),
    _small("lane", key=True),
    _number("last_seq"),
    _number("settled_seq"),
    _data("settled_hash"),
    _number("traffic_ms"),
    _number("head_ms"),
)
"""Last number used towards a recipient, and the running hash up to the last one that is answered without a gap."""

promise = Table(
    "promise",
    metadata,
    _data("envelope", key=True),
    _data("item"),
    _number("log_index"),
    _number("directory_size"),
    _number("received_ms"),
    Column("ours", Boolean, nullable=False),
    _number("checked_size"),
    _data("promise"),
    _data("header"),
    _data("decisions"),
    Index("ix_promise_log_index", "log_index"),
    Index("ix_promise_checked_size", "checked_size", "log_index"),
)
"""What the relay promised, for envelopes sent (with header and decisions) and received. Kept: it is evidence."""

refusal = Table(
    "refusal",
    metadata,
    _number("number", key=True),
    _data("envelope"),
    _data("item"),
    _word("reason"),
    _small("step"),
    Column("recipient", String(PARTY_MAX), nullable=False),
    _number("refused_ms"),
    _data("statement"),
)
"""What the relay refused, with its signed words."""

receipt_batch = Table(
    "receipt_batch",
    metadata,
    _data("hash", key=True),
    _party("sender"),
    _number("at_ms"),
    _number("stored_ms"),
    _data("statement"),
)
"""Signed batches of receipts that came back."""

receipt = Table(
    "receipt",
    metadata,
    _data("envelope", key=True),
    _party("recipient", key=True),
    _small("status", key=True),
    _data("item"),
    _number("at_ms"),
    _small("step"),
    _word("reason"),
    _data("batch"),
)
"""One line of a batch, by the recipient that signed it."""

# -- receiving ---------------------------------------------------------------------------------------------------------

inbox = Table(
    "inbox",
    metadata,
    _data("envelope", key=True),
    _party("sender"),
    _data("item"),
    _small("kind"),
    _small("lane"),
    _number("stream"),
    _number("seq"),
    _number("position"),
    _number("stored_ms"),
    Index("ix_inbox_sender", "sender", "stream", "lane", "seq"),
    Index("ix_inbox_item", "item"),
)
"""Every envelope that held, for ever: what a repeat is recognised by, and loss."""

cursor = Table("cursor", metadata, _small("lane", key=True), _number("position"), _number("drained_ms"))
"""Last position that is durable here, and the relay's time when a lane was last empty."""

stream_head = Table(
    "stream_head",
    metadata,
    _party("sender", key=True),
    _number("stream", key=True),
    _small("lane", key=True),
    _number("checked_seq"),
    _data("checked_hash"),
    _number("head_seq"),
    _data("head_hash"),
    _text("voided"),
    _number("head_ms"),
    _word("state", length=16),
)
"""What a sender says it has sent here, and how far that was found to be true."""

receipt_queue = Table(
    "receipt_queue",
    metadata,
    _number("number", key=True),
    _party("sender"),
    _data("envelope"),
    _data("item"),
    _small("status"),
    _number("at_ms"),
    _small("step"),
    _word("reason"),
    Column("urgent", Boolean, nullable=False),
)
"""Receipts that wait to be signed."""

quarantine = Table(
    "quarantine",
    metadata,
    _data("hash", key=True),
    _number("at_ms"),
    Column("sender", String(PARTY_MAX), nullable=False),
    _small("lane"),
    _number("position"),
    _small("step"),
    _word("reason"),
    _text("detail"),
    _data("raw"),
)
"""Deliveries that failed a check, as they came."""

# -- trust -------------------------------------------------------------------------------------------------------------

directory_entry = Table("directory_entry", metadata, _number("number", key=True), _data("entry"))
"""The directory log, as the relay sent it and its checkpoints confirm."""

checkpoint = Table("checkpoint", metadata, _small("log", key=True), _number("size"), _text("note"), _number("seen_ms"))
"""The newest verified checkpoint of each log."""

prekey_bundle = Table(
    "prekey_bundle", metadata, _data("hash", key=True), _party("party"), _number("first_day"), _data("bundle")
)
"""Partners' signed bundles of prekeys, by payload hash."""

own_bundle = Table(
    "own_bundle",
    metadata,
    _data("hash", key=True),
    _number("first_day"),
    _small("days"),
    _number("made_ms"),
    Column("published", Boolean, nullable=False),
    _data("bundle"),
)
"""Bundles that this node made."""

agreement = Table(
    "agreement",
    metadata,
    _data("commitment", key=True),
    _data("agreement_id"),
    Column("version", Integer, nullable=False),
    _data("text"),
    _data("view"),
    _number("stored_ms"),
    Column("published", Boolean, nullable=False),
)
"""Agreements of this party: signed texts (empty when only the view is known) and signed views."""

# -- the node itself ---------------------------------------------------------------------------------------------------

alarm = Table(
    "alarm",
    metadata,
    _number("number", key=True),
    _word("kind"),
    _word("subject", length=200),
    _number("at_ms"),
    _text("text"),
    _number("closed_ms"),
    Index("ix_alarm_kind", "kind", "subject"),
)
"""What an operator must look at."""

sensor = Table(
    "sensor",
    metadata,
    _word("name", key=True),
    _data("token_digest"),
    _data("scope"),
    _number("until_ms"),
    _number("added_ms"),
    _number("revoked_ms"),
    _number("pushed"),
    _number("refused"),
    _number("last_ms"),
    UniqueConstraint("token_digest"),
)
"""Machines that may push, with digests of their tokens; `scope` is JSON (nodes/sensors.py)."""

# -- keys.db -----------------------------------------------------------------------------------------------------------

keys_metadata = MetaData(naming_convention=metadata.naming_convention)

report_key = Table("report_key", keys_metadata, _data("item", key=True), _data("wrapped"))
"""Keys of reports, each wrapped under the store's master key; deleting one destroys its report."""

prekey = Table("prekey", keys_metadata, _data("key_id", key=True), _number("day"), _data("wrapped"))
"""Seeds of daily prekeys, each wrapped under the store's master key."""

"""Tables of node.db. SQLAlchemy Core, the same on SQLite and PostgreSQL.

Titles, contents, labels and audiences of reports lie in `report.record` and `report.title`, sealed under the report's
own key (keys.db). What stands in clear here is what must be searched: docs/spec/node-store.md lists it.
"""

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

from exchange.names import PARTY_MAX
from nodes.store.columns import data, metadata, number, party, small, text, word

# -- reports -----------------------------------------------------------------------------------------------------------

report = Table(
    "report",
    metadata,
    data("item", key=True),
    number("number"),
    data("thread"),
    word("direction", length=8),
    party("originator"),
    party("sender"),
    word("kind"),
    small("tlp"),
    small("lane"),
    number("authored_ms"),
    number("stored_ms"),
    word("state", length=16),
    data("stix_digest"),
    data("title"),
    data("record"),
    number("purge_at_ms"),
    number("ask_at_ms"),
    number("review_at_ms"),
    data("basis_id"),
    data("basis_commitment"),
    UniqueConstraint("number"),
    Index("ix_report_basis_commitment", "basis_commitment"),
    Index("ix_report_thread", "thread"),
    Index("ix_report_stix_digest", "stix_digest"),
    Index("ix_report_purge_at_ms", "purge_at_ms"),
)
"""Every version of every report, sent and received. `title` and `record` are sealed; both are empty once purged.

`stix_digest` is a keyed digest of the STIX id, so that a report can be found by it and guessed by nobody. `basis_id`
and `basis_commitment` name the agreement under which it came: when that ends, so may what is held under it.
"""

audience = Table(
    "audience",
    metadata,
    data("item", key=True),
    party("recipient", key=True),
    number("number"),
    small("kind"),
    small("lane"),
    word("state", length=16),
    text("why"),
    number("due_ms"),
    Column("on_change", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("alone", Boolean, nullable=False),
    data("basis_id"),
    Column("basis_version", Integer, nullable=False),
    data("basis_commitment"),
    text("clause"),
    data("envelope"),
    number("receipted_ms"),
    number("purge_by_ms"),
    number("keep_ms"),
    Index("ix_audience_number", "number"),
)
"""Where an item stands with each recipient; of control statements only until the relay has promised them."""

Index(
    "ix_audience_purge_by_ms",
    audience.c.purge_by_ms,
    sqlite_where=audience.c.state == "receipted",
    postgresql_where=audience.c.state == "receipted",
)

Index(
    "ix_audience_todo",
    audience.c.lane,
    audience.c.number,
    sqlite_where=audience.c.state == "waiting",
    postgresql_where=audience.c.state == "waiting",
)
Index(
    "ix_audience_again",
    audience.c.item,
    sqlite_where=audience.c.state == "again",
    postgresql_where=audience.c.state == "again",
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
    number("number", key=True),
    data("item"),
    number("at_ms"),
    word("event", length=32),
    Column("partner", String(PARTY_MAX), nullable=False),
    text("detail"),
    data("envelope"),
    number("log_position"),
    Index("ix_event_item", "item"),
)
"""The story of each report. Rows are added and never changed."""

retraction = Table(
    "retraction",
    metadata,
    data("item", key=True),
    party("originator", key=True),
    small("action"),
    word("reason_code", length=32),
    text("text"),
    number("at_ms"),
    number("stored_ms"),
    data("statement"),
    data("envelope"),
)
"""Retractions, also of items that have not come yet; only the one by an item's originator counts for it."""

idempotency = Table("idempotency", metadata, data("key", key=True), data("item"), number("at_ms"))
"""Digests of idempotency keys, and the item that each push made."""

# -- sending -----------------------------------------------------------------------------------------------------------

control = Table(
    "control",
    metadata,
    data("item", key=True),
    word("type", length=128),
    data("statement"),
    number("added_ms"),
)
"""Signed control statements that wait to be sealed for somebody."""

outbox = Table(
    "outbox",
    metadata,
    data("envelope", key=True),
    number("number"),
    data("item"),
    small("kind"),
    small("lane"),
    number("sealed_ms"),
    data("header"),
    data("submission"),
    UniqueConstraint("number"),
)
"""Sealed envelopes without an answer: these bytes, and no others, are sent until the relay answers."""

slot = Table(
    "slot",
    metadata,
    data("envelope", key=True),
    party("recipient", key=True),
    data("item"),
    small("place"),
    small("lane"),
    number("stream"),
    number("seq"),
    word("state", length=16),
    Index("ix_slot_recipient", "recipient", "stream", "lane", "seq", unique=True),
    Index("ix_slot_item", "item"),
)
"""The number that each recipient's slot took: sealed, promised or voided."""

sequence = Table(
    "sequence",
    metadata,
    party("recipient", key=True),
    number("stream", key=True),
    small("lane", key=True),
    number("last_seq"),
    number("settled_seq"),
    data("settled_hash"),
    number("traffic_ms"),
    number("head_ms"),
)
"""Last number used towards a recipient, and the running hash up to the last one that is answered without a gap."""

reached = Table("reached", metadata, party("recipient", key=True), number("first_ms"))
"""Partners for whom a report was ever sealed, and since when: control traffic alone is nothing that people sent."""

promise = Table(
    "promise",
    metadata,
    data("envelope", key=True),
    data("item"),
    number("log_index"),
    number("directory_size"),
    number("received_ms"),
    Column("ours", Boolean, nullable=False),
    number("checked_size"),
    data("promise"),
    data("header"),
    data("decisions"),
    Index("ix_promise_log_index", "log_index"),
    Index("ix_promise_checked_size", "checked_size", "log_index"),
)
"""What the relay promised, for envelopes sent (with header and decisions) and received. Kept: it is evidence."""

refusal = Table(
    "refusal",
    metadata,
    number("number", key=True),
    data("envelope"),
    data("item"),
    word("reason"),
    small("step"),
    Column("recipient", String(PARTY_MAX), nullable=False),
    number("refused_ms"),
    data("statement"),
    number("directory_size"),
    data("evidence"),
    word("verdict", length=16),
    Index("ix_refusal_item", "item"),
    Index("ix_refusal_verdict", "verdict", "directory_size"),
)
"""What the relay refused, with its signed words. `evidence` is what they are judged by (nodes/refusals.py); `verdict`
is empty until the directory has been replayed as far as the refusal says."""

receipt_batch = Table(
    "receipt_batch",
    metadata,
    data("hash", key=True),
    party("sender"),
    number("at_ms"),
    number("stored_ms"),
    data("statement"),
)
"""Signed batches of receipts that came back."""

receipt = Table(
    "receipt",
    metadata,
    data("envelope", key=True),
    party("recipient", key=True),
    small("status", key=True),
    data("item"),
    number("at_ms"),
    small("step"),
    word("reason"),
    data("batch"),
)
"""One line of a batch, by the recipient that signed it."""

# -- receiving ---------------------------------------------------------------------------------------------------------

inbox = Table(
    "inbox",
    metadata,
    data("envelope", key=True),
    party("sender"),
    data("item"),
    small("kind"),
    small("lane"),
    number("stream"),
    number("seq"),
    number("position"),
    number("stored_ms"),
    Index("ix_inbox_sender", "sender", "stream", "lane", "seq"),
    Index("ix_inbox_item", "item"),
)
"""Every envelope that held, for ever: what a repeat is recognised by, and loss."""

cursor = Table("cursor", metadata, small("lane", key=True), number("position"), number("drained_ms"))
"""Last position that is durable here, and the relay's time when a lane was last empty."""

stream_head = Table(
    "stream_head",
    metadata,
    party("sender", key=True),
    number("stream", key=True),
    small("lane", key=True),
    number("checked_seq"),
    data("checked_hash"),
    number("head_seq"),
    data("head_hash"),
    text("voided"),
    number("head_ms"),
    word("state", length=16),
    number("known_seq"),
    number("top_seq"),
    number("heard_ms"),
)
"""What a sender says it has sent here, and how far that was found to be true.

Each number up to `known_seq` came, is void, or stands in `missing`; `top_seq` is the highest that came or was told.
"""

receipt_queue = Table(
    "receipt_queue",
    metadata,
    number("number", key=True),
    party("sender"),
    data("envelope"),
    data("item"),
    small("status"),
    number("at_ms"),
    small("step"),
    word("reason"),
    Column("urgent", Boolean, nullable=False),
)
"""Receipts that wait to be signed."""

quarantine = Table(
    "quarantine",
    metadata,
    data("hash", key=True),
    number("at_ms"),
    Column("sender", String(PARTY_MAX), nullable=False),
    small("lane"),
    number("position"),
    small("step"),
    word("reason"),
    text("detail"),
    data("raw"),
    data("envelope"),
    Index("ix_quarantine_envelope", "envelope"),
)
"""Deliveries that failed a check, as they came."""

# -- trust -------------------------------------------------------------------------------------------------------------

directory_entry = Table("directory_entry", metadata, number("number", key=True), data("entry"))
"""The directory log, as the relay sent it and its checkpoints confirm."""

checkpoint = Table("checkpoint", metadata, small("log", key=True), number("size"), text("note"), number("seen_ms"))
"""The newest verified checkpoint of each log."""

prekey_bundle = Table(
    "prekey_bundle", metadata, data("hash", key=True), party("party"), number("first_day"), data("bundle")
)
"""Partners' signed bundles of prekeys, by payload hash."""

own_bundle = Table(
    "own_bundle",
    metadata,
    data("hash", key=True),
    number("first_day"),
    small("days"),
    number("made_ms"),
    Column("published", Boolean, nullable=False),
    data("bundle"),
)
"""Bundles that this node made."""

agreement = Table(
    "agreement",
    metadata,
    data("commitment", key=True),
    data("agreement_id"),
    Column("version", Integer, nullable=False),
    data("text"),
    data("view"),
    number("stored_ms"),
    Column("published", Boolean, nullable=False),
)
"""Agreements of this party: signed texts (empty when only the view is known) and signed views."""

# -- the node itself ---------------------------------------------------------------------------------------------------

alarm = Table(
    "alarm",
    metadata,
    number("number", key=True),
    word("kind"),
    word("subject", length=200),
    number("at_ms"),
    text("text"),
    number("closed_ms"),
    Index("ix_alarm_kind", "kind", "subject"),
)
"""What an operator must look at."""

sensor = Table(
    "sensor",
    metadata,
    word("name", key=True),
    data("token_digest"),
    data("scope"),
    number("until_ms"),
    number("added_ms"),
    number("revoked_ms"),
    number("pushed"),
    number("refused"),
    number("last_ms"),
    number("ca_ms"),
    UniqueConstraint("token_digest"),
)
"""Machines that may push, with digests of their tokens; `scope` is JSON (nodes/sensors.py)."""

# -- keys.db -----------------------------------------------------------------------------------------------------------

keys_metadata = MetaData(naming_convention=metadata.naming_convention)

report_key = Table("report_key", keys_metadata, data("item", key=True), data("wrapped"))
"""Keys of reports, each wrapped under the store's master key; deleting one destroys its report."""

prekey = Table("prekey", keys_metadata, data("key_id", key=True), number("day"), data("wrapped"))
"""Seeds of daily prekeys, each wrapped under the store's master key."""

node_key = Table(
    "node_key",
    keys_metadata,
    number("number", key=True),
    word("use", length=16),
    number("made_ms"),
    data("public"),
    data("secret"),
    data("statement"),
)
"""Keys that follow those of node.keys (nodes/keyring.py): `secret` is sealed under the store's master key, `public` a
CA's certificate, `statement` what enters it in the directory; both are empty for signing keys."""

"""Tables of the relay's store. SQLAlchemy Core, the same on SQLite and PostgreSQL.

An envelope is known by its index in the traffic log: that is its number in every table, and its position in every
mailbox. Index 0 is always a directory head, so that position 0 can mean "nothing yet".
Bodies stand once (`envelope`), slots beside them (`slots`); mailboxes are slim rows that point there.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
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


NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit number. SQLite's INTEGER is one, and only under that name a primary key is the row's own number."""


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, NUMBER, primary_key=key, autoincrement=False, nullable=False)


def _small(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, SmallInteger, primary_key=key, autoincrement=False, nullable=False)


def _data(name: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def _party(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String(PARTY_MAX), primary_key=key, nullable=False)


# -- both logs ---------------------------------------------------------------------------------------------------------

log_state = Table("log_state", metadata, _small("log", key=True), _number("size"), _data("root"))
"""Size and root hash of each log; changes in the transaction that appends."""

log_tile = Table(
    "log_tile",
    metadata,
    _small("log", key=True),
    _small("level", key=True),
    _number("number", key=True),
    Column("width", Integer, nullable=False),
    _data("hashes"),
)
"""The tree's hashes in C2SP tiles of up to 256; a partial tile is replaced by its longer self."""

directory_entry = Table("directory_entry", metadata, _number("number", key=True), _data("entry"))
"""Signed bytes of every statement, by index."""

traffic_entry = Table("traffic_entry", metadata, _number("number", key=True), _data("entry"))
"""41 bytes an entry, by index."""

directory_mark = Table("directory_mark", metadata, _small("one", key=True), _number("size"))
"""Directory size that the newest directory-head entry of the traffic log names; at most one row."""

checkpoint = Table(
    "checkpoint", metadata, _small("log", key=True), _number("size"), Column("note", String, nullable=False)
)
"""The newest checkpoint of each log that was handed out."""

cosigned = Table(
    "cosigned",
    metadata,
    _small("log", key=True),
    _small("stage", key=True),
    _number("size"),
    Column("note", String, nullable=False),
    _number("since_ms"),
)
"""Of each log, the note that witnesses are asked to cosign (stage 1) and the newest that a quorum has (stage 2)."""

# -- envelopes ---------------------------------------------------------------------------------------------------------

accepted = Table(
    "accepted",
    metadata,
    _number("id", key=True),
    _data("hash"),
    _party("sender"),
    _data("envelope_id"),
    _data("promise"),
    _data("decisions"),
    UniqueConstraint("hash"),
    UniqueConstraint("sender", "envelope_id"),
)
"""Every envelope that was ever promised, with the promise's bytes: outlives its ciphertext, and is never deleted."""

refused = Table(
    "refused",
    metadata,
    _party("sender", key=True),
    _data("hash", key=True),
    _data("answer"),
    _number("at_ms"),
    Index("ix_refused_at_ms", "at_ms"),
)
"""Envelopes that the rules refused: the answer is final, so that their numbers can be used again."""

evidence = Table(
    "evidence",
    metadata,
    _data("hash", key=True),
    _party("sender"),
    _data("envelope_id"),
    _data("header"),
    _number("at_ms"),
)
"""Headers that reuse the id of another accepted envelope: with the first one, proof against the sender."""

held = Table(
    "held",
    metadata,
    _number("id", key=True),
    Column("remaining", Integer, nullable=False),
    _number("expires_ms"),
    _small("lane"),
    _small("parts"),
)
"""How many recipients have yet to acknowledge an envelope, and when it goes in any case."""

Index("ix_held_free", held.c.id, sqlite_where=held.c.remaining == 0, postgresql_where=held.c.remaining == 0)
Index("ix_held_expires_ms", held.c.expires_ms)

envelope = Table("envelope", metadata, _number("id", key=True), _data("header"), _data("body"))
"""Signed header bytes and body ciphertext, once."""

slots = Table("slots", metadata, _number("key", key=True), _number("envelope"), _data("data"))
"""The recipients' slots of an envelope in parts of 16 (exchange/relay/slots.py); key = envelope * 16 + part.

In parts, so that reading one slot of 140 costs no more than reading one of 16.
"""

mailbox = Table(
    "mailbox",
    metadata,
    _party("recipient", key=True),
    _small("lane", key=True),
    _number("position", key=True),
    _small("kind"),
    _small("place"),
    Column("size", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""What waits for a recipient: the place of its slot in the envelope, and the bytes that its delivery takes at most.

A row goes when it is acknowledged.
"""

cursor = Table(
    "cursor",
    metadata,
    _party("recipient", key=True),
    _small("lane", key=True),
    _number("position"),
    sqlite_with_rowid=False,
)
"""Highest position that a recipient has acknowledged."""

held_bytes = Table("held_bytes", metadata, _party("sender", key=True), _number("bytes"))
"""How many bytes of each sender wait; changes in the transaction that stores or deletes them."""

spent = Table(
    "spent", metadata, _party("party", key=True), _small("what", key=True), _number("full_us"), sqlite_with_rowid=False
)
"""When each bucket of a party is full again, in us since 1970 (exchange/relay/quota.py)."""

# -- directory, agreements, joining ------------------------------------------------------------------------------------

prekey_bundle = Table("prekey_bundle", metadata, _data("hash", key=True), _party("party"), _data("bundle"))
"""Signed bundles of prekeys, by payload hash; a party's newest two are kept."""

agreement_view = Table("agreement_view", metadata, _data("commitment", key=True), _number("number"), _data("view"))
"""Signed enforcement views, and the index of the directory entry that shows their commitment."""

community = Table(
    "community",
    metadata,
    _data("community", key=True),
    _number("epoch", key=True),
    _party("owner"),
    _data("shown"),
    _number("number"),
    _data("notice"),
    Index("ix_community_number", "number"),
)
"""Every epoch of every community that was announced, and the index of the directory entry that shows it. No roster."""
agreement_change = Table(
    "agreement_change",
    metadata,
    _number("number", key=True),
    _data("hash"),
    _data("commitment"),
    _data("change"),
    UniqueConstraint("hash"),
    Index("ix_agreement_change_commitment", "commitment", "number"),
)
"""Signed accessions and notices in the order in which they were logged.

`number` is the directory entry that shows what it made of its agreement, `hash` is of its payload, `commitment` of the
view as the founders signed it.
"""

join_request = Table("join_request", metadata, _party("party", key=True), _data("request"), _number("at_ms"))
"""The request under which each party joined."""

# -- attachments -------------------------------------------------------------------------------------------------------

blob = Table(
    "blob",
    metadata,
    _party("sender", key=True),
    _data("blob_id", key=True),
    _data("sha256"),
    _number("size"),
    _number("held"),
    _small("state"),
    _number("touched_ms"),
    _number("expires_ms"),
    Index("ix_blob_state", "state"),
)
"""Sealed files by who uploaded them: how much is here, and until when (0 while no envelope names it)."""

blob_part = Table(
    "blob_part",
    metadata,
    _party("sender", key=True),
    _data("blob_id", key=True),
    _number("start", key=True),
    _data("data"),
)
"""Their bytes, about a MiB a row, by the offset of the first."""

blob_reader = Table(
    "blob_reader",
    metadata,
    _party("sender", key=True),
    _data("blob_id", key=True),
    _party("reader", key=True),
    Index("ix_blob_reader_reader", "reader"),
)
"""Recipients of envelopes that name a blob, until they have it."""

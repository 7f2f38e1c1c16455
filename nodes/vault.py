"""Reports at rest: each sealed under its own key, so that destroying the key destroys the report. Pure.

A record is the originator's Signed statement; the release, at a recipient only where the roster is open; and at a
recipient what it is held under, as data (exchange/policy/holding.py). The title stands apart, so that a list of reports
opens small records only; so does the reader rule, under the master key, which outlives the report's. What stands in
clear beside them: docs/spec/node-store.md.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass, field

from exchange.crypto.atrest import open_record, seal_record
from exchange.crypto.codec import decode_signed
from exchange.crypto.signed import Signed
from exchange.envelope.codec import STATEMENT_PAYLOAD_BYTES, decode_report
from exchange.envelope.model import ReportStatement
from exchange.errors import VerificationFailed
from exchange.limits import KIB
from exchange.policy.codec import decode_label, decode_readers, decode_release, encode_readers, encode_release
from exchange.policy.explain import duties
from exchange.policy.holding import Holding, decode_holding, encode_holding
from exchange.policy.model import Label, ReaderRule, Release

SIGNED_BYTES = STATEMENT_PAYLOAD_BYTES + 8 * KIB

_RECORD = b"record\x00"
_TITLE = b"title\x00"
_READERS = b"readers\x00"
_BLOB = b"blob\x00"
_READERS_LABEL = b"concord/v1/node/readers\x00"
_STIX_LABEL = b"concord/v1/node/stix\x00"
_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Opened:
    """A stored report, opened."""

    signed: Signed = field(repr=False)
    statement: ReportStatement
    label: Label
    release: Release | None
    """None when it came from a partner."""
    holding: Holding | None
    """What this node decided on arrival; None when it was signed here."""
    audience: Release | None = None
    """The release as far as it is known here: of our own reports, and of others' with an open roster."""

    @property
    def open_release(self) -> bytes:
        """Release bytes as they travel with the report; empty while the roster is hidden."""
        return encode_release(self.audience) if self.audience is not None and self.audience.open_roster else b""

    @property
    def duties(self) -> tuple[str, ...]:
        """What must be done with it, for people."""
        return tuple(duties(self.holding.obligations)) if self.holding else ()


def seal_report(
    key: bytes, item: bytes, *, title: str, signed: bytes, release: bytes = b"", holding: Holding | None = None
) -> tuple[bytes, bytes]:
    """Return the sealed title and the sealed record of one report."""
    lengths = _LENGTHS.pack(len(signed), len(release))
    record = b"".join((lengths, signed, release, encode_holding(holding) if holding else b""))
    return seal_record(key, title.encode(), _TITLE + item), seal_record(key, record, _RECORD + item)


def open_title(key: bytes, item: bytes, sealed: bytes) -> str:
    """Return a report's title; VerificationFailed if it is another report's or damaged."""
    return open_record(key, sealed, _TITLE + item).decode()


def open_report(key: bytes, item: bytes, sealed: bytes) -> Opened:
    """Return a stored report; VerificationFailed if it is another one or damaged."""
    record = open_record(key, sealed, _RECORD + item)
    signed_length, release_length = _LENGTHS.unpack_from(record)
    behind_signed = _LENGTHS.size + signed_length
    behind_release = behind_signed + release_length
    signed_bytes, release = record[_LENGTHS.size : behind_signed], record[behind_signed:behind_release]
    signed = decode_signed(signed_bytes, limit=SIGNED_BYTES, what="a stored report")
    if hashlib.sha256(signed.payload).digest() != item:
        raise VerificationFailed("the stored report is another one")
    statement = decode_report(signed.payload)
    parsed = decode_release(release) if release else None
    held = record[behind_release:]
    holding = decode_holding(held) if held else None
    # Of another's report the audience decides nothing here.
    own = parsed if holding is None else None
    return Opened(signed, statement, decode_label(statement.label), own, holding, parsed)


def seal_readers(master: bytes, item: bytes, rule: ReaderRule | None) -> bytes:
    """Return a version's reader rule sealed under the master key, or nothing when there is none."""
    if rule is None:
        return b""
    return seal_record(hmac.digest(master, _READERS_LABEL, hashlib.sha256), encode_readers(rule), _READERS + item)


def open_readers(master: bytes, item: bytes, sealed: bytes) -> ReaderRule | None:
    """Return the rule that seal_readers sealed; VerificationFailed if it is another version's or damaged."""
    if not sealed:
        return None
    opened = open_record(hmac.digest(master, _READERS_LABEL, hashlib.sha256), sealed, _READERS + item)
    return decode_readers(opened)


def seal_blob_key(key: bytes, item: bytes, blob_id: bytes, blob_key: bytes) -> bytes:
    """Return the key of one of a report's files sealed under the report's own key."""
    return seal_record(key, blob_key, _BLOB + item + blob_id)


def open_blob_key(key: bytes, item: bytes, blob_id: bytes, sealed: bytes) -> bytes:
    """Return the key that seal_blob_key sealed; VerificationFailed if it is another file's or damaged."""
    return open_record(key, sealed, _BLOB + item + blob_id)


def stix_digest(master: bytes, stix_id: str) -> bytes:
    """Return under what a STIX id is looked up: without the master key nobody can tell whether an id is here."""
    return hmac.digest(master, _STIX_LABEL + stix_id.encode(), hashlib.sha256)

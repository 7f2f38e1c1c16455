"""Daily prekeys: a bundle is built and signed by its party, named by hash in the log, fetched, verified, chosen from.

A report is sealed to the key of the day that contains its `created_ms`, days in UTC. A recipient without a key for
that day gets nothing yet (PROTOCOL 3). Specification: docs/spec/directory.md, "Prekeys".
"""

from collections.abc import Sequence
from hashlib import sha256

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign, verify_signed
from exchange.crypto.signing import CompositeKey
from exchange.directory.codec import decode_as, encode
from exchange.directory.fold import Directory
from exchange.directory.statements import SALT_BYTES, Common, PrekeyBundle, PrekeyBundleHash
from exchange.errors import BadStatement, MalformedInput
from exchange.limits import PREKEY_DAYS_MAX, STATEMENT_BYTES
from exchange.names import ExchangeName, PartyId

DAY_MS = 24 * 60 * 60 * 1000


def day_of(at_ms: int) -> int:
    """Return the day that contains a moment: days since 1970 in UTC."""
    return at_ms // DAY_MS


def choose(bundle: PrekeyBundle, at_ms: int) -> PublicKey | None:
    """Return the X-Wing key of the day that contains `at_ms`; None when the bundle does not cover it."""
    offset = day_of(at_ms) - bundle.first_day
    return bundle.keys[offset] if 0 <= offset < len(bundle.keys) else None


def make_bundle(
    *,
    exchange: ExchangeName,
    party: PartyId,
    first_day: int,
    keys: Sequence[PublicKey],
    statement_key: CompositeKey,
) -> Signed:
    """Return the signed bundle of one X-Wing public key a day, from `first_day` on.

    A day that an earlier bundle covers should keep its key: reports may be under way to it.

    Raises:
        MalformedInput: no key, or more than 40.
    """
    if not 1 <= len(keys) <= PREKEY_DAYS_MAX:
        raise MalformedInput(f"a bundle covers 1 to {PREKEY_DAYS_MAX} days, not {len(keys)}")
    bundle = PrekeyBundle(exchange, party, first_day, tuple(keys), random_bytes(SALT_BYTES))
    return sign(statement_key, "prekey-bundle", encode(bundle), context=exchange)


def make_bundle_hash(bundle: Signed, *, place: tuple[int, bytes], now_ms: int, statement_key: CompositeKey) -> Signed:
    """Return the log statement that names a bundle made by make_bundle; `place` is Directory.next_seq_prev(party)."""
    content = decode_as(PrekeyBundle, bundle.payload)
    seq, prev = place
    common = Common(content.exchange, content.party, seq, prev, now_ms, 0, random_bytes(SALT_BYTES))
    digest = sha256(bundle.payload).digest()
    statement = PrekeyBundleHash(common, digest, content.first_day, len(content.keys))
    return sign(statement_key, "prekey-bundle-hash", encode(statement), context=content.exchange)


def open_bundle(data: bytes, directory: Directory, party: PartyId) -> PrekeyBundle:
    """Return a member's bundle from fetched Signed bytes, if the directory names it and the same key signed both.

    To check a bundle together with the statement that will name it, apply the statement to a fork and ask that.

    Raises:
        MalformedInput, TooLarge, BadName: not a bundle.
        BadSignature: not signed by the statement key that signed its hash.
        BadStatement: the directory does not name it as this party's, or names other days.
    """
    signed = decode_signed(data, limit=STATEMENT_BYTES, what="a prekey bundle")
    digest = sha256(signed.payload).digest()
    named = next((r for r in directory.bundles(party) if r.statement.bundle_sha256 == digest), None)
    if named is None:
        raise BadStatement(f"the directory names no such bundle of {party}")

    def lookup(key_id: bytes) -> PublicKey | None:
        if key_id != named.certified_by:
            return None
        return directory.statement_key(party, key_id, at_size=directory.size)

    payload = verify_signed(signed, lookup, expected_type="prekey-bundle", context=directory.exchange)
    bundle = decode_as(PrekeyBundle, payload)
    if (bundle.exchange, bundle.party) != (directory.exchange, party):
        raise BadStatement(f"the bundle is for {bundle.party} on {bundle.exchange}")
    if (bundle.first_day, len(bundle.keys)) != (named.statement.first_day, named.statement.days):
        raise BadStatement("the bundle covers other days than the directory says")
    return bundle

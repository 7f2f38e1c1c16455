"""Making the statements of a directory in use: agreements, revocations, suspensions, expulsions.

Pure; each returns one signed statement. Counted ones take their place, (seq, prev), from Directory.next_seq_prev.
Specification: docs/spec/directory.md.
"""

from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.directory.ceremony import ANY_PLACE, common, sign_statement
from exchange.directory.statements import (
    AgreementCommit,
    AgreementStatus,
    Expulsion,
    Revocation,
    RevocationReason,
    Suspension,
)
from exchange.names import COUNCIL, RELAY, ExchangeName, PartyId


def make_agreement_commit(
    *,
    exchange: ExchangeName,
    place: tuple[int, bytes],
    commitment: bytes,
    status: AgreementStatus,
    now_ms: int,
    promise_key: Ed25519Key,
) -> Signed:
    """Return the relay's statement on an agreement; commitment = SHA-256(salt || EnforcementView bytes)."""
    fields = common(exchange, RELAY, place, now_ms=now_ms)
    return sign_statement(AgreementCommit(fields, commitment, status), promise_key)


def make_revocation(
    *,
    exchange: ExchangeName,
    issuer: str,
    party: PartyId,
    key_id: bytes,
    reason: RevocationReason,
    compromised_since_ms: int = 0,
    now_ms: int,
    key: CompositeKey,
) -> Signed:
    """Return the end of a key, by the party's root or with one council signature; it needs no place.

    `key_id` of a transport CA is its ca_key_hash. `compromised_since_ms` goes with COMPROMISED only.
    """
    fields = common(exchange, issuer, ANY_PLACE, now_ms=now_ms)
    return sign_statement(Revocation(fields, party, key_id, reason, compromised_since_ms), key)


def make_suspension(
    *,
    exchange: ExchangeName,
    place: tuple[int, bytes],
    party: PartyId,
    suspended: bool,
    now_ms: int,
    council_key: CompositeKey,
) -> Signed:
    """Return the suspension of a member, or its end, with one council signature."""
    fields = common(exchange, COUNCIL, place, now_ms=now_ms)
    return sign_statement(Suspension(fields, party, suspended), council_key)


def make_expulsion(
    *, exchange: ExchangeName, place: tuple[int, bytes], party: PartyId, now_ms: int, council_key: CompositeKey
) -> Signed:
    """Return the expulsion of a party, with one council signature."""
    return sign_statement(Expulsion(common(exchange, COUNCIL, place, now_ms=now_ms), party), council_key)

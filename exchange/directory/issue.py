"""Making the statements of a directory in use: agreements, keys, revocations, suspensions, expulsions, witnesses,
the relay's keys, limits.

Pure. A draft is a statement that roots have yet to sign; the others are signed. Counted ones take their place,
(seq, prev), from Directory.next_seq_prev.
Specification: docs/spec/directory.md.
"""

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.directory.ceremony import ANY_PLACE, common, sign_statement
from exchange.directory.statements import (
    AgreementCommit,
    AgreementStatus,
    ExchangeLimits,
    Expulsion,
    LimitSet,
    NodeCert,
    RelayKeys,
    RelayKeySet,
    Revocation,
    RevocationReason,
    RootRollover,
    Suspension,
    Witnesses,
    WitnessSet,
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


def draft_revocation(
    *,
    exchange: ExchangeName,
    issuer: str,
    party: PartyId,
    key_id: bytes,
    reason: RevocationReason,
    compromised_since_ms: int = 0,
    now_ms: int,
) -> Revocation:
    """Return the end of a key, for the party's root or the council to sign; it needs no place.

    `key_id` of a transport CA is its ca_key_hash. `compromised_since_ms` goes with COMPROMISED only.
    """
    fields = common(exchange, issuer, ANY_PLACE, now_ms=now_ms)
    return Revocation(fields, party, key_id, reason, compromised_since_ms)


def draft_node_cert(
    *,
    exchange: ExchangeName,
    party: PartyId,
    statement_key: PublicKey,
    envelope_key: PublicKey,
    now_ms: int,
    not_after_ms: int,
) -> NodeCert:
    """Return the certificate of node keys that follow those in use, for the party's root to sign; no place needed."""
    fields = common(exchange, party, ANY_PLACE, now_ms=now_ms, not_after_ms=not_after_ms)
    return NodeCert(fields, statement_key, envelope_key)


def draft_rollover(
    *,
    exchange: ExchangeName,
    issuer: str,
    party: PartyId,
    old_root_key_id: bytes,
    new_root: PublicKey,
    effective_ms: int = 0,
    now_ms: int,
) -> RootRollover:
    """Return a party's change to another root: for both roots to sign, or for the council and the new one.

    It needs no place. `effective_ms` goes with the council only.
    """
    fields = common(exchange, issuer, ANY_PLACE, now_ms=now_ms)
    return RootRollover(fields, party, old_root_key_id, new_root, effective_ms)


def draft_suspension(
    *, exchange: ExchangeName, place: tuple[int, bytes], party: PartyId, suspended: bool, now_ms: int
) -> Suspension:
    """Return the suspension of a member, or its end, for the council to sign."""
    return Suspension(common(exchange, COUNCIL, place, now_ms=now_ms), party, suspended)


def draft_expulsion(*, exchange: ExchangeName, place: tuple[int, bytes], party: PartyId, now_ms: int) -> Expulsion:
    """Return the expulsion of a party, for the council to sign."""
    return Expulsion(common(exchange, COUNCIL, place, now_ms=now_ms), party)


def draft_witness_set(
    *, exchange: ExchangeName, place: tuple[int, bytes], witnesses: Witnesses, now_ms: int
) -> WitnessSet:
    """Return the naming of the witnesses, for the council to sign."""
    return WitnessSet(common(exchange, COUNCIL, place, now_ms=now_ms), witnesses)


def draft_relay_keys(
    *, exchange: ExchangeName, place: tuple[int, bytes], keys: RelayKeys, stolen_since_ms: int = 0, now_ms: int
) -> RelayKeySet:
    """Return the naming of the relay's next keys, for the council to sign."""
    return RelayKeySet(common(exchange, COUNCIL, place, now_ms=now_ms), keys, stolen_since_ms)


def draft_limits(*, exchange: ExchangeName, place: tuple[int, bytes], limits: ExchangeLimits, now_ms: int) -> LimitSet:
    """Return the exchange's limits, for the council to sign."""
    return LimitSet(common(exchange, COUNCIL, place, now_ms=now_ms), limits)


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
    """Return `draft_revocation` with one signature."""
    drafted = draft_revocation(
        exchange=exchange,
        issuer=issuer,
        party=party,
        key_id=key_id,
        reason=reason,
        compromised_since_ms=compromised_since_ms,
        now_ms=now_ms,
    )
    return sign_statement(drafted, key)


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
    drafted = draft_suspension(exchange=exchange, place=place, party=party, suspended=suspended, now_ms=now_ms)
    return sign_statement(drafted, council_key)


def make_expulsion(
    *, exchange: ExchangeName, place: tuple[int, bytes], party: PartyId, now_ms: int, council_key: CompositeKey
) -> Signed:
    """Return the expulsion of a party, with one council signature."""
    return sign_statement(draft_expulsion(exchange=exchange, place=place, party=party, now_ms=now_ms), council_key)

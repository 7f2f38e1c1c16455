"""Whether one entry is valid in the state just before it. Nothing is changed here.

1. it is a Signed of a known type, and its payload decodes strictly
2. it is of this exchange, and not in the log already
3. its issuer may issue this type, and is not expelled
4. it is the issuer's next, unless its type may come in any order
5. it is signed by those who must sign it
6. it fits what stands
Times are no part of this: what an entry means depends on its place alone. `check_time` is for those who have a clock.
Specification: docs/spec/directory.md, "When an entry is valid".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verified_signers
from exchange.crypto.x509 import ca_key_hash
from exchange.directory import codec
from exchange.directory.state import MEMBERS, InvitationRecord, KeyUse, Reason, State, Status
from exchange.directory.statements import (
    Admission,
    AgreementCommit,
    AgreementStatus,
    Common,
    Expulsion,
    Genesis,
    Invitation,
    NodeCert,
    PartyRoot,
    PrekeyBundleHash,
    Revocation,
    Statement,
    Suspension,
    TransportKey,
)
from exchange.errors import BadSignature, ExchangeError, MalformedInput
from exchange.limits import CLOCK_AHEAD_MS, STATEMENT_BYTES
from exchange.names import COUNCIL, RELAY, PartyId

UNORDERED = (Invitation, Admission, Revocation)
"""Kinds that may come in any order, with seq 0 (docs/decisions/0002-council-statement-order.md)."""

TRANSPORT_CAS = 4
"""Of one party at a time."""


class Refused(Exception):
    """The entry is not valid here. Inside this package only: callers get Ignored or BadStatement."""

    def __init__(self, why: Reason, detail: str) -> None:
        """`why` is stable, `detail` is for people."""
        super().__init__(f"{why}: {detail}")
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry that is valid in the state that it was judged in."""

    name: str
    statement: Statement
    payload_sha256: bytes
    signers: frozenset[bytes]
    """Key ids."""


def judge(state: State, entry: bytes, seen: VerifiedRoots) -> Judged:
    """Return the statement of an entry that is valid as the next one of the log; raise Refused otherwise."""
    # 1
    signed, name, statement = read(entry)
    common = statement.common
    # 2
    if common.exchange != state.genesis.common.exchange:
        raise Refused(Reason.OTHER_EXCHANGE, f"for {common.exchange}")
    payload_sha256 = sha256(signed.payload).digest()
    if payload_sha256 in state.payloads:
        raise Refused(Reason.REPEATED, f"stands at {state.payloads[payload_sha256]}")
    # 3
    _check_issuer(state, statement)
    # 4
    _check_order(state, statement)
    # 5
    lookup, enough = _signing(state, statement)
    try:
        signers = verified_signers(signed, lookup, expected_type=name, context=common.exchange, seen=seen)
    except BadSignature as error:
        raise Refused(Reason.BAD_SIGNATURE, str(error)) from error
    enough(signers)
    # 6
    _FITS[type(statement)](state, statement)
    return Judged(name, statement, payload_sha256, signers)


def read(entry: bytes) -> tuple[Signed, str, Statement]:
    """Return an entry's parts, its type's short name and its statement; raise Refused for anything else."""
    try:
        signed = decode_signed(entry, limit=STATEMENT_BYTES, what="a directory entry")
    except ExchangeError as error:
        raise Refused(Reason.MALFORMED, str(error)) from error
    try:
        name = codec.statement_name(signed.payload_type)
    except MalformedInput as error:
        raise Refused(Reason.UNKNOWN_TYPE, str(error)) from error
    try:
        return signed, name, codec.decode(name, signed.payload)
    except ExchangeError as error:
        raise Refused(Reason.MALFORMED, str(error)) from error


def check_time(state: State, judged: Judged, now_ms: int) -> None:
    """Return when the statement, its invitation and its signing keys cover this moment; raise Refused otherwise."""
    _check_window(judged.statement.common, now_ms, judged.name)
    if isinstance(judged.statement, PartyRoot):
        invitation = state.invitations[judged.statement.invitation_sha256].invitation
        _check_window(invitation.common, now_ms, "invitation")
    for key_id in judged.signers:
        record = state.keys.get(key_id)
        if record is not None and not record.in_time(now_ms):
            raise Refused(Reason.OUTSIDE_ITS_TIME, "the signing key's certificate does not cover this moment")


def next_place(state: State, issuer: str) -> tuple[int, bytes]:
    """Return the seq and prev that the issuer's next counted statement must carry."""
    chain = state.chains.get(issuer)
    return (1, b"") if chain is None else (chain.seq + 1, chain.payload_sha256)


def _check_window(common: Common, now_ms: int, what: str) -> None:
    if now_ms + CLOCK_AHEAD_MS < common.not_before_ms:
        raise Refused(Reason.OUTSIDE_ITS_TIME, f"this {what} is not valid yet")
    if common.not_after_ms and now_ms >= common.not_after_ms:
        raise Refused(Reason.OUTSIDE_ITS_TIME, f"this {what} has expired")


# 3 and 4


def _check_issuer(state: State, statement: Statement) -> None:
    issuer = statement.common.issuer
    match statement:
        case Genesis() | Invitation() | Admission() | Suspension() | Expulsion():
            allowed = issuer == COUNCIL
        case AgreementCommit():
            allowed = issuer == RELAY
        case Revocation():
            allowed = issuer in (COUNCIL, statement.party)
        case PartyRoot() | NodeCert() | TransportKey() | PrekeyBundleHash():
            allowed = issuer not in (COUNCIL, RELAY)
    if not allowed:
        raise Refused(Reason.WRONG_ISSUER, f"{issuer} cannot issue this")
    if state.status_at(PartyId(issuer), state.size) is Status.EXPELLED:
        raise Refused(Reason.EXPELLED, f"{issuer} is expelled")


def _check_order(state: State, statement: Statement) -> None:
    place = (statement.common.seq, statement.common.prev)
    if isinstance(statement, UNORDERED):
        expected = (0, b"")
    elif isinstance(statement, PartyRoot):
        expected = (1, b"")  # also when a party begins to join anew
    else:
        expected = next_place(state, statement.common.issuer)
    if place != expected:
        raise Refused(Reason.OUT_OF_ORDER, f"seq {place[0]}; the next is {expected[0]}, after another payload or none")


# 5

Enough = Callable[[frozenset[bytes]], None]
"""Raises Refused when those who signed are not all who must."""


def _signing(state: State, statement: Statement) -> tuple[KeyLookup, Enough]:
    """Return which keys may sign the statement here, and the check that those who did are enough."""
    issuer = statement.common.issuer
    if isinstance(statement, PartyRoot):
        keys = _presenting_keys(state, statement)
        return keys.get, _exactly(len(keys))
    if issuer == COUNCIL:
        return _council_lookup(state), lambda signers: check_threshold(state.genesis, signers)
    if issuer == RELAY:
        promise = state.genesis.relay.promise
        return {promise.key_id: promise}.get, _exactly(1)
    use = KeyUse.STATEMENT if isinstance(statement, TransportKey | PrekeyBundleHash) else KeyUse.ROOT

    def lookup(key_id: bytes) -> PublicKey | None:
        record = state.key(PartyId(issuer), key_id, use, state.size)
        return None if record is None else record.public

    return lookup, _exactly(1)


def _presenting_keys(state: State, statement: PartyRoot) -> dict[bytes, PublicKey]:
    record = _invitation(state, statement)
    return {key.key_id: key for key in (statement.root, record.invitation.one_time_key)}


def _council_lookup(state: State) -> KeyLookup:
    roots = {member.root.key_id: member for member in state.genesis.council}

    def lookup(key_id: bytes) -> PublicKey | None:
        member = roots.get(key_id)
        if member is None or state.status_at(member.party, state.size) is Status.EXPELLED:
            return None
        return member.root if state.keys[key_id].stands(state.size) else None

    return lookup


def check_threshold(genesis: Genesis, signers: frozenset[bytes]) -> None:
    """Return when the signers are roots of enough distinct council parties; raise Refused otherwise."""
    parties = {member.party for member in genesis.council if member.root.key_id in signers}
    if len(parties) < genesis.threshold:
        raise Refused(Reason.BELOW_THRESHOLD, f"{len(parties)} council parties signed; {genesis.threshold} must")


def _exactly(count: int) -> Enough:
    def enough(signers: frozenset[bytes]) -> None:
        if len(signers) != count:
            raise Refused(Reason.BAD_SIGNATURE, f"{len(signers)} signatures; exactly {count} are expected")

    return enough


# 6


def _fits_genesis(_state: State, _statement: Genesis) -> None:
    raise Refused(Reason.NO_CHANGE, "the exchange is founded already")


def _fits_invitation(state: State, statement: Invitation) -> None:
    status = state.status_at(statement.party, state.size)
    if status not in (None, Status.JOINING):
        raise Refused(Reason.PARTY_TAKEN, f"{statement.party} is {status}")


def _fits_party_root(state: State, statement: PartyRoot) -> None:
    invited = _invitation(state, statement)
    party = invited.invitation.party
    if party != statement.common.issuer:
        raise Refused(Reason.NO_INVITATION, f"the invitation is for {party}")
    if invited.spent_by is not None:
        raise Refused(Reason.INVITATION_SPENT, f"entry {invited.spent_by} came first under this invitation")
    record = state.parties.get(party)
    if record is not None:
        standing = state.invitations[record.invitation_sha256].invitation
        # An older invitation that was mislaid must not displace the one that replaced it.
        later = invited.invitation.common.not_before_ms > standing.common.not_before_ms
        if record.status is not Status.JOINING or not later:
            raise Refused(Reason.PARTY_TAKEN, f"{party} is {record.status}")
    seats = {member.root.key_id for member in state.genesis.council if member.party == party}
    if seats and statement.root.key_id not in seats:
        raise Refused(Reason.WRONG_ROOT, f"{party} sits in the council with another root")
    known = state.keys.get(statement.root.key_id)
    if known is None or known.party != party or known.use is not KeyUse.ROOT or not known.stands(state.size):
        _check_new(state, statement.root.key_id)


def _fits_admission(state: State, statement: Admission) -> None:
    record = state.parties.get(statement.party)
    if record is None:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} has not presented a root")
    if record.status is not Status.JOINING:
        raise Refused(Reason.NO_CHANGE, f"{statement.party} is {record.status}")
    if statement.root_key_id != record.root.key_id:
        raise Refused(Reason.WRONG_ROOT, f"{statement.party} presented another root")
    if state.key(statement.party, record.root.key_id, KeyUse.ROOT, state.size) is None:
        raise Refused(Reason.NO_SUCH_KEY, "the root is revoked")


def _fits_node_cert(state: State, statement: NodeCert) -> None:
    _check_new(state, statement.statement_key.key_id)
    _check_new(state, statement.envelope_key.key_id)


def _fits_transport_key(state: State, statement: TransportKey) -> None:
    # One CA for two parties would make one of them the other. Its key counts: one certificate has two forms.
    _check_new(state, ca_key_hash(statement.ca_certificate))
    if len(state.keys_of(PartyId(statement.common.issuer), KeyUse.TRANSPORT)) >= TRANSPORT_CAS:
        raise Refused(Reason.TOO_MANY, f"{TRANSPORT_CAS} transport CAs stand; revoke one first")


def _fits_always(_state: State, _statement: Statement) -> None:
    """Hold: the signature is all that it takes."""


def _fits_agreement(state: State, statement: AgreementCommit) -> None:
    history = state.agreements.get(statement.commitment)
    if history and history[-1][1] is AgreementStatus.TERMINATED:
        raise Refused(Reason.NO_CHANGE, "a terminated agreement stays so")


def _fits_revocation(state: State, statement: Revocation) -> None:
    record = state.keys.get(statement.key_id)
    if record is None or record.party != statement.party:
        raise Refused(Reason.NO_SUCH_KEY, f"not a key of {statement.party}")
    if record.until_index is None:
        return
    # What is learnt later may make more of what it signed suspect, never less.
    known, said = record.compromised_since_ms, statement.compromised_since_ms
    if said == 0 or 0 < known <= said:
        raise Refused(Reason.NO_CHANGE, "the key is revoked already")


def _fits_suspension(state: State, statement: Suspension) -> None:
    if state.status_at(statement.party, state.size) not in MEMBERS:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} is not a member")


def _fits_expulsion(state: State, statement: Expulsion) -> None:
    status = state.status_at(statement.party, state.size)
    if status is None:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} has not presented a root")
    if status is Status.EXPELLED:
        raise Refused(Reason.NO_CHANGE, f"{statement.party} is expelled already")


def _invitation(state: State, statement: PartyRoot) -> InvitationRecord:
    record = state.invitations.get(statement.invitation_sha256)
    if record is None:
        raise Refused(Reason.NO_INVITATION, "its invitation does not stand in the log")
    return record


def _check_new(state: State, key_id: bytes) -> None:
    relay = state.genesis.relay
    of_relay = (relay.promise.key_id, *relay.log.key_ids, ca_key_hash(relay.transport_ca))
    if key_id in state.keys or key_id in of_relay:
        raise Refused(Reason.KEY_TAKEN, "a key enters the directory once, for one party and one use")


# `Any`: each function takes the kind that it stands beside.
_FITS: Mapping[type, Callable[[State, Any], None]] = {
    Genesis: _fits_genesis,
    Invitation: _fits_invitation,
    PartyRoot: _fits_party_root,
    Admission: _fits_admission,
    NodeCert: _fits_node_cert,
    TransportKey: _fits_transport_key,
    PrekeyBundleHash: _fits_always,
    AgreementCommit: _fits_agreement,
    Revocation: _fits_revocation,
    Suspension: _fits_suspension,
    Expulsion: _fits_expulsion,
}

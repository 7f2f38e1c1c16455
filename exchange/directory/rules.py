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
from exchange.directory.relay_keys import key_ids, keys_at
from exchange.directory.state import MEMBERS, InvitationRecord, KeyRecord, KeyUse, Reason, State, Status
from exchange.directory.statements import (
    Admission,
    AgreementCommit,
    AgreementStatus,
    Common,
    Expulsion,
    Genesis,
    Invitation,
    LimitSet,
    NodeCert,
    PartyRoot,
    PrekeyBundleHash,
    RelayKeySet,
    Revocation,
    RootRollover,
    Statement,
    Suspension,
    TransportKey,
    WitnessSet,
)
from exchange.errors import BadSignature, ExchangeError, MalformedInput
from exchange.limits import CLOCK_AHEAD_MS, ROLLOVER_DELAY_MS, STATEMENT_BYTES
from exchange.names import COUNCIL, RELAY, PartyId

UNORDERED = (Invitation, Admission, Revocation, RootRollover)
"""Kinds that come in any order, with seq 0 (docs/decisions/0002-council-statement-order.md)."""

EITHER = (NodeCert, TransportKey)
"""Kinds that are counted while a party joins, and may come in any order later."""

TRANSPORT_CAS = 4
"""Of one statement key at a time; the root alone makes more statement keys."""


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
    if isinstance(statement, TransportKey):
        _check_room(state, statement, signers)
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
    _check_objection_time(state, judged.statement, now_ms)
    for key_id in judged.signers:
        record = state.keys.get(key_id)
        if record is not None and not record.in_time(now_ms, state.size):
            raise Refused(Reason.OUTSIDE_ITS_TIME, "the signing key's certificate does not cover this moment")


def _check_objection_time(state: State, statement: Statement, now_ms: int) -> None:
    """Leave the time to object to a root that the council puts in place, and end it when that root counts."""
    if isinstance(statement, RootRollover) and statement.effective_ms:
        if statement.effective_ms < now_ms + ROLLOVER_DELAY_MS:
            raise Refused(Reason.OUTSIDE_ITS_TIME, "fewer than 72 hours would be left to object")
    elif (
        isinstance(statement, Revocation)
        and _objects(state, statement)
        and now_ms >= state.keys[statement.key_id].counts_from_ms
    ):
        raise Refused(Reason.OUTSIDE_ITS_TIME, "the time to object is over; draft a revocation anew")


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
        case WitnessSet() | RelayKeySet() | LimitSet():
            allowed = issuer == COUNCIL
        case AgreementCommit():
            allowed = issuer == RELAY
        case Revocation() | RootRollover():
            allowed = issuer in (COUNCIL, statement.party)
        case PartyRoot() | NodeCert() | TransportKey() | PrekeyBundleHash():
            allowed = issuer not in (COUNCIL, RELAY)
    if not allowed:
        raise Refused(Reason.WRONG_ISSUER, f"{issuer} cannot issue this")
    if state.status_at(PartyId(issuer), state.size) is Status.EXPELLED:
        raise Refused(Reason.EXPELLED, f"{issuer} is expelled")


def _check_order(state: State, statement: Statement) -> None:
    place = (statement.common.seq, statement.common.prev)
    if isinstance(statement, UNORDERED) or (isinstance(statement, EITHER) and not place[0]):
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
    if isinstance(statement, RootRollover):
        return _rollover_signing(state, statement)
    if issuer == COUNCIL:
        needed = 1 if _objects(state, statement) else state.genesis.threshold
        return _council_lookup(state, statement.common), lambda signers: check_threshold(state, signers, needed)
    if issuer == RELAY:
        promise = keys_at(state.relay_keys, state.size).keys.promise
        return {promise.key_id: promise}.get, _exactly(1)
    use = KeyUse.STATEMENT if isinstance(statement, TransportKey | PrekeyBundleHash) else KeyUse.ROOT

    def lookup(key_id: bytes) -> PublicKey | None:
        record = state.key(PartyId(issuer), key_id, use, state.size)
        return None if record is None or _too_early(record, statement.common) else record.public

    return lookup, _exactly(1)


def _too_early(signer: KeyRecord, common: Common) -> bool:
    """Say whether a root that the council put in place signs before it counts."""
    return common.not_before_ms < signer.counts_from_ms


def _rollover_signing(state: State, statement: RootRollover) -> tuple[KeyLookup, Enough]:
    """Return who signs a rollover: the new root, and the old one or two thirds of the council's parties."""
    new = statement.new_root
    old = state.key(statement.party, statement.old_root_key_id, KeyUse.ROOT, state.size)
    by_council = statement.common.issuer == COUNCIL
    council = _council_lookup(state, statement.common)

    def lookup(key_id: bytes) -> PublicKey | None:
        if key_id == new.key_id:
            return new
        if by_council:
            return council(key_id)
        return old.public if old is not None and key_id == old.key_id else None

    def enough(signers: frozenset[bytes]) -> None:
        if new.key_id not in signers:
            raise Refused(Reason.BAD_SIGNATURE, "the new root has not signed")
        if not by_council:
            _exactly(2)(signers)
            return
        check_threshold(state, signers)
        parties = {state.seats[key_id] for key_id in signers if key_id in state.seats}
        seats = set(state.seats.values())
        if 3 * len(parties) < 2 * len(seats):
            detail = f"{len(parties)} of {len(seats)} council parties signed; two thirds must"
            raise Refused(Reason.BELOW_THRESHOLD, detail)

    return lookup, enough


def _presenting_keys(state: State, statement: PartyRoot) -> dict[bytes, PublicKey]:
    record = _invitation(state, statement)
    return {key.key_id: key for key in (statement.root, record.invitation.one_time_key)}


def _council_lookup(state: State, common: Common) -> KeyLookup:
    def lookup(key_id: bytes) -> PublicKey | None:
        party = state.seats.get(key_id)
        if party is None or state.status_at(party, state.size) is Status.EXPELLED:
            return None
        root = state.keys[key_id]
        return root.public if root.signs(state.size) and not _too_early(root, common) else None

    return lookup


def check_threshold(state: State, signers: frozenset[bytes], needed: int | None = None) -> None:
    """Return when the signers are roots of enough distinct council parties; raise Refused otherwise."""
    parties = {state.seats[key_id] for key_id in signers if key_id in state.seats}
    needed = state.genesis.threshold if needed is None else needed
    if len(parties) < needed:
        raise Refused(Reason.BELOW_THRESHOLD, f"{len(parties)} council parties signed; {needed} must")


def _objects(state: State, statement: Statement) -> bool:
    """Say whether it ends a root that the council put in place before that counts: any one council party may."""
    if not isinstance(statement, Revocation):
        return False
    record = state.keys.get(statement.key_id)
    return record is not None and _too_early(record, statement.common)


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
    seats = {key_id for key_id, seated in state.seats.items() if seated == party}
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
    if statement.common.seq:
        return
    # A certificate that was signed and never logged must not come later and displace what followed it.
    begun = [
        record.not_before_ms
        for record in state.records_of(PartyId(statement.common.issuer))
        if record.use is KeyUse.STATEMENT and record.until_index is None
    ]
    if max(begun, default=0) >= statement.common.not_before_ms:
        raise Refused(Reason.OLDER_CERTIFICATE, "one that begins as late, or later, stands")


def _fits_transport_key(state: State, statement: TransportKey) -> None:
    # One CA for two parties would make one of them the other. Its key counts: one certificate has two forms.
    _check_new(state, ca_key_hash(statement.ca_certificate))


def _check_room(state: State, statement: TransportKey, signers: frozenset[bytes]) -> None:
    standing = [
        record
        for record in state.records_of(PartyId(statement.common.issuer))
        if record.use is KeyUse.TRANSPORT and record.certified_by in signers and record.stands(state.size)
    ]
    if len(standing) >= TRANSPORT_CAS:
        raise Refused(Reason.TOO_MANY, f"{TRANSPORT_CAS} transport CAs of this key stand; revoke one first")


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


def _fits_rollover(state: State, statement: RootRollover) -> None:
    status = state.status_at(statement.party, state.size)
    if status not in MEMBERS:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} is not a member")
    if state.parties[statement.party].root.key_id != statement.old_root_key_id:
        raise Refused(Reason.WRONG_ROOT, f"{statement.party} has another root")
    _check_new(state, statement.new_root.key_id)


def _fits_suspension(state: State, statement: Suspension) -> None:
    if state.status_at(statement.party, state.size) not in MEMBERS:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} is not a member")


def _fits_expulsion(state: State, statement: Expulsion) -> None:
    status = state.status_at(statement.party, state.size)
    if status is None:
        raise Refused(Reason.NO_SUCH_PARTY, f"{statement.party} has not presented a root")
    if status is Status.EXPELLED:
        raise Refused(Reason.NO_CHANGE, f"{statement.party} is expelled already")


def _fits_witness_set(state: State, statement: WitnessSet) -> None:
    proposed = statement.witnesses
    least = state.genesis.witnesses.quorum
    if proposed.quorum < least:
        raise Refused(Reason.BELOW_QUORUM, f"a quorum of {proposed.quorum}; the genesis asks for {least}")
    for member in proposed.members:
        if state.status_at(member.party, state.size) not in MEMBERS:
            raise Refused(Reason.NO_SUCH_PARTY, f"{member.party} is not a member")
        known = state.witness_keys.get(member.key.key_id, member.party)
        if known != member.party or member.key.key_id in _of_relay(state):
            raise Refused(Reason.KEY_TAKEN, "a key enters the directory once, for one party and one use")
    if state.witnesses[-1][1] == proposed:
        raise Refused(Reason.NO_CHANGE, "these are the witnesses already")


def _fits_relay_keys(state: State, statement: RelayKeySet) -> None:
    now, proposed = key_ids(state.relay_keys[-1].keys), key_ids(statement.keys)
    new = [key_id for key_id, before in zip(proposed, now, strict=True) if key_id != before]
    if not new:
        raise Refused(Reason.NO_CHANGE, "these are the relay's keys already")
    if statement.stolen_since_ms and len(new) < len(now):
        raise Refused(Reason.KEY_TAKEN, "keys that were stolen are replaced all together")
    for key_id in new:
        _check_new(state, key_id)


def _fits_limits(state: State, statement: LimitSet) -> None:
    if state.limits[-1][1] == statement.limits:
        raise Refused(Reason.NO_CHANGE, "these are the limits already")


def _invitation(state: State, statement: PartyRoot) -> InvitationRecord:
    record = state.invitations.get(statement.invitation_sha256)
    if record is None:
        raise Refused(Reason.NO_INVITATION, "its invitation does not stand in the log")
    return record


def _check_new(state: State, key_id: bytes) -> None:
    if key_id in state.keys or key_id in state.witness_keys or key_id in _of_relay(state):
        raise Refused(Reason.KEY_TAKEN, "a key enters the directory once, for one party and one use")


def _of_relay(state: State) -> frozenset[bytes]:
    """Return the ids of every key that was ever the relay's."""
    return frozenset(key_id for each in state.relay_keys for key_id in key_ids(each.keys))


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
    RootRollover: _fits_rollover,
    Suspension: _fits_suspension,
    Expulsion: _fits_expulsion,
    WitnessSet: _fits_witness_set,
    RelayKeySet: _fits_relay_keys,
    LimitSet: _fits_limits,
}

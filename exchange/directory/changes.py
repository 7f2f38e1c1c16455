"""What a valid statement changes in the state. Called with the index of its entry, before the entry is counted.

Records are replaced, never edited, so that a fork of the state keeps its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from exchange.crypto.keys import PublicKey
from exchange.crypto.x509 import ca_key_hash
from exchange.directory.relay_keys import KeysSince
from exchange.directory.rules import Judged
from exchange.directory.state import (
    BundleRecord,
    Chain,
    InvitationRecord,
    KeyRecord,
    KeyUse,
    PartyRecord,
    State,
    Status,
)
from exchange.directory.statements import (
    Admission,
    AgreementCommit,
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
    RevocationReason,
    RootRollover,
    Suspension,
    TransportKey,
    WitnessSet,
)
from exchange.limits import KEY_OVERLAP_MS
from exchange.names import PartyId

BUNDLES_KEPT = 8
"""Bundles of a party that are remembered: the newest, and those that still cover days of reports under way."""


def founded(genesis: Genesis, payload_sha256: bytes, entry: bytes) -> State:
    """Return the state after the first entry."""
    state = State(genesis, payload_sha256)
    for member in genesis.council:
        begins_ms = genesis.common.not_before_ms
        root = KeyRecord(member.party, member.root.key_id, KeyUse.ROOT, member.root, b"", 0, begins_ms, 0)
        state.put_key(root)
        state.seats[member.root.key_id] = member.party
    state.witnesses = ((0, genesis.witnesses),)
    state.witness_keys.update({member.key.key_id: member.party for member in genesis.witnesses.members})
    state.relay_keys = (KeysSince(0, genesis.relay, genesis.common.not_before_ms, 0),)
    state.limits = ((0, genesis.limits),)
    state.payloads[payload_sha256] = 0
    state.chains[genesis.common.issuer] = Chain(genesis.common.seq, payload_sha256)
    state.frontier.append(entry)
    return state


def change(state: State, judged: Judged) -> None:
    """Bring the state to what it is after this entry; counting the entry itself is the caller's."""
    statement = judged.statement
    if statement.common.seq:
        state.chains[statement.common.issuer] = Chain(statement.common.seq, judged.payload_sha256)
    state.payloads[judged.payload_sha256] = state.size
    _CHANGES[type(statement)](state, judged, statement)


def _invite(state: State, judged: Judged, statement: Invitation) -> None:
    state.invitations[judged.payload_sha256] = InvitationRecord(statement)


def _present_root(state: State, _judged: Judged, statement: PartyRoot) -> None:
    invited = state.invitations[statement.invitation_sha256]
    invitation, index = invited.invitation, state.size
    state.invitations[statement.invitation_sha256] = replace(invited, spent_by=index)
    before = state.parties.get(invitation.party)
    if before is not None:
        _forget_keys(state, before, statement)
    if statement.root.key_id not in state.keys:
        _enter(state, statement.common, statement.root.key_id, KeyUse.ROOT, public=statement.root)
    state.parties[invitation.party] = PartyRecord(
        party=invitation.party,
        country=invitation.country,
        display_name=invitation.display_name,
        ceiling=invitation.ceiling,
        root=statement.root,
        invitation_sha256=statement.invitation_sha256,
        joined_at=index,
        history=((index, Status.JOINING),),
    )


def _forget_keys(state: State, before: PartyRecord, statement: PartyRoot) -> None:
    """End what the party entered when it began to join before; a seat in the council stays."""
    for record in state.records_of(before.party):
        stays = record.key_id == statement.root.key_id or record.key_id in state.seats
        if record.until_index is None and not stays:
            state.put_key(replace(record, until_index=state.size, revoked_for=RevocationReason.SUPERSEDED))


def _admit(state: State, _judged: Judged, statement: Admission) -> None:
    state.parties[statement.party] = replace(state.parties[statement.party], admitted_at=state.size)
    _set_status(state, statement.party, Status.ADMITTED)


def _certify(state: State, judged: Judged, statement: NodeCert) -> None:
    (root,) = judged.signers
    _end_those_before(state, statement)
    for use, key in ((KeyUse.STATEMENT, statement.statement_key), (KeyUse.ENVELOPE, statement.envelope_key)):
        _enter(state, statement.common, key.key_id, use, public=key, certified_by=root)


def _end_those_before(state: State, statement: NodeCert) -> None:
    """Let the node keys certified before serve for the overlap and no longer."""
    until_ms = statement.common.not_before_ms + KEY_OVERLAP_MS
    for record in state.records_of(PartyId(statement.common.issuer)):
        of_node = record.use in (KeyUse.STATEMENT, KeyUse.ENVELOPE)
        if of_node and record.until_index is None and record.followed_index is None:
            state.put_key(replace(record, followed_index=state.size, followed_until_ms=until_ms))


def _enter_transport(state: State, judged: Judged, statement: TransportKey) -> None:
    (signer,) = judged.signers
    der = statement.ca_certificate
    _enter(state, statement.common, ca_key_hash(der), KeyUse.TRANSPORT, certified_by=signer, certificate=der)


def _name_bundle(state: State, judged: Judged, statement: PrekeyBundleHash) -> None:
    (signer,) = judged.signers
    party = PartyId(statement.common.issuer)
    kept = state.bundles.get(party, ())[: BUNDLES_KEPT - 1]
    state.bundles[party] = (BundleRecord(statement, signer, state.size), *kept)


def _commit_agreement(state: State, _judged: Judged, statement: AgreementCommit) -> None:
    history = state.agreements.get(statement.commitment, ())
    state.agreements[statement.commitment] = (*history, (state.size, statement.status))


def _revoke(state: State, _judged: Judged, statement: Revocation) -> None:
    record = state.keys[statement.key_id]
    until = state.size if record.until_index is None else record.until_index
    revoked = replace(
        record,
        until_index=until,
        revoked_for=statement.reason,
        compromised_since_ms=statement.compromised_since_ms,
    )
    state.put_key(revoked)
    party = state.parties.get(statement.party)
    if party is not None and party.root.key_id == statement.key_id:
        _go_back(state, party)


def _go_back(state: State, party: PartyRecord) -> None:
    """Let another root that stands be the party's, after an objection to the one that was to follow it."""
    roots = [each for each in state.keys_of(party.party, KeyUse.ROOT) if each.retired_index is None]
    # The entry that revokes is not counted yet, so the revoked root still shows among them.
    others = [each for each in roots if each.key_id != party.root.key_id and each.public is not None]
    if others and others[0].public is not None:
        state.parties[party.party] = replace(party, root=others[0].public)


def _roll_over(state: State, _judged: Judged, statement: RootRollover) -> None:
    old, new, party = state.keys[statement.old_root_key_id], statement.new_root, statement.party
    if not statement.effective_ms:
        state.put_key(replace(old, retired_index=state.size))
    begins_ms = statement.effective_ms or statement.common.not_before_ms
    counts_ms = statement.effective_ms
    begun = KeyRecord(party, new.key_id, KeyUse.ROOT, new, b"", state.size, begins_ms, 0, counts_from_ms=counts_ms)
    state.put_key(begun)
    if old.key_id in state.seats:
        state.seats[new.key_id] = party
    state.parties[party] = replace(state.parties[party], root=new)


def _suspend(state: State, _judged: Judged, statement: Suspension) -> None:
    _set_status(state, statement.party, Status.SUSPENDED if statement.suspended else Status.ADMITTED)


def _expel(state: State, _judged: Judged, statement: Expulsion) -> None:
    _set_status(state, statement.party, Status.EXPELLED)


def _name_witnesses(state: State, _judged: Judged, statement: WitnessSet) -> None:
    state.witnesses = (*state.witnesses, (state.size, statement.witnesses))
    state.witness_keys.update({member.key.key_id: member.party for member in statement.witnesses.members})


def _name_relay_keys(state: State, _judged: Judged, statement: RelayKeySet) -> None:
    begins_ms = statement.common.not_before_ms
    named = KeysSince(state.size, statement.keys, begins_ms, statement.stolen_since_ms)
    state.relay_keys = (*state.relay_keys, named)


def _set_limits(state: State, _judged: Judged, statement: LimitSet) -> None:
    state.limits = (*state.limits, (state.size, statement.limits))


def _set_status(state: State, party: PartyId, status: Status) -> None:
    record = state.parties[party]
    state.parties[party] = replace(record, history=(*record.history, (state.size, status)))


def _enter(
    state: State,
    common: Common,
    key_id: bytes,
    use: KeyUse,
    *,
    public: PublicKey | None = None,
    certified_by: bytes = b"",
    certificate: bytes = b"",
) -> None:
    record = KeyRecord(
        party=PartyId(common.issuer),
        key_id=key_id,
        use=use,
        public=public,
        certified_by=certified_by,
        since_index=state.size,
        not_before_ms=common.not_before_ms,
        not_after_ms=common.not_after_ms,
        certificate=certificate,
    )
    state.put_key(record)


# `Any`: each function takes the kind that it stands beside.
_CHANGES: Mapping[type, Callable[[State, Judged, Any], None]] = {
    Invitation: _invite,
    PartyRoot: _present_root,
    Admission: _admit,
    NodeCert: _certify,
    TransportKey: _enter_transport,
    PrekeyBundleHash: _name_bundle,
    AgreementCommit: _commit_agreement,
    Revocation: _revoke,
    RootRollover: _roll_over,
    Suspension: _suspend,
    Expulsion: _expel,
    WitnessSet: _name_witnesses,
    RelayKeySet: _name_relay_keys,
    LimitSet: _set_limits,
}

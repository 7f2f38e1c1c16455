"""Directory statements as bytes (protos/exchange/v1/directory.proto).

Only the one canonical encoding is accepted. Decoding checks all that one statement shows by itself: lengths, names,
numbers, and that every key in it may be admitted. What it means at its place in the log is checked by rules.py.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.logkeys import LogPublicKeys
from exchange.crypto.signed import payload_type
from exchange.crypto.x509 import check_ca, validity
from exchange.directory.statements import (
    SALT_BYTES,
    Admission,
    AgreementCommit,
    AgreementStatus,
    Common,
    CouncilMember,
    ExchangeLimits,
    Expulsion,
    Genesis,
    Invitation,
    JoinRequest,
    LimitSet,
    NodeCert,
    PartyRoot,
    PrekeyBundle,
    PrekeyBundleHash,
    RelayKeys,
    RelayKeySet,
    Revocation,
    RevocationReason,
    RootRollover,
    Statement,
    Suspension,
    TransportKey,
    Witness,
    Witnesses,
    WitnessSet,
)
from exchange.directory.witnesses import check_witnesses
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import (
    JOIN_BYTES,
    MIB,
    PARTIES,
    PREKEY_DAYS_MAX,
    RECIPIENTS,
    REPORT_BYTES,
    ROLLOVER_DELAY_MS,
    STATEMENT_BYTES,
    WITNESSES,
)
from exchange.names import COUNCIL, HASH_BYTES, RELAY, ExchangeName, PartyId, exchange_name, hash_bytes, party_id
from exchange.v1 import directory_pb2 as pb
from exchange.wire import serialise, strict_parse

S = TypeVar("S")
N = TypeVar("N", bound=IntEnum)

CERTIFICATE_BYTES = 4096
NAME_LENGTH = 120
CEILINGS = range(1, 6)
"""exchange.v1.Tlp, CLEAR to RED."""
MS_MAX = 1 << 53
"""Times and counts that every store and every reader of JSON can hold exactly."""
_JOINERS = "\u200c\u200d"
"""Format characters that Arabic and Indic scripts cannot be written without."""


def encode(statement: Statement | PrekeyBundle) -> bytes:
    """Return the payload that `decode` accepts."""
    return serialise(_BY_KIND[type(statement)].write(statement))


def name_of(statement: Statement | PrekeyBundle) -> str:
    """Return the short payload type name, such as `party-root`."""
    return _BY_KIND[type(statement)].name


def decode(name: str, payload: bytes) -> Statement:
    """Return the log statement of a payload; `name` is the short payload type name.

    Raises:
        TooLarge: over a limit.
        MalformedInput, BadName: no such type, not canonical, or a part of it is impossible.
    """
    form = _BY_NAME.get(name)
    if form is None or form.kind is PrekeyBundle:
        raise MalformedInput(f"{name[:80]!r} is no statement of the directory log")
    statement: Statement = _decode(form, payload)
    return statement


def decode_as(kind: type[S], payload: bytes) -> S:
    """Return the statement, or the prekey bundle, of a payload that must be of this kind; raises as `decode`."""
    statement: S = _decode(_BY_KIND[kind], payload)
    return statement


def statement_name(full_type: str) -> str:
    """Return the short name of a statement's payload type, or raise MalformedInput when it is none of the log's."""
    name = _NAME_OF_TYPE.get(full_type)
    if name is None:
        raise MalformedInput(f"{full_type[:120]!r} is no statement of the directory log")
    return name


def encode_join_request(request: JoinRequest) -> bytes:
    """Return the bytes that decode_join_request accepts."""
    return serialise(join_request_to_proto(request))


def decode_join_request(data: bytes) -> JoinRequest:
    """Return the request of these bytes, at most 32 KiB; its parts are not verified yet."""
    return join_request_from_proto(strict_parse(pb.JoinRequest, data, limit=JOIN_BYTES, what="a join request"))


def join_request_to_proto(request: JoinRequest) -> pb.JoinRequest:
    """Return the request as a message, for the join service."""
    return pb.JoinRequest(
        invitation=signed_to_proto(request.invitation),
        party_root=signed_to_proto(request.party_root),
        node_cert=signed_to_proto(request.node_cert),
        transport_key=signed_to_proto(request.transport_key),
    )


def join_request_from_proto(message: pb.JoinRequest) -> JoinRequest:
    """Return the request of a message; MalformedInput or TooLarge when a part of it is impossible."""
    return JoinRequest(
        invitation=signed_from_proto(message.invitation, what="the invitation"),
        party_root=signed_from_proto(message.party_root, what="the party root"),
        node_cert=signed_from_proto(message.node_cert, what="the node certificate"),
        transport_key=signed_from_proto(message.transport_key, what="the transport key"),
    )


def _decode(form: "_Form", payload: bytes) -> Any:
    return form.read(strict_parse(form.message, payload, limit=STATEMENT_BYTES, what=f"the {form.name} statement"))


# Parts


def _common_to(common: Common) -> pb.Common:
    return pb.Common(
        exchange=common.exchange,
        issuer=common.issuer,
        seq=common.seq,
        prev=common.prev,
        not_before_ms=common.not_before_ms,
        not_after_ms=common.not_after_ms,
        salt=common.salt,
    )


def _common(message: pb.Common) -> Common:
    issuer = message.issuer if message.issuer in (COUNCIL, RELAY) else party_id(message.issuer)
    seq = _number(message.seq, "seq")
    # Only a statement that follows another one names it.
    if len(message.prev) != (HASH_BYTES if seq > 1 else 0):
        raise MalformedInput(f"statement {seq} of an issuer cannot follow {len(message.prev)} bytes")
    not_before, not_after = _number(message.not_before_ms, "not_before"), _number(message.not_after_ms, "not_after")
    if not_after and not_after <= not_before:
        raise MalformedInput("the statement ends before it begins")
    salt = _salt(message.salt)
    return Common(exchange_name(message.exchange), issuer, seq, message.prev, not_before, not_after, salt)


def _key_to(key: PublicKey) -> pb.PublicKey:
    return pb.PublicKey(algorithm=pb.KeyAlgorithm.ValueType(key.algorithm), raw=key.raw)


def _key(message: pb.PublicKey, algorithm: KeyAlgorithm) -> PublicKey:
    if int(message.algorithm) != algorithm:
        raise MalformedInput(f"a {algorithm.name} key is expected, not algorithm {message.algorithm}")
    return admit_public_key(message.algorithm, message.raw)


def _number(value: int, what: str) -> int:
    if value >= MS_MAX:
        raise MalformedInput(f"{what} is impossibly large")
    return value


def _enumerated(kind: type[N], value: int) -> N:
    try:
        return kind(value)
    except ValueError as error:
        raise MalformedInput(f"{kind.__name__} {value} is not known") from error


def _salt(value: bytes) -> bytes:
    if len(value) != SALT_BYTES:
        raise MalformedInput(f"a salt has {SALT_BYTES} bytes, not {len(value)}")
    return value


def _certificate(der: bytes) -> bytes:
    if not 1 <= len(der) <= CERTIFICATE_BYTES:
        raise MalformedInput(f"a certificate has 1 to {CERTIFICATE_BYTES} bytes, not {len(der)}")
    # The certificate's own start stands in for a clock: whether it is valid today is asked when a peer presents a leaf.
    check_ca(der, validity(der)[0])
    return der


def _witnesses_to(witnesses: Witnesses) -> pb.Witnesses:
    return pb.Witnesses(
        members=[pb.Witness(party=member.party, key=_key_to(member.key)) for member in witnesses.members],
        quorum=witnesses.quorum,
    )


def _witnesses(message: pb.Witnesses) -> Witnesses:
    if len(message.members) > WITNESSES:
        raise TooLarge(f"{len(message.members)} witnesses; the limit is {WITNESSES}")
    members = tuple(Witness(party_id(each.party), _key(each.key, KeyAlgorithm.MLDSA_44)) for each in message.members)
    witnesses = Witnesses(members, message.quorum)
    check_witnesses(witnesses)
    return witnesses


def _relay_keys_to(keys: RelayKeys) -> pb.RelayKeys:
    return pb.RelayKeys(
        promise=_key_to(keys.promise),
        log=_key_to(keys.log.ed25519),
        log_mldsa=_key_to(keys.log.mldsa),
        transport_ca=keys.transport_ca,
    )


def _relay_keys(message: pb.RelayKeys) -> RelayKeys:
    log = LogPublicKeys(_key(message.log, KeyAlgorithm.ED25519), _key(message.log_mldsa, KeyAlgorithm.MLDSA_44))
    keys = RelayKeys(_key(message.promise, KeyAlgorithm.ED25519), log, _certificate(message.transport_ca))
    if keys.promise == keys.log.ed25519:
        raise MalformedInput("one relay key for promises and checkpoints")
    return keys


def _limits_to(limits: ExchangeLimits) -> pb.ExchangeLimits:
    return pb.ExchangeLimits(
        min_suite=limits.min_suite,
        report_bytes=limits.report_bytes,
        recipients=limits.recipients,
        reports_per_minute=limits.reports_per_minute,
        control_per_minute=limits.control_per_minute,
        held_bytes=limits.held_bytes,
        statements_per_day=limits.statements_per_day,
    )


def _limits(message: pb.ExchangeLimits) -> ExchangeLimits:
    limits = ExchangeLimits(
        message.min_suite,
        message.report_bytes,
        message.recipients,
        message.reports_per_minute,
        message.control_per_minute,
        _number(message.held_bytes, "held_bytes"),
        message.statements_per_day,
    )
    possible = limits.min_suite and 1 <= limits.report_bytes <= REPORT_BYTES and 1 <= limits.recipients <= RECIPIENTS
    if not possible or 0 < limits.held_bytes < MIB:
        raise MalformedInput("a limit of the exchange is missing or impossible")
    return limits


def _days(first: int, count: int) -> None:
    if not 1 <= count <= PREKEY_DAYS_MAX:
        raise MalformedInput(f"a bundle covers 1 to {PREKEY_DAYS_MAX} days, not {count}")
    if first == 0:
        raise MalformedInput("a bundle names its first day")


# One pair of functions a statement, in the order of directory.proto


def _genesis_to(genesis: Genesis) -> pb.Genesis:
    return pb.Genesis(
        common=_common_to(genesis.common),
        council=[pb.CouncilMember(party=member.party, root=_key_to(member.root)) for member in genesis.council],
        threshold=genesis.threshold,
        relay=_relay_keys_to(genesis.relay),
        limits=_limits_to(genesis.limits),
        created_ms=genesis.created_ms,
        witnesses=_witnesses_to(genesis.witnesses),
    )


def _genesis(message: pb.Genesis) -> Genesis:
    if len(message.council) > PARTIES:
        raise TooLarge(f"a council of {len(message.council)}")
    council = tuple(
        CouncilMember(party_id(member.party), _key(member.root, KeyAlgorithm.COMPOSITE_65))
        for member in message.council
    )
    if len({member.root.key_id for member in council}) != len(council):
        raise MalformedInput("a root stands twice in the council")
    if not 1 <= message.threshold <= len({member.party for member in council}):
        raise MalformedInput(f"a threshold of {message.threshold} in a council of {len(council)}")
    created = _number(message.created_ms, "created")
    witnesses = _witnesses(message.witnesses)
    relay, limits = _relay_keys(message.relay), _limits(message.limits)
    return Genesis(_common(message.common), council, message.threshold, relay, limits, created, witnesses)


def _invitation_to(invitation: Invitation) -> pb.Invitation:
    return pb.Invitation(
        common=_common_to(invitation.common),
        party=invitation.party,
        country=invitation.country,
        one_time_key=invitation.one_time_key.raw,
        ceiling=invitation.ceiling,
        display_name=invitation.display_name,
    )


def _invitation(message: pb.Invitation) -> Invitation:
    common = _common(message.common)
    if not common.not_after_ms:
        raise MalformedInput("an invitation has an end")
    country, name = message.country, message.display_name
    if not (len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()):
        raise MalformedInput(f"{country[:8]!r} is not a country code of two capital letters")
    visible = all(letter.isprintable() or letter in _JOINERS for letter in name)
    if not 1 <= len(name) <= NAME_LENGTH or not visible or name != name.strip():
        raise MalformedInput(f"a name for people has 1 to {NAME_LENGTH} printable characters")
    if message.ceiling not in CEILINGS:
        raise MalformedInput(f"TLP {message.ceiling} is not known")
    key = admit_public_key(KeyAlgorithm.ED25519, message.one_time_key)
    return Invitation(common, party_id(message.party), country, key, message.ceiling, name)


def _party_root_to(statement: PartyRoot) -> pb.PartyRoot:
    return pb.PartyRoot(
        common=_common_to(statement.common),
        root=_key_to(statement.root),
        invitation_sha256=statement.invitation_sha256,
    )


def _party_root(message: pb.PartyRoot) -> PartyRoot:
    root = _key(message.root, KeyAlgorithm.COMPOSITE_65)
    return PartyRoot(_common(message.common), root, hash_bytes(message.invitation_sha256, "the invitation's hash"))


def _admission_to(statement: Admission) -> pb.Admission:
    common = _common_to(statement.common)
    return pb.Admission(common=common, party=statement.party, root_key_id=statement.root_key_id)


def _admission(message: pb.Admission) -> Admission:
    key_id = hash_bytes(message.root_key_id, "the root's key id")
    return Admission(_common(message.common), party_id(message.party), key_id)


def _node_cert_to(statement: NodeCert) -> pb.NodeCert:
    return pb.NodeCert(
        common=_common_to(statement.common),
        statement_key=_key_to(statement.statement_key),
        envelope_key=_key_to(statement.envelope_key),
    )


def _node_cert(message: pb.NodeCert) -> NodeCert:
    common = _common(message.common)
    if not common.not_after_ms:
        raise MalformedInput("a node certificate has an end")
    statement_key = _key(message.statement_key, KeyAlgorithm.COMPOSITE_65)
    return NodeCert(common, statement_key, _key(message.envelope_key, KeyAlgorithm.ED25519))


def _transport_key_to(statement: TransportKey) -> pb.TransportKey:
    return pb.TransportKey(common=_common_to(statement.common), ca_certificate=statement.ca_certificate)


def _transport_key(message: pb.TransportKey) -> TransportKey:
    return TransportKey(_common(message.common), _certificate(message.ca_certificate))


def _bundle_hash_to(statement: PrekeyBundleHash) -> pb.PrekeyBundleHash:
    return pb.PrekeyBundleHash(
        common=_common_to(statement.common),
        bundle_sha256=statement.bundle_sha256,
        first_day=statement.first_day,
        days=statement.days,
    )


def _bundle_hash(message: pb.PrekeyBundleHash) -> PrekeyBundleHash:
    _days(message.first_day, message.days)
    digest = hash_bytes(message.bundle_sha256, "the bundle's hash")
    return PrekeyBundleHash(_common(message.common), digest, message.first_day, message.days)


def _bundle_to(bundle: PrekeyBundle) -> pb.PrekeyBundle:
    return pb.PrekeyBundle(
        exchange=bundle.exchange,
        party=bundle.party,
        first_day=bundle.first_day,
        keys=[key.raw for key in bundle.keys],
        salt=bundle.salt,
    )


def _bundle(message: pb.PrekeyBundle) -> PrekeyBundle:
    _days(message.first_day, len(message.keys))
    exchange: ExchangeName = exchange_name(message.exchange)
    party: PartyId = party_id(message.party)
    keys = tuple(admit_public_key(KeyAlgorithm.XWING, raw) for raw in message.keys)
    return PrekeyBundle(exchange, party, message.first_day, keys, _salt(message.salt))


def _agreement_to(statement: AgreementCommit) -> pb.AgreementCommit:
    return pb.AgreementCommit(
        common=_common_to(statement.common),
        commitment=statement.commitment,
        status=pb.AgreementStatus.ValueType(statement.status),
    )


def _agreement(message: pb.AgreementCommit) -> AgreementCommit:
    commitment = hash_bytes(message.commitment, "the agreement's commitment")
    return AgreementCommit(_common(message.common), commitment, _enumerated(AgreementStatus, message.status))


def _revocation_to(statement: Revocation) -> pb.Revocation:
    return pb.Revocation(
        common=_common_to(statement.common),
        party=statement.party,
        key_id=statement.key_id,
        reason=pb.RevocationReason.ValueType(statement.reason),
        compromised_since_ms=statement.compromised_since_ms,
    )


def _revocation(message: pb.Revocation) -> Revocation:
    reason = _enumerated(RevocationReason, message.reason)
    since = _number(message.compromised_since_ms, "compromised_since")
    if bool(since) != (reason is RevocationReason.COMPROMISED):
        raise MalformedInput("a compromise, and nothing else, says since when")
    key_id = hash_bytes(message.key_id, "the key id")
    return Revocation(_common(message.common), party_id(message.party), key_id, reason, since)


def _rollover_to(statement: RootRollover) -> pb.RootRollover:
    return pb.RootRollover(
        common=_common_to(statement.common),
        party=statement.party,
        old_root_key_id=statement.old_root_key_id,
        new_root=_key_to(statement.new_root),
        effective_ms=statement.effective_ms,
    )


def _rollover(message: pb.RootRollover) -> RootRollover:
    common, effective = _common(message.common), _number(message.effective_ms, "effective")
    if bool(effective) != (common.issuer == COUNCIL):
        raise MalformedInput("a rollover by the council, and no other, says from when on it counts")
    if effective and effective < common.not_before_ms + ROLLOVER_DELAY_MS:
        raise MalformedInput("a rollover by the council counts 72 hours later at the earliest")
    old = hash_bytes(message.old_root_key_id, "the old root's key id")
    new = _key(message.new_root, KeyAlgorithm.COMPOSITE_65)
    return RootRollover(common, party_id(message.party), old, new, effective)


def _suspension_to(statement: Suspension) -> pb.Suspension:
    return pb.Suspension(common=_common_to(statement.common), party=statement.party, suspended=statement.suspended)


def _suspension(message: pb.Suspension) -> Suspension:
    return Suspension(_common(message.common), party_id(message.party), message.suspended)


def _expulsion_to(statement: Expulsion) -> pb.Expulsion:
    return pb.Expulsion(common=_common_to(statement.common), party=statement.party)


def _expulsion(message: pb.Expulsion) -> Expulsion:
    return Expulsion(_common(message.common), party_id(message.party))


def _witness_set_to(statement: WitnessSet) -> pb.WitnessSet:
    return pb.WitnessSet(common=_common_to(statement.common), witnesses=_witnesses_to(statement.witnesses))


def _witness_set(message: pb.WitnessSet) -> WitnessSet:
    witnesses = _witnesses(message.witnesses)
    if not witnesses.members:
        raise MalformedInput("a set of witnesses has members")
    return WitnessSet(_common(message.common), witnesses)


def _relay_key_set_to(statement: RelayKeySet) -> pb.RelayKeySet:
    return pb.RelayKeySet(
        common=_common_to(statement.common),
        keys=_relay_keys_to(statement.keys),
        stolen_since_ms=statement.stolen_since_ms,
    )


def _relay_key_set(message: pb.RelayKeySet) -> RelayKeySet:
    since = _number(message.stolen_since_ms, "stolen_since")
    return RelayKeySet(_common(message.common), _relay_keys(message.keys), since)


def _limit_set_to(statement: LimitSet) -> pb.LimitSet:
    return pb.LimitSet(common=_common_to(statement.common), limits=_limits_to(statement.limits))


def _limit_set(message: pb.LimitSet) -> LimitSet:
    return LimitSet(_common(message.common), _limits(message.limits))


class _Form(NamedTuple):
    """How one kind of statement is written and read. `Any`: each row pairs its own statement and message types."""

    name: str
    kind: type
    message: type[Message]
    write: Callable[[Any], Message]
    read: Callable[[Any], Any]


_FORMS = (
    _Form("genesis", Genesis, pb.Genesis, _genesis_to, _genesis),
    _Form("invitation", Invitation, pb.Invitation, _invitation_to, _invitation),
    _Form("party-root", PartyRoot, pb.PartyRoot, _party_root_to, _party_root),
    _Form("admission", Admission, pb.Admission, _admission_to, _admission),
    _Form("node-cert", NodeCert, pb.NodeCert, _node_cert_to, _node_cert),
    _Form("transport-key", TransportKey, pb.TransportKey, _transport_key_to, _transport_key),
    _Form("prekey-bundle-hash", PrekeyBundleHash, pb.PrekeyBundleHash, _bundle_hash_to, _bundle_hash),
    _Form("prekey-bundle", PrekeyBundle, pb.PrekeyBundle, _bundle_to, _bundle),
    _Form("agreement-commit", AgreementCommit, pb.AgreementCommit, _agreement_to, _agreement),
    _Form("revocation", Revocation, pb.Revocation, _revocation_to, _revocation),
    _Form("root-rollover", RootRollover, pb.RootRollover, _rollover_to, _rollover),
    _Form("suspension", Suspension, pb.Suspension, _suspension_to, _suspension),
    _Form("expulsion", Expulsion, pb.Expulsion, _expulsion_to, _expulsion),
    _Form("witness-set", WitnessSet, pb.WitnessSet, _witness_set_to, _witness_set),
    _Form("relay-keys", RelayKeySet, pb.RelayKeySet, _relay_key_set_to, _relay_key_set),
    _Form("limits", LimitSet, pb.LimitSet, _limit_set_to, _limit_set),
)
_BY_NAME = {form.name: form for form in _FORMS}
_BY_KIND: dict[type, _Form] = {form.kind: form for form in _FORMS}
_NAME_OF_TYPE = {payload_type(form.name): form.name for form in _FORMS if form.kind is not PrekeyBundle}

"""Making the statements of founding, inviting, joining and admitting (PROTOCOL 6, crypto.md 3.2).

1. the relay drafts a genesis, council roots sign it                     draft_genesis, sign_genesis, cosign_genesis
2. the council invites: the seed of a one-time key leaves with the file   make_invitation, cosign_council
3. the invited party's root presents itself and certifies a node          make_party_root, make_node_cert
4. the node proves the one-time key, enters its CA, asks to join          prove_invitation, make_transport_key,
                                                                          make_join_request
5. relay and council check the request                                    check_join_request
6. two people compare the fingerprint; the council admits                 make_admission, cosign_council
Pure: times are arguments; randomness (salts) comes from exchange.crypto. Specification: docs/spec/directory.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey, fingerprint
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, add_signature, sign, verified_signers
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.directory.codec import decode_as, encode, name_of
from exchange.directory.fold import Directory
from exchange.directory.statements import (
    SALT_BYTES,
    Admission,
    Common,
    CouncilMember,
    ExchangeLimits,
    Genesis,
    Invitation,
    JoinRequest,
    NodeCert,
    PartyRoot,
    RelayKeys,
    Statement,
    TransportKey,
    Witnesses,
)
from exchange.errors import BadSignature, BadStatement, NotAllowed
from exchange.names import COUNCIL, ExchangeName, PartyId

UNWITNESSED = Witnesses((), 0)
"""Nobody watches the logs yet, and the council is free in its choice of a quorum."""

FIRST_PLACE = (1, b"")
"""Seq and prev of an issuer's first counted statement."""

ANY_PLACE = (0, b"")
"""Seq and prev of statements that may come in any order."""


def common(
    exchange: ExchangeName, issuer: str, place: tuple[int, bytes], *, now_ms: int, not_after_ms: int = 0
) -> Common:
    """Return the common fields of a new statement; `place` is (seq, prev) as Directory.next_seq_prev gives it."""
    seq, prev = place
    return Common(exchange, issuer, seq, prev, now_ms, not_after_ms, random_bytes(SALT_BYTES))


def sign_statement(statement: Statement, key: CompositeKey | Ed25519Key) -> Signed:
    """Return the statement signed by one key, under its exchange's name.

    Raises:
        MalformedInput, BadName, TooLarge: the statement is one that no directory would decode.
    """
    payload = encode(statement)
    decode_as(type(statement), payload)
    return sign(key, name_of(statement), payload, context=statement.common.exchange)


def place_after(signed: Signed, place: tuple[int, bytes]) -> tuple[int, bytes]:
    """Return the place behind a statement that stands, or will stand, at `place`."""
    return place[0] + 1, sha256(signed.payload).digest()


# 1


def draft_genesis(
    *,
    exchange: ExchangeName,
    council: Sequence[CouncilMember],
    threshold: int,
    relay: RelayKeys,
    limits: ExchangeLimits,
    now_ms: int,
    witnesses: Witnesses = UNWITNESSED,
) -> bytes:
    """Return the payload of a genesis that nobody has signed yet; its SHA-256 will be the anchor of the exchange.

    Raises:
        MalformedInput: the council cannot reach the threshold, or a key or limit is impossible.
    """
    first = common(exchange, COUNCIL, FIRST_PLACE, now_ms=now_ms)
    payload = encode(Genesis(first, tuple(council), threshold, relay, limits, now_ms, witnesses))
    decode_as(Genesis, payload)
    return payload


def sign_genesis(payload: bytes, root: CompositeKey) -> Signed:
    """Return a drafted genesis with the first signature.

    Raises:
        MalformedInput, BadName, TooLarge: not a genesis.
        NotAllowed: this root does not sit in its council.
    """
    genesis = decode_as(Genesis, payload)
    _check_seat(genesis, root)
    return sign(root, "genesis", payload, context=genesis.common.exchange)


def cosign_genesis(signed: Signed, root: CompositeKey) -> Signed:
    """Return a genesis with one more council root's signature; raises as sign_genesis."""
    genesis = decode_as(Genesis, signed.payload)
    _check_seat(genesis, root)
    return add_signature(signed, root, context=genesis.common.exchange)


def make_genesis(
    *,
    exchange: ExchangeName,
    council: Sequence[CouncilMember],
    threshold: int,
    relay: RelayKeys,
    limits: ExchangeLimits,
    now_ms: int,
    roots: Sequence[CompositeKey],
    witnesses: Witnesses = UNWITNESSED,
) -> Signed:
    """Return a genesis signed by all `roots` at once: for exchanges on one machine."""
    payload = draft_genesis(
        exchange=exchange,
        council=council,
        threshold=threshold,
        relay=relay,
        limits=limits,
        now_ms=now_ms,
        witnesses=witnesses,
    )
    first, *others = roots
    signed = sign_genesis(payload, first)
    for root in others:
        signed = cosign_genesis(signed, root)
    return signed


def council_signers(signed: Signed, directory: Directory) -> frozenset[PartyId]:
    """Return the council parties that have signed a statement so far; the threshold counts these.

    Raises:
        BadSignature: nobody has, one signature does not hold, or one is by nobody of the council.
    """
    roots = directory.council_roots()
    keys = {key_id: public for key_id, (_, public) in roots.items()}
    signers = verified_signers(signed, keys.get, expected_type=signed.payload_type, context=directory.exchange)
    return frozenset(roots[key_id][0] for key_id in signers)


def cosign_council(signed: Signed, root: CompositeKey, directory: Directory) -> Signed:
    """Return a council statement with one more council root's signature.

    Raises:
        NotAllowed: this root does not sit in the council.
        MalformedInput: it has signed already.
    """
    check_seat(directory, root)
    return add_signature(signed, root, context=directory.exchange)


def check_seat(directory: Directory, root: CompositeKey) -> None:
    """Return when this root sits in the council now; NotAllowed otherwise."""
    if root.public.key_id not in directory.council_roots():
        raise NotAllowed(f"this root does not sit in the council of {directory.exchange}")


def _check_seat(genesis: Genesis, root: CompositeKey) -> None:
    if all(member.root != root.public for member in genesis.council):
        raise NotAllowed(f"this root does not sit in the council of {genesis.common.exchange}")


# 2


def make_invitation(
    *,
    exchange: ExchangeName,
    party: PartyId,
    country: str,
    display_name: str,
    ceiling: int,
    one_time_key: PublicKey,
    now_ms: int,
    not_after_ms: int,
    council_key: CompositeKey,
) -> Signed:
    """Return an invitation with one council signature; `ceiling` is a number of exchange.v1.Tlp.

    `one_time_key` is the Ed25519 public half; whoever holds its seed can use the invitation, once.
    """
    fields = common(exchange, COUNCIL, ANY_PLACE, now_ms=now_ms, not_after_ms=not_after_ms)
    return sign_statement(Invitation(fields, party, country, one_time_key, ceiling, display_name), council_key)


# 3


def make_party_root(
    *, exchange: ExchangeName, party: PartyId, invitation_sha256: bytes, root: CompositeKey, now_ms: int
) -> Signed:
    """Return the statement by which a root presents itself; `prove_invitation` adds what it still lacks."""
    fields = common(exchange, party, FIRST_PLACE, now_ms=now_ms)
    return sign_statement(PartyRoot(fields, root.public, invitation_sha256), root)


def make_node_cert(
    *,
    exchange: ExchangeName,
    party: PartyId,
    place: tuple[int, bytes],
    statement_key: PublicKey,
    envelope_key: PublicKey,
    now_ms: int,
    not_after_ms: int,
    root: CompositeKey,
) -> Signed:
    """Return the root's certificate for the keys of a node; when joining, `place` is behind the PartyRoot."""
    fields = common(exchange, party, place, now_ms=now_ms, not_after_ms=not_after_ms)
    return sign_statement(NodeCert(fields, statement_key, envelope_key), root)


# 4


def prove_invitation(party_root: Signed, one_time_key: Ed25519Key) -> Signed:
    """Return a PartyRoot with the signature of the invitation's one-time key."""
    statement = decode_as(PartyRoot, party_root.payload)
    return add_signature(party_root, one_time_key, context=statement.common.exchange)


def make_transport_key(
    *,
    exchange: ExchangeName,
    party: PartyId,
    place: tuple[int, bytes],
    ca_certificate: bytes,
    now_ms: int,
    statement_key: CompositeKey,
) -> Signed:
    """Return the statement that enters a node's transport CA (DER); when joining, `place` is behind the NodeCert."""
    return sign_statement(TransportKey(common(exchange, party, place, now_ms=now_ms), ca_certificate), statement_key)


def make_join_request(
    *, invitation: Signed, party_root: Signed, node_cert: Signed, transport_key: Signed
) -> JoinRequest:
    """Return what a joining node hands over; codec.encode_join_request gives its bytes."""
    return JoinRequest(invitation, party_root, node_cert, transport_key)


# 5


@dataclass(frozen=True, slots=True)
class JoinClaims:
    """A join request that holds, for those who judge it."""

    party: PartyId
    country: str
    display_name: str
    ceiling: int
    root: PublicKey
    entries: tuple[bytes, ...]
    """What is to be appended to the log, in order; empty when all of it stands there already."""

    @property
    def fingerprint(self) -> str:
        """What the two sides read to each other."""
        return fingerprint(self.party, self.root.raw)


def check_join_request(request: JoinRequest, directory: Directory, now_ms: int | None) -> JoinClaims:
    """Return what a join request claims, if the directory could take it; changes nothing.

    Repeating a request that stands in the log is safe. `now_ms` is None for a council that judges a request after the
    relay took it in time: an invitation may end before the admission.

    Raises:
        MalformedInput, BadName, TooLarge: a part does not decode.
        BadStatement: the parts do not belong together, or one would be ignored.
        BadSignature: a repeated part carries other signatures than it must.
    """
    invitation = decode_as(Invitation, request.invitation.payload)
    party_root = decode_as(PartyRoot, request.party_root.payload)
    node_cert = decode_as(NodeCert, request.node_cert.payload)
    transport_key = decode_as(TransportKey, request.transport_key.payload)
    issuers = {statement.common.issuer for statement in (party_root, node_cert, transport_key)}
    if issuers != {invitation.party}:
        raise BadStatement(f"the parts of the request are not all by {invitation.party}")
    if party_root.invitation_sha256 != sha256(request.invitation.payload).digest():
        raise BadStatement("the root was presented under another invitation")
    root, one_time = party_root.root, invitation.one_time_key
    parts = (
        (request.invitation, None),
        (request.party_root, {root, one_time}),
        (request.node_cert, {root}),
        (request.transport_key, {node_cert.statement_key}),
    )
    new = []
    for part, signers in parts:
        if directory.index_of(sha256(part.payload).digest()) is None:
            new.append(part)
        else:
            _check_repeated(part, signers, directory)
    entries = tuple(encode_signed(part) for part in new)
    directory.check_all(entries, now_ms)
    return JoinClaims(
        invitation.party,
        invitation.country,
        invitation.display_name,
        invitation.ceiling,
        party_root.root,
        entries,
    )


def _check_repeated(part: Signed, signers: set[PublicKey] | None, directory: Directory) -> None:
    """Check the signatures of a part whose payload stands in the log: what is kept of it must hold by itself.

    `signers` None stands for the council.
    """
    # What stands may have been signed by a root that was followed by another since.
    council = {public for _, public in directory.council_roots(ever=True).values()}
    keys = {key.key_id: key for key in (council if signers is None else signers)}
    found = verified_signers(part, keys.get, expected_type=part.payload_type, context=directory.exchange)
    if signers is not None and found != keys.keys():
        raise BadSignature("a signature is missing")


# 6


def make_admission(
    *, exchange: ExchangeName, party: PartyId, root_key_id: bytes, now_ms: int, council_key: CompositeKey
) -> Signed:
    """Return the admission of a party whose root was compared, with one council signature."""
    return sign_statement(
        Admission(common(exchange, COUNCIL, ANY_PLACE, now_ms=now_ms), party, root_key_id), council_key
    )

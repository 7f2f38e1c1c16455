"""What a party root signs: a genesis, a node's credentials, invitations, admissions (PROTOCOL 6, crypto.md 3.2).

Each begins with something that a person can read and refuse; nothing is signed that was not shown. Invitations and
admissions may be made and arrive in any order, so a root keeps no counter that a crash or a restored backup could set
back (docs/decisions/0002-council-statement-order.md).
Where the council speaks with m of n voices, a file goes from root to root until enough have signed: an invitation
leaves its secret seed with the root that made it, and each root that admits has compared the fingerprint itself.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import fingerprint
from exchange.crypto.signed import Signed, verified_signers
from exchange.crypto.signing import Ed25519Key
from exchange.directory import ceremony
from exchange.directory.codec import decode_as
from exchange.directory.fold import Directory
from exchange.directory.statements import Admission, Genesis, Invitation, Witnesses
from exchange.errors import BadStatement, NotAllowed
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.policy.model import Tlp
from exchange.runtime.armour import read_armour
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.secrets import private_dir, write_private
from nodes.ceremony import (
    GENESIS,
    GENESIS_REQUEST,
    NODE_REQUEST,
    InvitationFile,
    NodeCredentials,
    NodeRequest,
    node_request_from,
    read_admission,
    read_join_request,
    write_admission,
    write_genesis,
    write_node_credentials,
)
from nodes.moments import moment
from nodes.root_home import Root, admission_path, known_relay, read_text, remember_relay
from nodes.spoken import check_spoken, without_ends
from nodes.statement_file import REQUEST, STATEMENT, StatementTask, task_of

DAY_MS = 24 * 60 * 60 * 1000


# Signing a file


@dataclass(frozen=True, slots=True)
class GenesisTask:
    """A genesis, with the signatures that it has so far."""

    payload: bytes
    genesis: Genesis
    signed: Signed | None

    def words(self) -> list[str]:
        """Return what is to be signed, a line each."""
        genesis, has = self.genesis, len(self.signed.signatures) if self.signed else 0
        return [
            f"genesis of the exchange {genesis.common.exchange}",
            f"  founded       {moment(genesis.created_ms)}",
            f"  genesis hash  {sha256(self.payload).hexdigest()}",
            f"  threshold     {genesis.threshold} of {len({m.party for m in genesis.council})} council parties",
            *(f"  council       {m.party}  {fingerprint(m.party, m.root.raw)}" for m in genesis.council),
            f"  witnesses     {_witnesses(genesis.witnesses)}",
            f"  signatures    {has} so far",
        ]

    def sign(self, root: Root, _now_ms: int) -> str:
        """Return the text of the genesis with this root's signature."""
        if self.signed is None:
            return write_genesis(ceremony.sign_genesis(self.payload, root.key))
        return write_genesis(ceremony.cosign_genesis(self.signed, root.key))


@dataclass(frozen=True, slots=True)
class NodeTask:
    """The keys of a node that asks to be certified."""

    request: NodeRequest

    def words(self) -> list[str]:
        """Return what is to be signed, a line each."""
        request = self.request
        return [
            f"the node of {request.party} in the exchange {request.exchange}",
            f"  invitation     {request.invitation_sha256.hex()}",
            f"  statement key  {request.statement_key.key_id.hex()}",
            f"  envelope key   {request.envelope_key.key_id.hex()}",
            f"  valid for      {request.days} days",
        ]

    def sign(self, root: Root, now_ms: int) -> str:
        """Return the text of the credentials that the root signs for the node."""
        return write_node_credentials(certify(self.request, root, now_ms))


def read_task(text: str) -> GenesisTask | NodeTask | StatementTask:
    """Return what a file asks a root to sign.

    Raises:
        MalformedInput, BadName, TooLarge: nothing that a root signs.
        BadSignature: a genesis with a signature that does not hold.
    """
    kind, data = read_armour(text, {GENESIS_REQUEST, GENESIS, NODE_REQUEST, REQUEST, STATEMENT})
    if kind in (REQUEST, STATEMENT):
        return task_of(kind, data)
    if kind == NODE_REQUEST:
        return NodeTask(node_request_from(data))
    if kind == GENESIS_REQUEST:
        return GenesisTask(data, decode_as(Genesis, data), None)
    signed = decode_signed(data, limit=STATEMENT_BYTES, what="the genesis")
    genesis = decode_as(Genesis, signed.payload)
    roots = {member.root.key_id: member.root for member in genesis.council}
    verified_signers(signed, roots.get, expected_type="genesis", context=genesis.common.exchange)
    return GenesisTask(signed.payload, genesis, signed)


def certify(request: NodeRequest, root: Root, now_ms: int) -> NodeCredentials:
    """Return the root's presentation of itself and its certificate for the node.

    Raises:
        NotAllowed: the request is for another party.
    """
    if request.party != root.party:
        raise NotAllowed(f"the request is for {request.party}; this root is {root.party}'s")
    presented = ceremony.make_party_root(
        exchange=request.exchange,
        party=root.party,
        invitation_sha256=request.invitation_sha256,
        root=root.key,
        now_ms=now_ms,
    )
    certificate = ceremony.make_node_cert(
        exchange=request.exchange,
        party=root.party,
        place=ceremony.place_after(presented, ceremony.FIRST_PLACE),
        statement_key=request.statement_key,
        envelope_key=request.envelope_key,
        now_ms=now_ms,
        not_after_ms=now_ms + request.days * DAY_MS,
        root=root.key,
    )
    return NodeCredentials(presented, certificate)


# Inviting


def invite(
    root: Root,
    home: Path,
    relay: RelayInfo,
    *,
    party: PartyId,
    country: str,
    display_name: str,
    ceiling: Tlp,
    days: int,
    now_ms: int,
) -> InvitationFile:
    """Return a new invitation with this root's signature; whoever holds a complete one can use it once.

    Raises:
        BadStatement: the relay's genesis does not hold.
        Conflict: this root knows the exchange with another genesis.
        NotAllowed: this root does not sit in the council.
        MalformedInput: a field that no invitation can carry.
    """
    directory = relay.directory()
    ceremony.check_seat(directory, root.key)
    remember_relay(home, relay)
    one_time = Ed25519Key.generate()
    invitation = ceremony.make_invitation(
        exchange=directory.exchange,
        party=party,
        country=country,
        display_name=display_name,
        ceiling=int(ceiling),
        one_time_key=one_time.public,
        now_ms=now_ms,
        not_after_ms=now_ms + days * DAY_MS,
        council_key=root.key,
    )
    file = InvitationFile(invitation, one_time.seed, relay)
    if still_missing(invitation, directory) == 0:
        directory.check(encode_signed(invitation), now_ms)
    return file


def complete(file: InvitationFile, signed: Signed, now_ms: int) -> InvitationFile:
    """Return an invitation with the signatures that council roots have put under its statement meanwhile.

    Raises:
        BadStatement: the statement is another one, or not enough parties have signed it.
        BadSignature: a signature does not hold, or is by nobody of the council.
    """
    if (signed.payload_type, signed.payload) != (file.invitation.payload_type, file.invitation.payload):
        raise BadStatement("this is the statement of another invitation", hint="use the one that was written beside it")
    directory = file.relay.directory()
    missing = still_missing(signed, directory)
    if missing:
        raise BadStatement(
            f"{missing} more council parties must sign it", hint="concord root sign FILE, at the next council root"
        )
    directory.check(encode_signed(signed), now_ms)
    return replace(file, invitation=signed)


def still_missing(signed: Signed, directory: Directory) -> int:
    """Return how many more council parties must sign a statement; BadSignature when a signature does not hold."""
    return max(0, directory.genesis.threshold - len(ceremony.council_signers(signed, directory)))


# Admitting


@dataclass(frozen=True, slots=True)
class Applicant:
    """A party that asks to be admitted; its request holds."""

    claims: ceremony.JoinClaims
    relay: RelayInfo

    def words(self) -> list[str]:
        """Return who asks, a line each; of the fingerprint only what need not be typed."""
        claims = self.claims
        return [
            f"{claims.party} asks to join the exchange {self.relay.exchange}",
            f"  name         {claims.display_name}",
            f"  country      {claims.country}",
            f"  ceiling      TLP:{Tlp(claims.ceiling).word.upper()}",
            f"  fingerprint  {without_ends(claims.fingerprint)}",
        ]


def judge_request(text: str, home: Path, relay: RelayInfo | None) -> Applicant:
    """Return who asks to join, if the request holds under the genesis of its exchange.

    Without `relay` the exchange must be one that this root invited for.

    Raises:
        MalformedInput, BadName, TooLarge: not a join request.
        NotFound: no such exchange is known here.
        Conflict: the relay info is of an exchange that this root knows with another genesis.
        BadStatement: it does not hold.
    """
    request = read_join_request(text)
    invitation = decode_as(Invitation, request.invitation.payload)
    info = relay or known_relay(home, invitation.common.exchange)
    # No time here: an invitation that was used in time may have ended before people meet to compare.
    claims = ceremony.check_join_request(request, info.directory(), None)
    remember_relay(home, info)
    return Applicant(claims, info)


def compare_fingerprint(applicant: Applicant, *, read_out: str) -> None:
    """Return when what the other side read out is the applicant's fingerprint: all of it, or first and last group.

    Raises:
        VerificationFailed: it differs, or less was typed.
    """
    hint = "do not admit; tell the council that somebody may stand between you"
    check_spoken(applicant.claims.fingerprint, read_out=read_out, hint=hint)


def admit(root: Root, home: Path, applicant: Applicant, now_ms: int, *, so_far: Signed | None = None) -> Signed:
    """Return the admission of an applicant whose fingerprint was compared, with this root's signature.

    `so_far` is the admission as other council roots have signed it. What this root has signed is durable in its home
    before it is handed out, and given again when asked for again: the relay then answers with the entry that stands.

    Raises:
        NotAllowed: this root does not sit in the council.
        BadStatement: `so_far` admits another root than the applicant's.
        BadSignature: a signature of `so_far` does not hold, or is by nobody of the council.
    """
    directory = applicant.relay.directory()
    ceremony.check_seat(directory, root.key)
    path = admission_path(home, directory.genesis_hash, applicant.claims.root.key_id)
    if so_far is None and path.exists():
        return read_admission(read_text(path))
    if so_far is None:
        admission = ceremony.make_admission(
            exchange=directory.exchange,
            party=applicant.claims.party,
            root_key_id=applicant.claims.root.key_id,
            now_ms=now_ms,
            council_key=root.key,
        )
    else:
        admission = _cosigned(so_far, root, applicant, directory)
    write_private(private_dir(path.parent) / path.name, write_admission(admission).encode())
    return admission


def check_admission(so_far: Signed, applicant: Applicant) -> int:
    """Return how many more council parties must sign an admission that is for this applicant; raises as `admit`."""
    said = decode_as(Admission, so_far.payload)
    if (said.party, said.root_key_id) != (applicant.claims.party, applicant.claims.root.key_id):
        raise BadStatement(
            f"this admits {said.party} with another root than the one that asks to join",
            hint="do not sign it; ask the council member that made it which fingerprint was compared",
        )
    return still_missing(so_far, applicant.relay.directory())


def _cosigned(so_far: Signed, root: Root, applicant: Applicant, directory: Directory) -> Signed:
    check_admission(so_far, applicant)
    if any(signature.key_id == root.key.public.key_id for signature in so_far.signatures):
        return so_far
    return ceremony.cosign_council(so_far, root.key, directory)


def _witnesses(witnesses: Witnesses) -> str:
    if not witnesses.members:
        return f"none yet; any later set needs a quorum of {witnesses.quorum} or more"
    return f"{', '.join(each.party for each in witnesses.members)}; {witnesses.quorum} must agree"

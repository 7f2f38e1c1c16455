"""Files that people carry when a party joins: invitation, node request, credentials, join request, admission.

Each is one block of armour (exchange/runtime/armour.py). Reading one checks its form; what it claims is checked by
those who act on it: nodes/root.py for a root, `concord node join` for a node, the relay for itself.

    relay init     GENESIS REQUEST      what the council is to sign
    root sign      GENESIS              with as many signatures as it has so far
    root invite    INVITATION           secret: it holds the seed of the one-time key
    root complete  INVITATION           with the signatures of the other council roots
    node init      NODE REQUEST         the keys that the root is to certify
    root sign      NODE CREDENTIALS     the root's statements for this node
    node join      JOIN REQUEST         to the relay, or by hand to the council
    root admit     ADMISSION            to the relay
"""

from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.signed import Signed
from exchange.crypto.signing import Ed25519Key
from exchange.directory.codec import decode_as, decode_join_request, encode_join_request
from exchange.directory.statements import Admission, Genesis, Invitation, JoinRequest
from exchange.errors import MalformedInput
from exchange.limits import STATEMENT_BYTES
from exchange.names import ExchangeName, PartyId, exchange_name, hash_bytes, party_id
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, from_hex, to_base64
from exchange.runtime.relay_info import RelayInfo, info_from_json, info_to_json

GENESIS_REQUEST = "GENESIS REQUEST"
GENESIS = "GENESIS"
INVITATION = "INVITATION"
NODE_REQUEST = "NODE REQUEST"
NODE_CREDENTIALS = "NODE CREDENTIALS"
JOIN_REQUEST = "JOIN REQUEST"
ADMISSION = "ADMISSION"

DAYS_MOST = 3650
"""Longest life of a node's keys that a root certifies."""

_INVITATION_FIELDS: dict[str, type] = dict.fromkeys(("invitation", "one_time_seed", "relay_info"), str)
_REQUEST_FIELDS: dict[str, type] = {
    **dict.fromkeys(("exchange", "party", "invitation_sha256", "statement_key", "envelope_key"), str),
    "days": int,
}
_CREDENTIALS_FIELDS: dict[str, type] = dict.fromkeys(("party_root", "node_cert"), str)


@dataclass(frozen=True, slots=True)
class InvitationFile:
    """All that an invited party needs in order to join. Whoever holds it can join once in the party's name."""

    invitation: Signed
    one_time_seed: bytes = field(repr=False)
    relay: RelayInfo

    @property
    def content(self) -> Invitation:
        """The invitation statement; not verified."""
        return decode_as(Invitation, self.invitation.payload)

    @property
    def one_time_key(self) -> Ed25519Key:
        """The key that proves the invitation."""
        return Ed25519Key.from_seed(self.one_time_seed)

    @property
    def sha256(self) -> bytes:
        """What a PartyRoot names the invitation by."""
        return sha256(self.invitation.payload).digest()


def write_invitation(file: InvitationFile) -> str:
    """Return the text of an invitation file; store it for its reader's eyes only."""
    record = encode_record(
        {
            "invitation": to_base64(encode_signed(file.invitation)),
            "one_time_seed": to_base64(file.one_time_seed),
            "relay_info": to_base64(info_to_json(file.relay)),
        }
    )
    return write_armour(INVITATION, record)


def read_invitation(text: str) -> InvitationFile:
    """Return what an invitation file holds; only its form is checked, and that the seed is the invitation's.

    Raises:
        MalformedInput, BadName, TooLarge: not an invitation file.
    """
    fields = decode_record(read_armour(text, {INVITATION})[1], _INVITATION_FIELDS, what="the invitation")
    file = InvitationFile(
        _signed(fields["invitation"], "the invitation"),
        from_base64(fields["one_time_seed"], what="the one-time seed"),
        info_from_json(from_base64(fields["relay_info"], what="the relay info")),
    )
    if file.one_time_key.public != file.content.one_time_key:
        raise MalformedInput("the one-time key in the file is not the invitation's")
    return file


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What a node asks of its party's root."""

    exchange: ExchangeName
    party: PartyId
    invitation_sha256: bytes
    statement_key: PublicKey
    envelope_key: PublicKey
    days: int
    """How long the root is to certify the keys for."""


def write_node_request(request: NodeRequest) -> str:
    """Return the text of a node request file."""
    record = encode_record(
        {
            "exchange": request.exchange,
            "party": request.party,
            "invitation_sha256": request.invitation_sha256.hex(),
            "statement_key": to_base64(request.statement_key.raw),
            "envelope_key": to_base64(request.envelope_key.raw),
            "days": request.days,
        }
    )
    return write_armour(NODE_REQUEST, record)


def node_request_from(data: bytes) -> NodeRequest:
    """Return the node request inside its armour; the keys in it are admitted.

    Raises:
        MalformedInput, BadName, TooLarge: not a node request.
    """
    fields = decode_record(data, _REQUEST_FIELDS, what="the node request")
    statement = from_base64(fields["statement_key"], what="the statement key")
    envelope = from_base64(fields["envelope_key"], what="the envelope key")
    if not 1 <= fields["days"] <= DAYS_MOST:
        raise MalformedInput(f"a node's keys are certified for 1 to {DAYS_MOST} days, not {fields['days']}")
    return NodeRequest(
        exchange_name(fields["exchange"]),
        party_id(fields["party"]),
        hash_bytes(from_hex(fields["invitation_sha256"], what="the invitation's hash"), "the invitation's hash"),
        admit_public_key(KeyAlgorithm.COMPOSITE_65, statement),
        admit_public_key(KeyAlgorithm.ED25519, envelope),
        fields["days"],
    )


@dataclass(frozen=True, slots=True)
class NodeCredentials:
    """What a root signed for a node; `node join` adds the one-time key's signature and the transport CA."""

    party_root: Signed
    node_cert: Signed


def write_node_credentials(credentials: NodeCredentials) -> str:
    """Return the text of a node credentials file."""
    record = encode_record(
        {
            "party_root": to_base64(encode_signed(credentials.party_root)),
            "node_cert": to_base64(encode_signed(credentials.node_cert)),
        }
    )
    return write_armour(NODE_CREDENTIALS, record)


def read_node_credentials(text: str) -> NodeCredentials:
    """Return what a node credentials file holds; raises MalformedInput or TooLarge for anything else."""
    data = read_armour(text, {NODE_CREDENTIALS})[1]
    fields = decode_record(data, _CREDENTIALS_FIELDS, what="the node credentials")
    return NodeCredentials(
        _signed(fields["party_root"], "the party root"), _signed(fields["node_cert"], "the node certificate")
    )


def write_join_request(request: JoinRequest) -> str:
    """Return the text of a join request file."""
    return write_armour(JOIN_REQUEST, encode_join_request(request))


def read_join_request(text: str) -> JoinRequest:
    """Return what a join request file holds; raises MalformedInput or TooLarge for anything else."""
    return decode_join_request(read_armour(text, {JOIN_REQUEST})[1])


def write_admission(admission: Signed) -> str:
    """Return the text of an admission file."""
    return write_armour(ADMISSION, encode_signed(admission))


def read_admission(text: str) -> Signed:
    """Return what an admission file holds, not verified; raises MalformedInput, BadName or TooLarge otherwise."""
    data = read_armour(text, {ADMISSION})[1]
    signed = decode_signed(data, limit=STATEMENT_BYTES, what="the admission")
    decode_as(Admission, signed.payload)
    return signed


def write_genesis_request(payload: bytes) -> str:
    """Return the text of a genesis that nobody has signed yet (ceremony.draft_genesis)."""
    return write_armour(GENESIS_REQUEST, payload)


def write_genesis(signed: Signed) -> str:
    """Return the text of a genesis with the signatures that it has so far."""
    return write_armour(GENESIS, encode_signed(signed))


def read_genesis(text: str) -> Signed:
    """Return what a genesis file holds, not verified; raises MalformedInput, BadName or TooLarge otherwise."""
    signed = decode_signed(read_armour(text, {GENESIS})[1], limit=STATEMENT_BYTES, what="the genesis")
    decode_as(Genesis, signed.payload)
    return signed


def _signed(text: str, what: str) -> Signed:
    return decode_signed(from_base64(text, what=what), limit=STATEMENT_BYTES, what=what)

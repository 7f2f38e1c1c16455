"""Make a node's home from an invitation, and ask the relay to let the node in.

`node init` reads the public part of the invitation: who invites whom into which exchange, and the genesis that anchors
everything. It makes the keys and the request that the party's root signs elsewhere. `node join` reads the invitation
again for its one-time key, which is never stored in the home, and hands the relay one request that proves itself.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from exchange.directory.ceremony import (
    FIRST_PLACE,
    make_join_request,
    make_transport_key,
    place_after,
    prove_invitation,
)
from exchange.directory.codec import decode_as
from exchange.directory.statements import JoinRequest, NodeCert
from exchange.errors import BadStatement, Conflict, NotFound
from exchange.names import PartyId
from exchange.runtime.lifecycle import check_socket_path
from exchange.runtime.relay_info import RelayInfo, check_address, read_relay_info, write_relay_info
from exchange.runtime.secrets import private_dir, write_private
from nodes import config, keystore
from nodes.ceremony import (
    InvitationFile,
    NodeCredentials,
    NodeRequest,
    read_join_request,
    write_join_request,
    write_node_request,
)
from nodes.hsm import Place
from nodes.keystore import NodeKeys

CERTIFIED_DAYS = 365
"""How long a new node asks its root to certify its keys for."""

REQUEST_FILE = "node.request"
JOIN_FILE = "node.join"
RELAY_INFO = Path("exchange") / "relay.info"


@dataclass(frozen=True, slots=True)
class NewNode:
    """What `init` needs to know."""

    home: Path
    invitation: InvitationFile
    sensor_address: str
    memory_kib: int
    device: Place | None = None
    """Where its signing keys are made; None: in its keystore."""


def init(new: NewNode, passphrase: bytes, *, now_ms: int) -> Path:
    """Make the home and return the path of the request for the party's root.

    node.keys is written last: a home without it is unfinished, and init may be run again.

    Raises:
        Conflict: the home holds a node already.
        BadStatement: the invitation's genesis is not the one that its hash names, or not enough of its council signed.
    """
    home, relay = new.home, new.invitation.relay
    if (home / keystore.FILE).exists():
        raise Conflict(f"{home} holds a node already", hint="choose another --home")
    _check_complete(new.invitation)
    if new.sensor_address:
        check_address(new.sensor_address)
    # The one of nodes/node_client.py, which would load gRPC here.
    check_socket_path(home / "run" / "node.sock")
    private_dir(home)
    private_dir(home / "exchange")
    keys = keystore.create_keys(now_ms=now_ms, place=new.device)
    write_private(home / RELAY_INFO, write_relay_info(relay).encode())
    invited = new.invitation.content.party
    text = settings_text(relay, invited, sensor_address=new.sensor_address, memory_kib=new.memory_kib)
    write_private(home / config.FILE, text.encode())
    request = NodeRequest(
        relay.exchange,
        invited,
        new.invitation.sha256,
        keys.statement.public,
        keys.envelope.public,
        CERTIFIED_DAYS,
    )
    write_private(home / REQUEST_FILE, write_node_request(request).encode())
    keystore.save_keys(home, keys, passphrase, memory_kib=new.memory_kib)
    return home / REQUEST_FILE


def request_to_join(
    home: Path, invitation: InvitationFile, credentials: NodeCredentials, keys: NodeKeys, *, now_ms: int
) -> JoinRequest:
    """Return the request to join, and keep a copy in the home so that it can be carried by hand.

    A request that was made before is returned again: the relay takes one request for an invitation.

    Raises:
        BadStatement: the credentials are not for this node's keys, or the invitation is another party's.
        Conflict: a request was made before with other credentials: a second one under one invitation is an alarm.
    """
    settings = config.load(home)
    cert = decode_as(NodeCert, credentials.node_cert.payload)
    party = PartyId(settings.party)
    if invitation.content.party != party or invitation.relay.exchange != settings.exchange:
        raise BadStatement(f"the invitation is not for {party} in {settings.exchange}", hint="use the one of node init")
    if (cert.statement_key, cert.envelope_key) != (keys.statement.public, keys.envelope.public):
        raise BadStatement("the root certified other keys", hint=f"let it sign {home / REQUEST_FILE}")
    asked = home / JOIN_FILE
    if asked.exists():
        before = read_join_request(asked.read_text(encoding="utf-8"))
        if before.node_cert != credentials.node_cert:
            raise Conflict(
                "this node has asked to join with other credentials",
                hint=f"use the credentials file of that time; to begin again under a new invitation, remove {asked}",
            )
        return before
    root_place = place_after(credentials.party_root, FIRST_PLACE)
    request = make_join_request(
        invitation=invitation.invitation,
        party_root=prove_invitation(credentials.party_root, invitation.one_time_key),
        node_cert=credentials.node_cert,
        transport_key=make_transport_key(
            exchange=invitation.relay.exchange,
            party=party,
            place=place_after(credentials.node_cert, root_place),
            ca_certificate=keys.transport_ca,
            now_ms=now_ms,
            statement_key=keys.statement,
        ),
    )
    write_private(asked, write_join_request(request).encode())
    return request


def relay_info(home: Path) -> RelayInfo:
    """Return what this node knows of its relay; raise NotFound when the home is not a node's."""
    path = home / RELAY_INFO
    if not path.exists():
        raise NotFound(f"{home} is not the home of a node", hint="concord node init --home ... --invitation ...")
    return read_relay_info(path.read_text(encoding="utf-8"))


def _check_complete(invitation: InvitationFile) -> None:
    """Count signatures; whether they hold, the relay judges, which knows roots that changed since the genesis."""
    signed, must = len(invitation.invitation.signatures), invitation.relay.directory().genesis.threshold
    if signed < must:
        raise BadStatement(
            f"the invitation carries {signed} of the {must} signatures that the council needs",
            hint="ask for the complete one: concord root complete, where it was made",
        )


def settings_text(relay: RelayInfo, party: PartyId, *, sensor_address: str, memory_kib: int) -> str:
    """Return the node.toml of a new node."""
    lines = [
        "# Settings of this node; docs/operations/configuration.md lists them all.",
        f'party = "{party}"',
        f'exchange = "{relay.exchange}"',
        f'genesis_hash = "{relay.genesis_hash.hex()}"',
        f'relay_address = "{relay.address}"',
        f'sensor_address = "{sensor_address}"',
        f"keystore_memory_kib = {memory_kib}",
    ]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text

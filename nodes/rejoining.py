"""A member's node is lost with all that was in it: make another one, and let it back in by the party's root alone.

1. begin: a new home with keys of its own, and a request for the party's root; no invitation is needed, for the party is
   a member. The stream is new, too: what the lost node has numbered nobody knows
2. the party's root signs the request, on its own machine
3. finish: certificate and transport CA go to the relay's join port, where they prove themselves; repeating it is safe
What the lost node held is lost. Partners send again what it had not receipted, once it tells them (nodes/anew.py).
"""

from dataclasses import dataclass, replace
from pathlib import Path

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.directory.ceremony import ANY_PLACE, make_transport_key
from exchange.directory.codec import decode_as, encode, name_of
from exchange.directory.issue import draft_node_cert
from exchange.directory.statements import NodeCert
from exchange.errors import BadStatement, Conflict
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.runtime.lifecycle import check_socket_path
from exchange.runtime.relay_info import RelayInfo, write_relay_info
from exchange.runtime.secrets import private_dir, read_private, write_private
from nodes import config, keystore
from nodes.hsm import Place
from nodes.joining import CERTIFIED_DAYS, RELAY_INFO, REQUEST_FILE, settings_text
from nodes.keystore import NodeKeys, next_stream
from nodes.statement_file import write_request

DAY_MS = 24 * 60 * 60 * 1000
ENTRY_FILE = "node.transport"
"""The signed statement that enters the transport CA; the same one each time."""


@dataclass(frozen=True, slots=True)
class Successor:
    """What `begin` needs to know."""

    home: Path
    relay: RelayInfo
    party: PartyId
    sensor_address: str
    memory_kib: int
    device: Place | None = None


def begin(new: Successor, passphrase: bytes, *, now_ms: int) -> Path:
    """Make the home and return the path of the request for the party's root.

    Raises:
        Conflict: the home holds a node already.
        BadStatement: the relay's genesis does not hold.
    """
    home, relay = new.home, new.relay
    if (home / keystore.FILE).exists():
        raise Conflict(f"{home} holds a node already", hint="choose another --home")
    relay.directory()
    check_socket_path(home / "run" / "node.sock")
    private_dir(home)
    private_dir(home / "exchange")
    keys = replace(keystore.create_keys(now_ms=now_ms, place=new.device), stream=next_stream(1, now_ms))
    write_private(home / RELAY_INFO, write_relay_info(relay).encode())
    text = settings_text(relay, new.party, sensor_address=new.sensor_address, memory_kib=new.memory_kib)
    write_private(home / config.FILE, text.encode())
    cert = draft_node_cert(
        exchange=relay.exchange,
        party=new.party,
        statement_key=keys.statement.public,
        envelope_key=keys.envelope.public,
        now_ms=now_ms,
        not_after_ms=now_ms + CERTIFIED_DAYS * DAY_MS,
    )
    write_private(home / REQUEST_FILE, write_request(name_of(cert), encode(cert)).encode())
    keystore.save_keys(home, keys, passphrase, memory_kib=new.memory_kib)
    return home / REQUEST_FILE


def transport_of(home: Path, signed: Signed, keys: NodeKeys, *, now_ms: int) -> Signed:
    """Return the statement that enters this node's transport CA; it is kept, so that a repeat hands over the same.

    Raises:
        BadStatement: the root certified other keys, or another party's.
    """
    settings, cert = config.load(home), decode_as(NodeCert, signed.payload)
    if (cert.statement_key, cert.envelope_key) != (keys.statement.public, keys.envelope.public):
        raise BadStatement("the root certified other keys", hint=f"let it sign {home / REQUEST_FILE}")
    if cert.common.issuer != settings.party:
        raise BadStatement(f"the certificate is for {cert.common.issuer}")
    path = home / ENTRY_FILE
    if not path.exists():
        made = make_transport_key(
            exchange=cert.common.exchange,
            party=PartyId(settings.party),
            place=ANY_PLACE,
            ca_certificate=keys.transport_ca,
            now_ms=now_ms,
            statement_key=keys.statement,
        )
        write_private(path, encode_signed(made))
    return decode_signed(read_private(path), limit=STATEMENT_BYTES, what="an own transport key")

"""What commands make: homes of roots, relays, nodes and operators; a command that was killed is given once more."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from exchange.crypto import x509
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.errors import ConfigurationError, Conflict
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.relay import cli
from exchange.relay.home import RelayHome, RelaySecrets
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.secrets import private_dir, write_private
from nodes import joining, rejoining
from nodes.ceremony import InvitationFile, read_node_credentials, write_join_request, write_node_credentials
from nodes.keystore import load_keys
from nodes.operator_home import init_operator, open_operator
from nodes.operators import Profile
from nodes.recovery import add_offline
from nodes.rejoining import Successor
from nodes.roles import Role
from nodes.root import NodeTask, admit, certify, judge_request, read_task
from nodes.root_home import Root, init_root, open_root, public_root, write_file
from nodes.session import Session, current_session, forget_session, keep_session
from nodes.statement_file import read_statement
from tests.support.crash_room import Room, Story
from tests.support.directory_builders import EXCHANGE, an_invitation, party_keys, seed, transport_ca
from tests.support.operators import DAY_MS, key_of
from tests.support.processes import LEAST_MEMORY_KIB, PASSPHRASE

XA, XV = party_id("XA"), party_id("XV")
LEAST_MIB = LEAST_MEMORY_KIB // 1024


async def commands_make_homes(room: Room) -> None:
    """A root, a relay with its next keys, an operator, a session: what was told is there, what was not is made anew."""
    root, relay, own = room.root / "root", RelayHome(room.root / "new-relay"), room.root / "own"
    word = room.root / "passphrase"
    write_private(word, PASSPHRASE)
    with suppress(Conflict):
        init_root(root, XA, PASSPHRASE, memory_mib=LEAST_MIB)
    assert open_root(root, PASSPHRASE).key.public == public_root(root).root
    with suppress(ConfigurationError):
        cli.init(
            exchange=EXCHANGE,
            council=[root / "root.pub"],
            threshold=1,
            witness_quorum=0,
            address="127.0.0.1:0",
            join_address="127.0.0.1:0",
            home=relay.root,
            passphrase_file=word,
            passphrase_fd=None,
            memory_mib=LEAST_MIB,
        )
    assert relay.config.exists() and relay.genesis_request.exists()
    assert RelaySecrets.load(relay.keys, PASSPHRASE).sets
    if not (room.root / "next").exists():
        cli.rotate(
            out=room.root / "next", home=relay.root, passphrase_file=word, passphrase_fd=None, memory_mib=LEAST_MIB
        )
    assert len(RelaySecrets.load(relay.keys, PASSPHRASE).sets) >= 2
    with suppress(Conflict):
        init_operator(own, PASSPHRASE, memory_mib=LEAST_MIB)
    assert open_operator(own, PASSPHRASE).public.raw
    with suppress(Conflict):
        write_file(room.root / "handed.txt", "a text", secret=False)
    assert (room.root / "handed.txt").read_text() == "a text"
    keep_session(own, room.root, Session(EXCHANGE, "XA", "ada", "token", 1))
    assert current_session(own, room.root) is not None
    forget_session(own, room.root)
    assert current_session(own, room.root) is None


async def a_party_joins_by_files(room: Room) -> None:
    """An invited party makes its node and asks to join, a council's root admits it, and another node follows it."""
    info = a_relay_info(room)
    home, council = room.root / "new", Root(XA, party_keys("XA").root)
    file = await room.once("invitation", lambda: made(encode_signed(an_invitation("XV", council.key, now_ms=now_ms()))))
    invitation = InvitationFile(decode_signed(file, limit=1 << 20, what="an invitation"), seed("XV/one-time", 32), info)
    with suppress(Conflict):
        joining.init(joining.NewNode(home, invitation, "", LEAST_MEMORY_KIB), PASSPHRASE, now_ms=now_ms())
    keys = load_keys(home, PASSPHRASE)
    task = read_task((home / joining.REQUEST_FILE).read_text())
    assert isinstance(task, NodeTask)
    certified = write_node_credentials(certify(task.request, Root(XV, party_keys("XV").root), now_ms()))
    credentials = read_node_credentials((await room.once("credentials", lambda: made(certified.encode()))).decode())
    asked = joining.request_to_join(home, invitation, credentials, keys, now_ms=now_ms())
    assert joining.request_to_join(home, invitation, credentials, keys, now_ms=now_ms()) == asked
    root = private_dir(room.root / "council")
    applicant = judge_request(write_join_request(asked), root, info)
    admission = admit(council, root, applicant, now_ms())
    assert admit(council, root, applicant, now_ms()) == admission
    profile = Profile("rex", key_of("rex").public, frozenset({Role.ADMINISTRATOR}), Tlp.AMBER, now_ms() + DAY_MS)
    with suppress(Conflict):
        add_offline(home, PASSPHRASE, profile)
    another_node_follows(room, info)


def another_node_follows(room: Room, info: RelayInfo) -> None:
    home = room.root / "newer"
    with suppress(Conflict):
        rejoining.begin(Successor(home, info, XV, "", LEAST_MEMORY_KIB), PASSPHRASE, now_ms=now_ms())
    request = (home / joining.REQUEST_FILE).read_text()
    cert = read_statement(read_task(request).sign(Root(XV, party_keys("XV").root), now_ms()))
    keys = load_keys(home, PASSPHRASE)
    transport = rejoining.transport_of(home, cert, keys, now_ms=now_ms())
    assert rejoining.transport_of(home, cert, keys, now_ms=now_ms()) == transport


def a_relay_info(room: Room) -> RelayInfo:
    directory = room.exchange.directory
    join_ca = x509.pem_of(transport_ca("relay/join")[0]).decode()
    return RelayInfo(
        exchange=EXCHANGE,
        address="127.0.0.1:1",
        join_address="127.0.0.1:2",
        join_ca_pem=join_ca,
        genesis_hash=directory.genesis_hash,
        genesis=room.exchange.entries[0],
    )


async def made(data: bytes) -> bytes:
    return data


STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    "homes": (
        commands_make_homes,
        (
            "exchange.relay.cli:init",
            "exchange.relay.cli:init#2",
            "exchange.relay.cli:rotate",
            "exchange.relay.home:RelaySecrets.save",
            "nodes.operator_home:init_operator",
            "nodes.operator_home:init_operator#2",
            "nodes.root_home:init_root",
            "nodes.root_home:init_root#2",
            "nodes.root_home:write_file",
            "nodes.session:forget_session",
            "nodes.session:keep_session",
        ),
    ),
    "joining": (
        a_party_joins_by_files,
        (
            "nodes.joining:init",
            "nodes.joining:init#2",
            "nodes.joining:init#3",
            "nodes.joining:request_to_join",
            "nodes.recovery:add_offline",
            "nodes.rejoining:begin",
            "nodes.rejoining:begin#2",
            "nodes.rejoining:begin#3",
            "nodes.rejoining:transport_of",
            "nodes.root:admit",
            "nodes.root_home:remember_relay",
        ),
    ),
}

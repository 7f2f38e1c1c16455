"""Let the relay of a node world make keys, and the council name them, as commands do it over socket and directory."""

import grpc.aio

from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.statements import RelayKeys
from exchange.relay.home import RelaySecrets
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import local_options
from exchange.v1 import relay_admin_service_pb2 as pb
from exchange.v1.relay_admin_service_pb2_grpc import RelayAdminServiceStub
from tests.support.directory_builders import EXCHANGE, relay_keys
from tests.support.node_world import NodeWorld
from tests.support.relay_world import key_set, secrets

PASSPHRASE = b"the relay's"
CHEAP_KIB = 64 * 1024


async def hold(world: NodeWorld, *names: str) -> None:
    """Let the relay hold these keys besides its first ones, by way of its keystore, as `concord relay rotate` does."""
    home, first = world.relay.home, secrets()
    held = RelaySecrets((*first.sets, *map(key_set, names)), first.join)
    held.save(home.keys, PASSPHRASE, memory_kib=CHEAP_KIB)
    async with grpc.aio.insecure_channel(f"unix:{home.admin_socket}", options=local_options()) as channel:
        await RelayAdminServiceStub(channel).ReloadKeys(pb.ReloadKeysRequest(passphrase=PASSPHRASE), timeout=60)


async def name_keys(world: NodeWorld, keys: RelayKeys, *, stolen_since_ms: int = 0) -> int:
    """Let the council name keys of the relay; return the size of the directory from which on they hold."""
    await world.relay.mirror()
    directory = world.relay.exchange.directory
    drafted = issue.draft_relay_keys(
        exchange=EXCHANGE,
        place=directory.next_seq_prev("council"),
        keys=keys,
        stolen_since_ms=stolen_since_ms,
        now_ms=now_ms(),
    )
    await world.publish(sign_statement(drafted, world.relay.exchange.council_key))
    await world.relay.mirror()
    return directory.relay_key_history[-1].index + 1


async def rotate(world: NodeWorld, name: str, *, stolen_since_ms: int = 0) -> int:
    """Let the relay go on with the keys of this name; as above."""
    await hold(world, name)
    return await name_keys(world, relay_keys(name), stolen_since_ms=stolen_since_ms)

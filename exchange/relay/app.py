"""Build the relay and run it: the one place that makes its objects.

Start: lock the home, bring the store to this version, replay the directory, compare both logs with the checkpoints
that were handed out, hear what other processes on the same database tell, listen. A store that has lost entries ends
the relay (continuity.py). Stop: take nothing new, finish frames, end streams, sign the last checkpoint, close.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import grpc.aio

from exchange.crypto import x509
from exchange.crypto.keys import PublicKey
from exchange.directory.seats import seat_entries
from exchange.errors import ConfigurationError
from exchange.limits import JOIN_BYTES, KIB
from exchange.names import ExchangeName, PartyId, exchange_name
from exchange.relay.accept import Recorder
from exchange.relay.agreements import Agreements
from exchange.relay.blob_retention import BlobRetention
from exchange.relay.blobs import Blobs
from exchange.relay.cache import SealedCache
from exchange.relay.checkpoints import Checkpoints
from exchange.relay.communities import Communities
from exchange.relay.config import RelaySettings
from exchange.relay.continuity import HINT, Continuity
from exchange.relay.counters import Counters
from exchange.relay.deliver import Deliveries
from exchange.relay.directory import LiveDirectory
from exchange.relay.enrol import Enrolment
from exchange.relay.gauges import measure
from exchange.relay.home import RelayHome, RelaySecrets
from exchange.relay.intake import Intake
from exchange.relay.keys import Keystore, RelayKeyring
from exchange.relay.limits import Limits
from exchange.relay.logs import LogReader
from exchange.relay.mailbox import Bells
from exchange.relay.peers import Peers
from exchange.relay.quota import Calls, Counted, DayQuota, Rate
from exchange.relay.retention import Retention
from exchange.relay.rounds import ROUND_S, Rounds
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.services.admin import RelayAdminService
from exchange.relay.services.blobs import BlobService
from exchange.relay.services.join import JoinService
from exchange.relay.services.relay import RelayService, UseCases
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.tls import Leaf, PartnerAuthorities, identify_by, newcomers_identity, partners_identity
from exchange.relay.together import Together
from exchange.relay.turns import Turns
from exchange.relay.witnesses import Witnessing
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.grpc_options import local_options, server_options
from exchange.runtime.health import LOOK_S, Health
from exchange.runtime.interceptors import ErrorInterceptor
from exchange.runtime.lifecycle import (
    Drain,
    HomeLock,
    bind_port,
    bind_socket,
    every,
    spare_what_stays,
    started,
    supervised,
)
from exchange.runtime.logs import get_logger
from exchange.runtime.metrics import Metrics
from exchange.runtime.migrate import upgrade
from exchange.runtime.relay_info import RelayInfo, write_relay_info
from exchange.runtime.secrets import private_dir, write_private
from exchange.runtime.tls import server_credentials
from exchange.runtime.tracing import Tracing, tracing_of
from exchange.runtime.wake import Wake
from exchange.v1 import join_service_pb2, relay_service_pb2
from exchange.v1.blob_service_pb2_grpc import add_BlobServiceServicer_to_server
from exchange.v1.join_service_pb2_grpc import add_JoinServiceServicer_to_server
from exchange.v1.relay_admin_service_pb2_grpc import add_RelayAdminServiceServicer_to_server
from exchange.v1.relay_service_pb2_grpc import add_RelayServiceServicer_to_server

MIGRATIONS = "exchange.relay.store.migrations"
SWEEP_S = 2.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running relay listens."""

    address: str
    join_address: str
    info: RelayInfo


@dataclass(frozen=True, slots=True)
class _Given:
    """What the relay is built from."""

    home: RelayHome
    settings: RelaySettings
    secrets: RelaySecrets
    clock: Callable[[], int]
    tracing: Tracing


@dataclass(frozen=True, slots=True)
class _Relay:
    """Everything that runs, built for one store."""

    exchange: ExchangeName
    database: Database
    health: Health
    directory: LiveDirectory
    keys: RelayKeyring
    checkpoints: Checkpoints
    witnessing: Witnessing
    intake: Intake
    deliveries: Deliveries
    enrolment: Enrolment
    communities: Communities
    agreements: Agreements
    retention: Retention
    blobs: Blobs
    blob_retention: BlobRetention
    continuity: Continuity
    bells: Bells
    together: Together
    limits: Limits
    counters: Counters


async def serve(home: RelayHome, settings: RelaySettings, secrets: RelaySecrets, drain: Drain) -> None:
    """Run the relay until the drain; while its database is away it waits for it."""
    async with AsyncExitStack() as stack:
        listening = await started(stack, lambda: running(home, settings, secrets, drain), drain)
        if listening is None:
            return
        spare_what_stays()
        get_logger(__name__).info(
            "relay listening",
            exchange=listening.info.exchange,
            address=listening.address,
            join_address=listening.join_address,
            genesis=listening.info.genesis_hash.hex(),
        )
        await drain.wait()
    get_logger(__name__).info("relay stopped")


@asynccontextmanager
async def running(
    home: RelayHome,
    settings: RelaySettings,
    secrets: RelaySecrets,
    drain: Drain,
    *,
    clock: Callable[[], int] = now_ms,
    tracing: Tracing | None = None,
) -> AsyncIterator[Listening]:
    """Run a relay while the block runs; ports 0 take free ones. `tracing` as configured if not given.

    Raises:
        ConfigurationError: home, genesis, keys, store or ports cannot be used.
    """
    genesis = home.read_genesis()
    url = home.database_url(settings)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(HomeLock(home.root))
        upgrade(url, MIGRATIONS)
        metrics = stack.enter_context(Metrics())
        database = stack.enter_context(Database(url))
        tracing = stack.enter_context(tracing or tracing_of(settings.tracing, "concord-relay"))
        given = _Given(home, settings, secrets, clock, tracing)
        relay = _build(given, database, Wake(url), Counters(metrics))
        await relay.directory.load(genesis)
        _check_founded(relay, given)
        relay.limits.apply(relay.directory.now.directory.limits)
        await relay.checkpoints.load()
        await relay.witnessing.load()
        stack.push_async_callback(relay.checkpoints.refresh, Log.TRAFFIC)
        stack.push_async_callback(relay.intake.close)
        listening = await _listen(stack, relay, given, lock, drain)
        info = _Info(relay, home, listening.info)
        await info.write()
        measure(metrics, database, relay.health, relay.directory, relay.deliveries, home=home.root, clock=clock)
        metrics.serve(settings.metrics_port)
        await _keep_working(stack, relay, info, drain)
        stack.callback(relay.deliveries.end_all)
        stack.callback(drain.begin)
        yield listening
        if relay.continuity.broken:
            raise ConfigurationError(relay.continuity.broken, hint=HINT)


def _build(given: _Given, database: Database, wake: Wake, counters: Counters) -> _Relay:
    home, settings, secrets, clock = given.home, given.settings, given.secrets, given.clock
    exchange, continuity = exchange_name(settings.exchange), Continuity()
    sequencer, bells, cache = Sequencer(continuity.check_size), Bells(), SealedCache(settings.cache_bytes)
    limits, quotas = settings.limits, Limits.of(settings.limits)
    refusals, statements = DayQuota(Counted.REFUSALS, limits.refusals_per_day), quotas.statements
    together = Together(wake)
    directory = LiveDirectory(database, sequencer, clock, tell=together.tell_directory)
    keys = RelayKeyring(secrets, directory, clock)
    checkpoints = Checkpoints(database, exchange, keys, continuity=continuity, folder=private_dir(home.handed_out))
    tell = None if together.alone else together.tell_stream
    deliveries = Deliveries(
        database, SqlMailboxes, bells, cache, window_most=limits.window_bytes, tell=tell, tracing=given.tracing
    )
    return _Relay(
        exchange=exchange,
        database=database,
        health=Health(database),
        directory=directory,
        keys=keys,
        checkpoints=checkpoints,
        witnessing=Witnessing(database, directory, checkpoints, clock, round_s=settings.witness_round_s),
        intake=Intake(
            database,
            directory,
            Recorder(exchange, keys.promise_at, sequencer, quotas.held, refusals),
            bells,
            cache,
            rates=quotas.rates,
            counters=counters,
            clock=clock,
            tell=together.tell_mail,
            arrived=deliveries.arrived if together.alone else None,
            continuity=continuity,
            tracing=given.tracing,
        ),
        deliveries=deliveries,
        enrolment=Enrolment(
            database, directory, private_dir(home.requests), clock, statements, check_held=keys.check_held
        ),
        agreements=Agreements(database, directory, keys.promise_at, clock, statements),
        communities=Communities(directory, keys.promise_at, clock, statements),
        retention=Retention(database, sequencer, clock, counters.deleted, directory=lambda: directory.now.directory),
        blobs=Blobs(database, SqlBlobs, clock, most_bytes=limits.attachment_bytes, most_open=limits.attachments_open),
        blob_retention=BlobRetention(
            database,
            SqlBlobs,
            clock,
            directory=lambda: directory.now.directory,
            orphans_ms=int(limits.orphans_s * 1000),
        ),
        continuity=continuity,
        together=together,
        bells=bells,
        limits=quotas,
        counters=counters,
    )


def _check_founded(relay: _Relay, given: _Given) -> None:
    settings = given.settings
    directory = relay.directory.now.directory
    if directory.exchange != settings.exchange:
        raise ConfigurationError(
            f"the genesis founds {directory.exchange}, the configuration says {settings.exchange}",
            hint="put the genesis of this exchange into genesis.signed, or correct relay.toml",
        )
    relay.keys.check()


async def _listen(stack: AsyncExitStack, relay: _Relay, given: _Given, lock: HomeLock, drain: Drain) -> Listening:
    """Start the three servers."""
    settings, clock = given.settings, given.clock
    authorities = PartnerAuthorities(relay.directory)
    partners = _partners_server(relay, given, authorities, drain)
    newcomers = _server(relay, "newcomers", _newcomers_options(settings.limits.connections))
    add_JoinServiceServicer_to_server(
        JoinService(relay.enrolment, relay.checkpoints, Rate(settings.limits.joins_per_minute)), newcomers
    )
    operator = _server(relay, "operator", local_options(), detailed=True)
    admin = RelayAdminService(
        relay.database,
        relay.directory,
        relay.witnessing,
        relay.deliveries,
        retention=relay.retention,
        draining=drain,
        keystore=Keystore(given.home, relay.keys),
        limits=relay.limits,
        counters=relay.counters,
        started_ms=clock(),
    )
    add_RelayAdminServiceServicer_to_server(admin, operator)
    leaf = Leaf(relay.keys.transport, relay.exchange, clock)
    port = bind_port(
        partners, settings.address, server_credentials(partners_identity(leaf, authorities), require_client=True)
    )
    join_leaf = Leaf(lambda: given.secrets.join, relay.exchange, clock)
    join_port = bind_port(
        newcomers, settings.join_address, server_credentials(newcomers_identity(join_leaf), require_client=False)
    )
    bind_socket(operator, given.home.admin_socket, lock)
    for server, service in (
        (partners, relay_service_pb2.DESCRIPTOR.services_by_name["RelayService"].full_name),
        (newcomers, join_service_pb2.DESCRIPTOR.services_by_name["JoinService"].full_name),
        (operator, ""),
    ):
        end = await relay.health.at(server, service)
        await server.start()
        stack.push_async_callback(server.stop, settings.drain_s)
        stack.push_async_callback(end)
    return _listening(relay, given, port, join_port)


def _partners_server(relay: _Relay, given: _Given, authorities: PartnerAuthorities, drain: Drain) -> grpc.aio.Server:
    limits = given.settings.limits
    peers = Peers(
        identify_by(relay.exchange, authorities, given.clock),
        relay.directory,
        Calls(limits.streams_per_party),
        Rate(limits.calls_per_minute),
    )
    use = UseCases(
        relay.intake,
        relay.deliveries,
        relay.enrolment,
        relay.communities,
        relay.agreements,
        relay.directory,
        relay.checkpoints,
        LogReader(relay.database),
        relay.witnessing,
    )
    server = _server(relay, "partners", server_options(connections=limits.connections))
    memory = Turns(given.settings.intake_bytes)
    add_RelayServiceServicer_to_server(RelayService(peers, use, drain, relay.counters, memory), server)
    add_BlobServiceServicer_to_server(BlobService(peers, relay.blobs, drain), server)
    return server


def _newcomers_options(connections: int) -> list[tuple[str, int | str]]:
    """Strangers may send a request to join and nothing larger."""
    most = ("grpc.max_receive_message_length", JOIN_BYTES + KIB)
    return [option for option in server_options(connections=connections) if option[0] != most[0]] + [most]


def _listening(relay: _Relay, given: _Given, port: int, join_port: int) -> Listening:
    settings, directory = given.settings, relay.directory.now.directory
    address = _with_port(settings.address, port)
    join_address = _with_port(settings.join_address, join_port)
    info = RelayInfo(
        exchange=directory.exchange,
        address=settings.public_address or address,
        join_address=settings.public_join_address or join_address,
        join_ca_pem=x509.pem_of(given.secrets.join.certificate).decode(),
        genesis_hash=directory.genesis_hash,
        genesis=given.home.read_genesis(),
    )
    return Listening(address, join_address, info)


def _server(
    relay: _Relay, door: str, options: list[tuple[str, int | str]], *, detailed: bool = False
) -> grpc.aio.Server:
    def count(reason: str) -> None:
        relay.counters.refused_calls.labels(door, reason).inc()

    return grpc.aio.server(interceptors=[ErrorInterceptor(detailed=detailed, count=count)], options=options)


class _Info:
    """Keeps relay.info as the directory is: who has no log learns from it who sits in the council, and our keys."""

    def __init__(self, relay: _Relay, home: RelayHome, info: RelayInfo) -> None:
        self._relay, self._home, self._info = relay, home, info
        self._written: tuple[Mapping[bytes, tuple[PartyId, PublicKey]], int] | None = None

    async def write(self) -> None:
        """Write the file, if council or keys are others than at the last time."""
        directory = self._relay.directory.now.directory
        named_at = directory.relay_key_history[-1].index
        shown = (directory.council_roots(), named_at)
        if shown == self._written:
            return
        entries = await self._relay.directory.entries()
        seats, keys = seat_entries(entries, directory), entries[named_at] if named_at else b""
        info = replace(self._info, seats=seats, relay_keys=keys)
        write_private(self._home.info, write_relay_info(info).encode())
        self._written = shown


async def _keep_working(stack: AsyncExitStack, relay: _Relay, info: _Info, drain: Drain) -> None:
    rounds = Rounds(
        relay.directory,
        relay.checkpoints,
        relay.witnessing,
        relay.enrolment,
        relay.limits,
        relay.continuity,
        relay.counters,
        info.write,
        drain,
    )
    hearing = asyncio.create_task(
        supervised(partial(relay.together.hear, relay.bells, relay.deliveries, rounds.follow))
    )
    tasks = [
        asyncio.create_task(every(ROUND_S, rounds.once, drain)),
        asyncio.create_task(every(LOOK_S, relay.health.look, drain)),
        asyncio.create_task(every(SWEEP_S, relay.retention.sweep, drain)),
        asyncio.create_task(every(SWEEP_S, relay.blob_retention.sweep, drain)),
    ]

    async def finish() -> None:
        hearing.cancel()
        await asyncio.gather(*tasks)
        await asyncio.gather(hearing, return_exceptions=True)

    stack.push_async_callback(finish)


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"

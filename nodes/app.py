"""Build the node and run it: the one place that makes its objects.

Start: lock the home, bring the store to this version, replay the directory, finish what a crash interrupted, listen,
then speak with the relay. A node that is not admitted yet, or whose relay is away, keeps trying. Stop: take nothing
new, let what is under way reach the store, close. Whatever is killed in between goes on from the store.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc.aio

from exchange.crypto.signed import VerifiedRoots
from exchange.errors import ConfigurationError
from exchange.limits import KIB, LABEL_BYTES, REPORT_BYTES
from exchange.names import exchange_name, party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.grpc_options import local_options, server_options
from exchange.runtime.interceptors import ErrorInterceptor
from exchange.runtime.lifecycle import Drain, HomeLock, bind_port, bind_socket, every, run
from exchange.runtime.logs import configure_logging, get_logger
from exchange.runtime.metrics import Metrics
from exchange.runtime.migrate import upgrade
from exchange.runtime.relay_info import RelayInfo, read_relay_info
from exchange.runtime.tls import server_credentials
from nodes.agreement_service import AgreementMethods
from nodes.agreements import Agreements
from nodes.alarms import Alarms
from nodes.anew import Anew
from nodes.announcing import Announcing
from nodes.approval_service import ApprovalMethods
from nodes.approving import Approving
from nodes.asking import Asking
from nodes.auditor import Auditor
from nodes.clearing import Clearing
from nodes.communities import Communities
from nodes.community_service import CommunityMethods
from nodes.config import NodeConfig, load
from nodes.consent_service import ConsentMethods
from nodes.consenting import Consenting
from nodes.convening import Convening
from nodes.core import Core
from nodes.desk import Authoring, load_defaults
from nodes.expelling import Expelling
from nodes.expulsion_service import ExpulsionMethods
from nodes.freshness import Freshness
from nodes.gate import Gate
from nodes.guarding import Guarding
from nodes.history import CommunityHistory
from nodes.holding_service import HoldingMethods
from nodes.key_service import KeyMethods
from nodes.keybox import Keybox
from nodes.keyring import Keyring, KeysInUse
from nodes.keystore import NodeKeys, load_keys
from nodes.link import Link
from nodes.log_proof_service import LogProofMethods
from nodes.narrowing import Narrowing
from nodes.node_client import SOCKET
from nodes.node_service import NodeService, StatusMethods
from nodes.notices import Notices
from nodes.numbers import Numbers
from nodes.obligations import Obligations
from nodes.operator_service import OperatorMethods
from nodes.operators import Operators
from nodes.outbox import Outbox
from nodes.partner_service import PartnerMethods
from nodes.prekeys import Prekeys
from nodes.publishing import Publishing
from nodes.reader_policies import ReaderPolicies
from nodes.receipts import Receipts
from nodes.receiver import Receiver
from nodes.relay_client import RelayClient
from nodes.reminders import Reminders
from nodes.report_service import ReportMethods
from nodes.rotating import Rotation, read_stored
from nodes.sender import Sender
from nodes.sensor_service import SensorMethods, SensorService, sensor_identity
from nodes.sensors import Scope, Sensors
from nodes.shelf import Shelf
from nodes.signer import Signer
from nodes.simulation import Simulation
from nodes.spool import Spool
from nodes.statement_service import StatementMethods
from nodes.suspects import Suspects
from nodes.sync import Sync
from nodes.trust import Trust
from nodes.v1.node_service_pb2_grpc import add_NodeServiceServicer_to_server, add_SensorServiceServicer_to_server
from nodes.watch import Watch, watch_logs
from nodes.witness_service import WitnessMethods

MIGRATIONS = "nodes.store.migrations"
RELAY_INFO = Path("exchange") / "relay.info"
THREADS = 2
SENSOR_CONNECTIONS = 256
SENSOR_CALLS = 64
SENSOR_BYTES = REPORT_BYTES + LABEL_BYTES + 16 * KIB
"""One push: a report, its label, and what frames them."""
RESTART_S = 5.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Groups:
    """What has to do with communities."""

    communities: Communities
    convening: Convening
    announcing: Announcing
    history: CommunityHistory


@dataclass(frozen=True, slots=True)
class Node:
    """Everything that runs."""

    home: Path
    config: NodeConfig
    core: Core
    relay: RelayClient
    agreements: Agreements
    groups: Groups
    sync: Sync
    outbox: Outbox
    sender: Sender
    receiver: Receiver
    publishing: Publishing
    notices: Notices
    shelf: Shelf
    asking: Asking
    consenting: Consenting
    sensors: Sensors
    operators: Operators
    reader_policies: ReaderPolicies
    approving: Approving
    authoring: Authoring
    receipts: Receipts
    numbers: Numbers
    obligations: Obligations
    narrowing: Narrowing
    prekeys: Prekeys
    rotation: Rotation
    anew: Anew
    expelling: Expelling
    reminders: Reminders
    suspects: Suspects
    auditor: Auditor
    watch: Watch
    started_ms: int


@asynccontextmanager
async def running(
    home: Path, config: NodeConfig, keys: NodeKeys, drain: Drain, *, clock: Callable[[], int] = now_ms
) -> AsyncIterator[Node]:
    """Run a node, without its doors for people and sensors, while the block runs.

    Raises:
        ConfigurationError: home, keys or store cannot be used, or belong to another exchange.
    """
    info = read_info(home, config)
    url = config.database_url(home)
    upgrade(url, MIGRATIONS)
    async with AsyncExitStack() as stack:
        database = stack.enter_context(Database(url))
        keybox = Keybox(home, keys.master)
        keybox.open()
        stack.callback(keybox.close)
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="crypto"))
        core = await _core(config, keys, _Opened(database, keybox, executor), info, clock)
        node = _build(home, config, core)
        stack.push_async_callback(node.relay.close)
        await _load(node)
        await _start(stack, node, drain)
        yield node


def read_info(home: Path, config: NodeConfig) -> RelayInfo:
    """Return what this node was told of its exchange; ConfigurationError when it contradicts the configuration."""
    path = home / RELAY_INFO
    try:
        info = read_relay_info(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read", hint="concord node init writes it") from error
    if info.exchange != config.exchange:
        raise ConfigurationError(f"{path} is of {info.exchange}, node.toml of {config.exchange}")
    if config.genesis_hash and config.genesis_hash != info.genesis_hash.hex():
        raise ConfigurationError(f"{path} has another genesis than node.toml says", hint="compare it with the council")
    return info


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is open before anything else can be built."""

    database: Database
    keybox: Keybox
    executor: ThreadPoolExecutor


async def _core(config: NodeConfig, keys: NodeKeys, opened: _Opened, info: RelayInfo, clock: Callable[[], int]) -> Core:
    database, keybox, executor = opened.database, opened.keybox, opened.executor
    exchange = exchange_name(config.exchange)
    alarms = Alarms(database, clock)
    trust = Trust(database, alarms, executor=executor, clock=clock)
    await trust.load(info.genesis, info.genesis_hash)
    keyring = Keyring(keys, party_id(config.party))
    signing, authorities = read_stored(keybox.node_keys(), keys.device.open() if keys.device else None)
    keyring.add(signing=signing, authorities=authorities)
    in_use = KeysInUse(keyring, lambda: trust.now.directory, clock)
    return Core(
        me=party_id(config.party),
        exchange=exchange,
        keyring=keyring,
        in_use=in_use,
        database=database,
        keybox=keybox,
        trust=trust,
        signer=Signer(lambda: in_use().statement, exchange=exchange, executor=executor),
        alarms=alarms,
        link=Link(clock),
        executor=executor,
        seen=VerifiedRoots(),
        clock=clock,
        timing=config.timing,
    )


def _build(home: Path, config: NodeConfig, core: Core) -> Node:
    relay = _relay(config, core)
    watch = watch_logs(core, relay)
    agreements = Agreements(core.database, core.trust, core.alarms, me=core.me, clock=core.clock)
    narrowing, announce = Narrowing(core), asyncio.Event()
    sender = _sender(core, relay, watch.freshness, on_denied=narrowing.hurry, on_answer=announce.set)
    groups = _groups(core, relay, wake=sender.wake, announce=announce)
    receipts, policies = Receipts(core, wake=sender.wake), _reader_policies(config, core, wake=sender.wake)
    publishing = Publishing(core, relay, agreements, wake=sender.wake)
    shelf = Shelf(core, Clearing(core.keys.master, config.readers.terms()))
    obligations = Obligations(core, on_receipts=receipts.hurry)
    consenting = Consenting(core, wake=sender.wake)
    outbox = Outbox(core, wake=sender.wake, on_change=consenting.hurry)
    on_change = partial(_each, sender.wake, groups.history.rounds.hurry, policies.rounds.hurry)
    sensors, prekeys, operators = Sensors(core.database), Prekeys(core, relay), _operators(config, core)
    return Node(
        home=home,
        config=config,
        core=core,
        relay=relay,
        agreements=agreements,
        groups=groups,
        sync=Sync(core, relay, agreements, watch, on_change=on_change),
        outbox=outbox,
        sender=sender,
        receiver=Receiver(
            core,
            relay,
            agreements,
            groups.communities,
            on_urgent=receipts.hurry,
            on_purge=obligations.hurry,
            on_agreement=publishing.rounds.hurry,
            on_consent=consenting.hurry,
            on_waiting=sender.wake,
        ),
        publishing=publishing,
        notices=Notices(core, relay, agreements, wake=sender.wake),
        shelf=shelf,
        asking=Asking(core, shelf, wake=sender.wake),
        consenting=consenting,
        sensors=sensors,
        operators=operators,
        reader_policies=policies,
        approving=Approving(core, operators, wake=sender.wake, stale_since=watch.freshness.stale_since),
        authoring=_authoring(core, outbox, shelf, sensors, config, home),
        receipts=receipts,
        numbers=Numbers.of(core, wake=sender.wake),
        obligations=obligations,
        narrowing=narrowing,
        prekeys=prekeys,
        anew=Anew(core, prekeys, wake=sender.wake),
        expelling=Expelling(core, groups.convening, wake=sender.wake),
        rotation=Rotation(core, relay, read_info(home, config)),
        reminders=Reminders(core),
        suspects=Suspects(core),
        auditor=Auditor(core, relay, watch.forks),
        watch=watch,
        started_ms=core.clock(),
    )


def _sender(
    core: Core,
    relay: RelayClient,
    freshness: Freshness,
    *,
    on_denied: Callable[[], None],
    on_answer: Callable[[], None],
) -> Sender:
    sender = Sender(core, relay, on_denied=on_denied, on_answer=on_answer, stale_since=freshness.stale_since)
    freshness.on_fresh = sender.wake
    return sender


def _relay(config: NodeConfig, core: Core) -> RelayClient:
    return RelayClient(
        config.relay_address,
        server_name=config.relay_name,
        relay_ca=core.trust.now.directory.relay_keys.transport_ca,
        exchange=core.exchange,
        party=core.me,
        keys=core.in_use,
        clock=core.clock,
    )


def _authoring(  # noqa: PLR0917 - what it is built of, in one place
    core: Core, outbox: Outbox, shelf: Shelf, sensors: Sensors, config: NodeConfig, home: Path
) -> Authoring:
    return Authoring(
        core,
        outbox,
        shelf,
        sensors,
        defaults=load_defaults(config.label_defaults, home),
        rules=config.release,
        scales=config.readers.scales,
    )


def _operators(config: NodeConfig, core: Core) -> Operators:
    return Operators(
        core.database,
        exchange=core.exchange,
        party=core.me,
        terms=config.readers.terms(),
        max_age_days=config.readers.max_age_days,
        clock=core.clock,
    )


def _reader_policies(config: NodeConfig, core: Core, *, wake: Callable[[], None]) -> ReaderPolicies:
    return ReaderPolicies(core, config.readers.terms(), max_age_days=config.readers.max_age_days, wake=wake)


def _groups(core: Core, relay: RelayClient, *, wake: Callable[[], None], announce: asyncio.Event) -> Groups:
    history = CommunityHistory(core, wake=wake)
    communities = Communities(core, on_change=partial(_each, wake, history.rounds.hurry))
    return Groups(
        communities=communities,
        convening=Convening(core, communities, on_change=partial(_each, wake, announce.set)),
        announcing=Announcing(core, relay, communities, hurry=announce),
        history=history,
    )


def _each(*calls: Callable[[], None]) -> None:
    for call in calls:
        call()


async def _load(node: Node) -> None:
    await node.operators.load()
    await node.shelf.load()
    await node.obligations.recover()
    await node.sync.load()
    await node.watch.freshness.load()
    await node.agreements.load()
    await node.groups.communities.load()
    await node.sender.load()
    await node.receiver.load()


async def _start(stack: AsyncExitStack, node: Node, drain: Drain) -> None:
    timing = node.core.timing
    lasting: list[Callable[[], Awaitable[None]]] = [
        node.sync.run,
        node.receiver.run,
        node.sender.run_sealing,
        node.sender.run_submitting,
        node.receipts.run,
        node.rotation.run,
        node.prekeys.run,
        node.obligations.run,
        partial(node.narrowing.run, wake=node.sender.wake),
        node.publishing.rounds.run,
        node.notices.rounds.run,
        node.groups.announcing.run,
        node.groups.history.rounds.run,
        node.reader_policies.rounds.run,
        node.consenting.run,
        node.watch.witness.run,
    ]
    tasks = [asyncio.create_task(supervised(fn)) for fn in lasting]
    tasks += [
        asyncio.create_task(every(timing.streams_s, node.numbers.streams.tell, drain)),
        asyncio.create_task(every(timing.streams_s, node.numbers.streams.check, drain)),
        asyncio.create_task(every(timing.streams_s, node.numbers.resending.ask, drain)),
        asyncio.create_task(every(timing.streams_s, node.numbers.resending.answer, drain)),
        asyncio.create_task(every(timing.obligations_s, node.numbers.resending.look_after, drain)),
        asyncio.create_task(every(timing.obligations_s, node.numbers.losses.look, drain)),
        asyncio.create_task(every(timing.obligations_s, node.numbers.silence.look, drain)),
        asyncio.create_task(every(timing.obligations_s, node.reminders.look, drain)),
        asyncio.create_task(every(timing.obligations_s, node.anew.tell, drain)),
        asyncio.create_task(every(timing.obligations_s, node.expelling.look_after, drain)),
        asyncio.create_task(every(timing.obligations_s, node.suspects.look, drain)),
        asyncio.create_task(every(timing.audit_s, node.auditor.look_after, drain)),
        asyncio.create_task(every(timing.obligations_s, node.watch.freshness.look, drain)),
        asyncio.create_task(every(timing.obligations_s, node.watch.heads.compare, drain)),
    ]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)


async def supervised(fn: Callable[[], Awaitable[None]]) -> None:
    """Run `fn` until it returns; what it should never raise is logged, and it is started again."""
    while True:
        try:
            await fn()
        except Exception:  # noqa: BLE001 - a bug in one part must not stop the others in silence
            _log.exception("part.failed", part=getattr(fn, "__qualname__", repr(fn)))
            await asyncio.sleep(RESTART_S)
        else:
            return


def serve(home: Path, passphrase: bytes) -> None:
    """Run the node in `home` with all its doors until it is told to stop. Only in the main thread.

    Raises:
        ConfigurationError: home, configuration, keystore, store or an address cannot be used.
    """
    config = load(home)
    configure_logging(json=config.log_json, level=config.log_level)
    keys = load_keys(home, passphrase)

    async def main(drain: Drain) -> None:
        with HomeLock(home) as lock:
            async with running(home, config, keys, drain) as node, open_doors(node, lock, drain):
                _log.info("node.serves", party=config.party, exchange=config.exchange, relay=config.relay_address)
                await drain.wait()

    run(main)


@asynccontextmanager
async def open_doors(node: Node, lock: HomeLock, drain: Drain) -> AsyncIterator[None]:
    """Let people in over the Unix socket, sensors over TLS, and files through the spool, while the block runs."""
    config, core = node.config, node.core
    async with AsyncExitStack() as stack:
        metrics = stack.enter_context(Metrics())
        service = NodeService(
            ReportMethods(core, node.authoring, node.outbox, node.shelf, node.reader_policies),
            PartnerMethods(core, node.reader_policies),
            _status_of(node),
            SensorMethods(core, node.sensors, node.authoring, address=config.sensor_address),
            node.auditor,
            agreements=AgreementMethods(
                core, node.agreements, node.publishing, node.notices, Simulation(core, node.agreements), node.shelf
            ),
            communities=CommunityMethods(core, node.groups.convening),
            consent=ConsentMethods(
                core, Guarding(core, node.asking, node.consenting, config.release), node.consenting, node.shelf
            ),
            keys=KeyMethods(core, node.relay),
            expulsions=ExpulsionMethods(node.expelling, node.shelf),
            holding=HoldingMethods(core, node.shelf, node.suspects, hurry=node.obligations.hurry),
            operators=OperatorMethods(node.operators),
            statements=StatementMethods(core, node.relay, node.rotation),
            approvals=ApprovalMethods(core, node.approving, node.shelf),
            witnesses=WitnessMethods(core, node.watch.proving),
            proofs=LogProofMethods(node.watch.proving, node.shelf),
        )
        people = grpc.aio.server(
            interceptors=[ErrorInterceptor(detailed=True), Gate(node.operators)], options=local_options()
        )
        add_NodeServiceServicer_to_server(service, people)
        bind_socket(people, node.home / SOCKET, lock)
        await people.start()
        stack.push_async_callback(people.stop, config.timing.drain_s)
        if config.sensor_address:
            await _open_for_sensors(stack, node)
        if config.spool:
            spool = Spool(node.home / "spool", node.sensors, partial(push_from_spool, node.authoring))
            await asyncio.to_thread(spool.prepare)
            watch = asyncio.create_task(supervised(partial(_watch, spool, drain)))
            stack.callback(watch.cancel)
        _measure(metrics, node)
        metrics.serve(config.metrics_port or None)
        yield


def _status_of(node: Node) -> StatusMethods:
    return StatusMethods(
        node.core,
        node.prekeys,
        node.relay,
        node.operators,
        node.reminders,
        freshness=node.watch.freshness,
        home=node.home,
        started_ms=node.started_ms,
    )


def _measure(metrics: Metrics, node: Node) -> None:
    core = node.core
    measured: dict[str, tuple[str, Callable[[], float]]] = {
        "node_relay_connected": ("1 while the relay is heard.", lambda: float(core.link.state == "connected")),
        "node_relay_contact_ms": ("When the relay was last heard.", lambda: float(core.link.contact_ms)),
        "node_directory_size": ("Directory entries verified.", lambda: float(core.trust.now.size)),
        "node_directory_quorum_ms": (
            "As of when a quorum of witnesses vouches for the directory; 0 while the exchange is unwitnessed.",
            lambda: float(node.watch.freshness.now.quorum_ms),
        ),
        "node_directory_stale": (
            "1 while the directory is too old to send reports under.",
            lambda: float(node.watch.freshness.stale_since() > 0),
        ),
        "node_directory_broken": ("1 while no newer entry is believed.", lambda: float(bool(core.trust.broken))),
        "node_prekey_days": ("Days for which prekeys are published.", lambda: float(node.prekeys.days_ahead())),
        "node_key_days": ("Days that the certificate of this node's keys still has.", partial(_days, node, own=True)),
        "node_partner_key_days": ("Days of the partner whose certificate ends first.", partial(_days, node, own=False)),
        "node_unanswered": ("Sealed envelopes without an answer.", lambda: float(node.sender.unanswered)),
        "node_writes_waiting": ("Writes that wait for the store.", lambda: float(core.database.waiting)),
    }
    for name, (what, measure) in measured.items():
        metrics.gauge(name, what).set_function(measure)
    node.numbers.measure(metrics)


def _days(node: Node, *, own: bool) -> float:
    return node.reminders.days_left(own=own)


async def _open_for_sensors(stack: AsyncExitStack, node: Node) -> None:
    config = node.config
    # Strangers reach this port: what they may send is no more than a report, and only so many may speak at once.
    options = [*server_options(connections=SENSOR_CONNECTIONS), ("grpc.max_receive_message_length", SENSOR_BYTES)]
    sensors = grpc.aio.server(interceptors=[ErrorInterceptor()], options=options, maximum_concurrent_rpcs=SENSOR_CALLS)
    add_SensorServiceServicer_to_server(SensorService(node.sensors, node.authoring), sensors)
    fetch = partial(sensor_identity, node.core, config.sensor_address)
    bind_port(sensors, config.sensor_address, server_credentials(fetch, require_client=False))
    await sensors.start()
    stack.push_async_callback(sensors.stop, config.timing.drain_s)


async def _watch(spool: Spool, drain: Drain) -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(spool.watch(stop))
    await drain.wait()
    stop.set()
    await waiting


async def push_from_spool(authoring: Authoring, scope: Scope, content: bytes, label: bytes) -> str:
    """Push what the spool holds and return its item."""
    return (await authoring.push_from(scope, content, label)).item.hex()

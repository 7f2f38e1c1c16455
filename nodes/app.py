"""Build the node and run it: the one place that makes its objects.

Start: lock the home, bring the store to this version, replay the directory, finish what a crash interrupted, listen,
then speak with the relay. A node that is not admitted yet, or whose relay is away, keeps trying. Stop: take nothing
new, let what is under way reach the store, close. Whatever is killed in between goes on from the store.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from exchange.crypto.signed import VerifiedRoots
from exchange.errors import ConfigurationError
from exchange.names import exchange_name, party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.lifecycle import Drain, HomeLock, every, run, spare_what_stays, started, supervised
from exchange.runtime.logs import configure_logging, get_logger
from exchange.runtime.migrate import upgrade
from exchange.runtime.relay_info import RelayInfo, read_relay_info
from exchange.runtime.tracing import Tracing, tracing_of
from nodes.agreements import Agreements
from nodes.alarms import Alarms
from nodes.anew import Anew
from nodes.announcing import Announcing
from nodes.approving import Approving
from nodes.asking import Asking
from nodes.auditor import Auditor
from nodes.clearing import Clearing
from nodes.communities import Communities
from nodes.compared import Comparisons
from nodes.config import NodeConfig, load
from nodes.consenting import Consenting
from nodes.convening import Convening
from nodes.core import Core
from nodes.desk import Authoring, load_defaults
from nodes.door_service import open_doors
from nodes.expelling import Expelling
from nodes.history import CommunityHistory
from nodes.keybox import Keybox
from nodes.keyring import Keyring, KeysInUse
from nodes.keystore import NodeKeys, load_keys
from nodes.link import Link
from nodes.narrowing import Narrowing
from nodes.notices import Notices
from nodes.numbers import Numbers
from nodes.obligations import Obligations
from nodes.operators import Operators
from nodes.outbox import Outbox
from nodes.parts import Groups, Node
from nodes.prekeys import Prekeys
from nodes.publishing import Publishing
from nodes.reader_policies import ReaderPolicies
from nodes.receipts import Receipts
from nodes.receiver import Receiver
from nodes.relay_authorities import RelayAuthorities
from nodes.relay_client import RelayClient
from nodes.reminders import Reminders
from nodes.report_files import ReportFiles
from nodes.rotating import Rotation, read_stored
from nodes.sender import Sender
from nodes.sensors import Sensors
from nodes.set_back import LOOK_S, SetBack, WatchedClock
from nodes.shelf import Shelf
from nodes.signer import Signer
from nodes.suspects import Suspects
from nodes.sync import Sync
from nodes.titles import Titles
from nodes.trust import Trust
from nodes.watch import Watch, watch_logs
from nodes.wrapping import Wrapping

MIGRATIONS = "nodes.store.migrations"
RELAY_INFO = Path("exchange") / "relay.info"
THREADS = 2

_log = get_logger(__name__)


@asynccontextmanager
async def running(
    home: Path,
    config: NodeConfig,
    keys: NodeKeys,
    drain: Drain,
    *,
    clock: Callable[[], int] = now_ms,
    tracing: Tracing | None = None,
) -> AsyncIterator[Node]:
    """Run a node, without its doors for people and sensors, while the block runs; `tracing` as configured if not given.

    Raises:
        ConfigurationError: home, keys or store cannot be used, or belong to another exchange.
    """
    info = read_info(home, config)
    url = config.database_url(home)
    upgrade(url, MIGRATIONS)
    async with AsyncExitStack() as stack:
        tracing = stack.enter_context(tracing or tracing_of(config.tracing, "concord-node"))
        database = stack.enter_context(Database(url, alone=True))
        keybox = Keybox(home, keys.master)
        keybox.open()
        stack.callback(keybox.close)
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="crypto"))
        watched = WatchedClock(clock)
        core = replace(await _core(config, keys, _Opened(database, keybox, executor), info, watched), tracing=tracing)
        wrapping = stack.enter_context(Wrapping())
        node = _build(home, config, core, wrapping, watched)
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
    comparisons = Comparisons(config.release.verified_from_tlp(), lambda: trust.now.directory)
    await comparisons.load(database)
    return Core(
        me=party_id(config.party),
        exchange=exchange,
        keyring=keyring,
        in_use=in_use,
        database=database,
        keybox=keybox,
        trust=trust,
        comparisons=comparisons,
        signer=Signer(lambda: in_use().statement, exchange=exchange, executor=executor),
        alarms=alarms,
        link=Link(clock),
        executor=executor,
        seen=VerifiedRoots(),
        clock=clock,
        timing=config.timing,
    )


def _build(home: Path, config: NodeConfig, core: Core, wrapping: Wrapping, clock: WatchedClock) -> Node:
    relay = _relay(home, config, core)
    watch = watch_logs(core, relay)
    titles = Titles(core)
    agreements = Agreements(core.database, core.trust, core.alarms, me=core.me, clock=core.clock, on_text=titles.forget)
    narrowing, announce = Narrowing(core), asyncio.Event()
    sender = _sender(core, relay, watch, wrapping, on_denied=narrowing.hurry, on_answer=announce.set)
    files = ReportFiles.of(core, relay.blobs, home, least_free_mib=config.disk_least_mib, wake=sender.wake)
    sender.on_files = files.uploading.hurry
    groups = _groups(core, relay, wake=sender.wake, announce=announce)
    receipts, policies = Receipts(core, wake=sender.wake), _reader_policies(config, core, wake=sender.wake)
    publishing = Publishing(core, relay, agreements, wake=sender.wake)
    shelf = Shelf(core, Clearing(core.keys.master, config.readers.terms()))
    obligations = Obligations(core, on_receipts=partial(_each, receipts.wait, files.changed))
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
        titles=titles,
        groups=groups,
        sync=Sync(core, relay, agreements, watch, on_change=on_change),
        outbox=outbox,
        sender=sender,
        receiver=_receiver(
            core, relay, agreements, groups, receipts, obligations, publishing, consenting, sender, files, watch
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
        files=files,
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
        set_back=SetBack(core, clock, on_set_back=partial(_each, sender.wake, files.changed)),
        started_ms=core.clock(),
    )


def _receiver(  # noqa: PLR0917 - whom it tells, in one place
    core: Core,
    relay: RelayClient,
    agreements: Agreements,
    groups: Groups,
    receipts: Receipts,
    obligations: Obligations,
    publishing: Publishing,
    consenting: Consenting,
    sender: Sender,
    files: ReportFiles,
    watch: Watch,
) -> Receiver:
    return Receiver(
        core,
        relay,
        agreements,
        groups.communities,
        on_urgent=receipts.hurry,
        on_receipts=receipts.wait,
        on_purge=obligations.hurry,
        on_agreement=publishing.rounds.hurry,
        on_consent=consenting.hurry,
        on_waiting=sender.wake,
        on_files=files.changed,
        on_ended=watch.forks.ended,
    )


def _sender(
    core: Core,
    relay: RelayClient,
    watch: Watch,
    wrapping: Wrapping,
    *,
    on_denied: Callable[[], None],
    on_answer: Callable[[], None],
) -> Sender:
    sender = Sender(
        core,
        relay,
        on_denied=on_denied,
        on_answer=on_answer,
        stale_since=watch.freshness.stale_since,
        on_ended=watch.forks.ended,
        wrap_all=wrapping.wrap_all,
    )
    watch.freshness.on_fresh = sender.wake
    return sender


def _relay(home: Path, config: NodeConfig, core: Core) -> RelayClient:
    return RelayClient(
        config.relay_address,
        server_name=config.relay_name,
        relay_cas=RelayAuthorities(core.trust, read_info(home, config), core.clock),
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
    await node.set_back.load()
    await node.operators.load()
    await node.shelf.load()
    await node.obligations.recover()
    await node.sync.load()
    await node.watch.freshness.load()
    await node.agreements.load()
    await node.groups.communities.load()
    await node.sender.load()
    await node.receiver.load()
    await node.files.attaching.load()


async def _start(stack: AsyncExitStack, node: Node, drain: Drain) -> None:
    timing = node.core.timing
    lasting: list[Callable[[], Awaitable[None]]] = [
        node.sync.run,
        node.receiver.run,
        node.sender.run_sealing,
        node.sender.run_submitting,
        node.receipts.run_urgent,
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
        *node.files.lasting,
    ]
    tasks = [asyncio.create_task(supervised(fn)) for fn in lasting]
    tasks += [
        asyncio.create_task(every(LOOK_S, node.set_back.look, drain)),
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
        asyncio.create_task(every(timing.obligations_s, node.watch.covered.look, drain)),
        asyncio.create_task(every(timing.obligations_s, node.watch.heads.compare, drain)),
    ]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)


@asynccontextmanager
async def _open(home: Path, config: NodeConfig, keys: NodeKeys, lock: HomeLock, drain: Drain) -> AsyncIterator[Node]:
    async with running(home, config, keys, drain) as node, open_doors(node, lock, drain):
        yield node


def serve(home: Path, passphrase: bytes) -> None:
    """Run the node in `home` with all its doors until it is told to stop. Only in the main thread.

    While its database is away, or its clock is before its own certificates, it waits.

    Raises:
        ConfigurationError: home, configuration, keystore, store or an address cannot be used.
    """
    config = load(home)
    configure_logging(json=config.log_json, level=config.log_level)
    keys = load_keys(home, passphrase)

    async def main(drain: Drain) -> None:
        async with AsyncExitStack() as stack:
            lock = stack.enter_context(HomeLock(home))
            if await started(stack, lambda: _open(home, config, keys, lock, drain), drain) is not None:
                spare_what_stays()
                _log.info("node.serves", party=config.party, exchange=config.exchange, relay=config.relay_address)
                await drain.wait()

    run(main)

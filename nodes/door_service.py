"""A node's doors: people over the Unix socket, sensors over TLS, files through the spool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc.aio
from prometheus_client import Counter

from exchange.limits import KIB, LABEL_BYTES, REPORT_BYTES
from exchange.runtime.grpc_options import local_options, server_options
from exchange.runtime.health import LOOK_S, Health
from exchange.runtime.interceptors import ErrorInterceptor
from exchange.runtime.lifecycle import Drain, HomeLock, bind_port, bind_socket, every, supervised
from exchange.runtime.metrics import Metrics
from exchange.runtime.tls import server_credentials
from nodes.agreement_service import AgreementMethods
from nodes.approval_service import ApprovalMethods
from nodes.attachment_service import AttachmentMethods
from nodes.community_service import CommunityMethods
from nodes.config import NodeConfig
from nodes.consent_service import ConsentMethods
from nodes.desk import Authoring
from nodes.expulsion_service import ExpulsionMethods
from nodes.gate import Gate
from nodes.gauges import measure
from nodes.guarding import Guarding
from nodes.holding_service import HoldingMethods
from nodes.key_service import KeyMethods
from nodes.log_proof_service import LogProofMethods
from nodes.node_client import SOCKET
from nodes.node_service import NodeService, StatusMethods
from nodes.operator_service import OperatorMethods
from nodes.partner_service import PartnerMethods
from nodes.parts import Node
from nodes.relay_terms_service import RelayTermsMethods
from nodes.report_service import ReportMethods
from nodes.sensor_files import SensorFiles
from nodes.sensor_service import SensorLeaf, SensorMethods, SensorService, late_sensors
from nodes.sensors import Scope
from nodes.simulation import Simulation
from nodes.spool import Spool
from nodes.statement_service import StatementMethods
from nodes.v1 import node_service_pb2
from nodes.v1.node_service_pb2_grpc import add_NodeServiceServicer_to_server, add_SensorServiceServicer_to_server
from nodes.witness_service import WitnessMethods

SENSOR_CONNECTIONS = 256
SENSOR_CALLS = 64
SENSOR_BYTES = REPORT_BYTES + LABEL_BYTES + 64 * KIB
"""One push: a report, its label, the names of its files, and what frames them."""


@asynccontextmanager
async def open_doors(node: Node, lock: HomeLock, drain: Drain) -> AsyncIterator[None]:
    """Let people in over the Unix socket, sensors over TLS, and files through the spool, while the block runs."""
    config, core = node.config, node.core
    async with AsyncExitStack() as stack:
        metrics = stack.enter_context(Metrics())
        service = NodeService(
            ReportMethods(
                core,
                node.authoring,
                node.outbox,
                node.shelf,
                node.reader_policies,
                files=node.files,
                titles=node.titles,
            ),
            PartnerMethods(core, node.reader_policies, wake=node.sender.wake),
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
            holding=HoldingMethods(core, node.shelf, node.suspects, titles=node.titles, hurry=node.obligations.hurry),
            operators=OperatorMethods(node.operators),
            statements=StatementMethods(core, node.relay, node.rotation),
            attachments=AttachmentMethods(core, node.files, node.shelf),
            approvals=ApprovalMethods(core, node.approving, node.shelf),
            witnesses=WitnessMethods(core, node.watch.proving),
            relay_terms=RelayTermsMethods(core),
            proofs=LogProofMethods(node.watch.proving, node.shelf),
        )
        refused = metrics.counter("node_calls_refused", "Calls that ended with an error.", ["door", "reason"])
        people = grpc.aio.server(
            interceptors=[_errors(refused, "people", detailed=True), Gate(node.operators)], options=local_options()
        )
        add_NodeServiceServicer_to_server(service, people)
        health = Health(core.database)
        bind_socket(people, node.home / SOCKET, lock)
        await _start(stack, health, people, "NodeService", config)
        if config.sensor_address:
            await _open_for_sensors(stack, node, health, refused)
        if config.spool:
            spool = Spool(node.home / "spool", node.sensors, partial(push_from_spool, node.authoring))
            await asyncio.to_thread(spool.prepare)
            watch = asyncio.create_task(supervised(partial(_watch, spool, drain)))
            stack.callback(watch.cancel)
        looking = asyncio.create_task(every(LOOK_S, health.look, drain))
        stack.callback(looking.cancel)
        measure(metrics, node, health)
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
        late_sensors=partial(late_sensors, node.core, node.sensors),
    )


def _errors(refused: Counter, door: str, *, detailed: bool = False) -> ErrorInterceptor:
    return ErrorInterceptor(detailed=detailed, count=lambda reason: refused.labels(door, reason).inc())


async def _open_for_sensors(stack: AsyncExitStack, node: Node, health: Health, refused: Counter) -> None:
    config = node.config
    # Strangers reach this port: what they may send is no more than a report, and only so many may speak at once.
    options = [*server_options(connections=SENSOR_CONNECTIONS), ("grpc.max_receive_message_length", SENSOR_BYTES)]
    sensors = grpc.aio.server(
        interceptors=[_errors(refused, "sensors")], options=options, maximum_concurrent_rpcs=SENSOR_CALLS
    )
    files = SensorFiles(node.core, node.sensors, node.files.attaching)
    add_SensorServiceServicer_to_server(SensorService(node.core, node.sensors, node.authoring, files), sensors)
    fetch = SensorLeaf(node.core, config.sensor_address).identity
    bind_port(sensors, config.sensor_address, server_credentials(fetch, require_client=False))
    await _start(stack, health, sensors, "SensorService", config)


async def _start(
    stack: AsyncExitStack, health: Health, server: grpc.aio.Server, service: str, config: NodeConfig
) -> None:
    end = await health.at(server, node_service_pb2.DESCRIPTOR.services_by_name[service].full_name)
    await server.start()
    stack.push_async_callback(server.stop, config.timing.drain_s)
    stack.push_async_callback(end)


async def _watch(spool: Spool, drain: Drain) -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(spool.watch(stop))
    await drain.wait()
    stop.set()
    await waiting


async def push_from_spool(authoring: Authoring, scope: Scope, content: bytes, label: bytes) -> str:
    """Push what the spool holds and return its item."""
    return (await authoring.push_from(scope, content, label)).item.hex()

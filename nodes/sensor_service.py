# ruff: noqa: N802, ARG002 - names and arguments of the methods are the proto's
"""Sensors at the node's edge: SensorService over TLS with a token, and what an operator asks about sensors.

A push needs a token that is known, and a report within its scope (nodes/sensors.py). A sensor is told that its report
is durable, not who gets it; errors carry only their reason. The door shows a leaf of the CA that sensors pin, and
changes to the next CA only after they could follow for the overlap (nodes/keyring.py).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc.aio

from exchange.crypto.x509 import issue_leaf, party_uri, pem_of
from exchange.envelope.attachments import check_attachments, file_name, media_type
from exchange.envelope.model import Attachment
from exchange.errors import BadInput, ConfigurationError, MalformedInput
from exchange.names import hash_bytes
from exchange.policy.model import Category, Tlp
from exchange.runtime.tls import NEUTRAL_NAME, Identity
from nodes.bearer import bearer_token
from nodes.core import Core
from nodes.desk import Authoring
from nodes.keyring import Authority, follows_ms
from nodes.moments import moment
from nodes.sensor_files import PART_BYTES, SensorFiles
from nodes.sensors import Scope, Sensor, Sensors, permit
from nodes.v1 import attachment_pb2, sensor_ca_pb2
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.node_service_pb2_grpc import SensorServiceServicer

LEAF_HOURS = 24
RENEW_AFTER_MS = LEAF_HOURS * 60 * 60 * 1000 // 2

# Any: a context has the types of its method's messages, and no method here uses them.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class SensorService(SensorServiceServicer):
    """The sensors' door."""

    def __init__(self, core: Core, sensors: Sensors, authoring: Authoring, files: SensorFiles) -> None:
        """Call these use cases."""
        self._core = core
        self._sensors = sensors
        self._authoring = authoring
        self._files = files

    async def Push(self, request: pb.PushRequest, context: Context) -> pb.PushResponse:
        """Push one report within the sensor's scope; returns when it is durable, or says which files are missing."""
        scope = await self._sensors.admit(bearer_token(context))
        files = _files(request.attached)
        attached, missing = self._files.found(scope, files)
        report, key = request.report, request.idempotency_key
        if missing:
            before = await self._authoring.judge_from(scope, report.content, report.label_yaml, key=key, files=files)
            if before is None:
                return pb.PushResponse(missing=missing)
            return pb.PushResponse(item=before.item.hex(), repeated_push=True)
        accepted = await self._authoring.push_from(
            scope, report.content, report.label_yaml, key=key, attached=tuple(attached)
        )
        self._files.pushed(attached)
        return pb.PushResponse(item=accepted.item.hex(), repeated_push=accepted.repeated)

    async def Attach(
        self, request_iterator: AsyncIterator[attachment_pb2.AttachRequest], context: Context
    ) -> AsyncIterator[attachment_pb2.AttachResponse]:
        """Take one file in, from where a cut ended it."""
        scope = await self._sensors.admit(bearer_token(context))
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.data:
            raise BadInput("the first request says what the file is")
        (file,) = _files([first.file])
        taken = self._files.take(scope, file, _parts(requests))
        async with aclosing(taken) as answers:  # type: ignore[type-var]  # an async generator
            async for come, complete in answers:
                yield attachment_pb2.AttachResponse(come=come, complete=complete)

    async def FollowCa(
        self, request: sensor_ca_pb2.FollowCaRequest, context: Context
    ) -> sensor_ca_pb2.FollowCaResponse:
        """Tell a sensor which CAs to pin from now on, and note that it knows them."""
        scope = await self._sensors.admit(bearer_token(context))
        found = pinned(self._core)
        await self._sensors.note_ca(scope)
        return sensor_ca_pb2.FollowCaResponse(ca_certificates=found.pem, changes_ms=found.changes_ms)


def _files(named: Sequence[attachment_pb2.AttachedFile]) -> list[Attachment]:
    """Return the files that a sensor names; BadInput for too many, and for what is no file."""
    found = [
        Attachment(each.name, each.media_type, each.size, hash_bytes(each.sha256, "a file's hash")) for each in named
    ]
    check_attachments(found)
    for each in found:
        file_name(each.name)
        media_type(each.media_type)
    return found


async def _parts(requests: AsyncIterator[attachment_pb2.AttachRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.HasField("file") or not 1 <= len(request.data) <= PART_BYTES:
            raise MalformedInput(f"a file is named once, and a part of it has 1 to {PART_BYTES} bytes")
        yield request.data


class SensorLeaf:
    """Leaf and key of the sensors' port: issued anew when half of its life is over, or another CA serves.

    gRPC asks for it at every handshake, one call at a time, and must not be given another one each time
    (exchange/runtime/tls.py).
    """

    def __init__(self, core: Core, address: str) -> None:
        """Name what sensors connect to, and nothing is issued yet."""
        self._core = core
        self._host = _host(address)
        self._issued: tuple[Authority, int, Identity] | None = None

    def identity(self) -> Identity:
        """Return leaf and key, of the CA that sensors pin."""
        authority, now_ms = _at_sensors(self._core)[0], self._core.clock()
        if self._issued is not None:
            issuer, at_ms, identity = self._issued
            if issuer.certificate == authority.certificate and 0 <= now_ms - at_ms < RENEW_AFTER_MS:
                return identity
        made = self._issue(authority, now_ms)
        self._issued = authority, now_ms, made
        return made

    def _issue(self, authority: Authority, now_ms: int) -> Identity:
        host = self._host
        is_ip = host.replace(".", "").isdigit() or ":" in host
        chain, key = issue_leaf(
            authority.certificate,
            authority.key,
            uri=party_uri(self._core.exchange, self._core.me),
            dns_names=[NEUTRAL_NAME] if is_ip else [NEUTRAL_NAME, host],
            ip_addresses=[host] if is_ip else [],
            now_ms=now_ms,
            hours=LEAF_HOURS,
            client=False,
            server=True,
        )
        return chain, key, b""


def _at_sensors(core: Core) -> Sequence[Authority]:
    return core.keyring.at_sensors(core.trust.now.directory, core.clock())


@dataclass(frozen=True, slots=True)
class Pinned:
    """What sensors are to pin."""

    pem: str
    newest_ms: int
    """When the newest of these was made: a sensor that was given them since knows all."""
    changes_ms: int
    """When the door changes to the next one; 0 when there is none."""


def pinned(core: Core) -> Pinned:
    """Return what sensors are to pin from now on."""
    held = _at_sensors(core)
    pem = "".join(pem_of(each.certificate).decode() for each in held)
    return Pinned(pem, held[-1].made_ms, follows_ms(held[1]) if len(held) > 1 else 0)


async def late_sensors(core: Core, sensors: Sensors) -> list[str]:
    """Return a notice when sensors were not given the CA that their door changes to, and when it does."""
    found = pinned(core)
    if not found.changes_ms:
        return []
    late = [
        each.scope.name for each in await sensors.list() if each.status == "active" and each.ca_ms < found.newest_ms
    ]
    if not late:
        return []
    what = f"the sensors' door changes its CA on {moment(found.changes_ms)} UTC, and these do not know the next one"
    return [f"{what}: {', '.join(late)}; they ask by themselves, or: concord sensor ca"]


def _host(address: str) -> str:
    host, colon, _ = address.rpartition(":")
    if not colon or not host:
        raise ConfigurationError(f"{address!r} is no address", hint='sensor_address = "127.0.0.1:7201"')
    return host.strip("[]")


class SensorMethods:
    """Sensors, as NodeService has them."""

    def __init__(self, core: Core, sensors: Sensors, authoring: Authoring, *, address: str) -> None:
        """`authoring` knows what a label needs; `address` is where sensors push; empty when there is only the spool."""
        self._core = core
        self._sensors = sensors
        self._authoring = authoring
        self._address = address

    async def add(self, request: pb.AddSensorRequest) -> pb.AddSensorResponse:
        """Let a sensor push; its token is shown once."""
        scope = _scope(request.scope)
        if scope.default_label:
            permit(scope, self._authoring.label(scope.default_label))
        token = await self._sensors.add(scope)
        return pb.AddSensorResponse(token=token, address=self._address, ca_certificate=pinned(self._core).pem)

    def ca(self) -> sensor_ca_pb2.GetSensorCaResponse:
        """Return what sensors are to pin, for those that cannot ask."""
        found = pinned(self._core)
        return sensor_ca_pb2.GetSensorCaResponse(ca_certificates=found.pem, changes_ms=found.changes_ms)

    async def list_(self) -> pb.ListSensorsResponse:
        """List sensors, by name."""
        newest_ms = pinned(self._core).newest_ms
        return pb.ListSensorsResponse(sensors=[_sensor(each, newest_ms) for each in await self._sensors.list()])

    async def revoke(self, request: pb.RevokeSensorRequest) -> pb.RevokeSensorResponse:
        """Refuse a sensor from now on."""
        await self._sensors.revoke(request.name)
        return pb.RevokeSensorResponse()


def _scope(message: pb.SensorScope) -> Scope:
    categories = {category.word: category for category in Category}
    ceilings = {tlp.word: tlp for tlp in Tlp}
    unknown = [word for word in message.categories if word not in categories]
    if unknown or message.ceiling not in ceilings:
        raise BadInput(f"no such category or TLP: {', '.join([*unknown, message.ceiling])[:200]}")
    return Scope(
        name=message.name,
        categories=tuple(sorted({categories[word] for word in message.categories})),
        ceiling=ceilings[message.ceiling],
        per_hour=message.per_hour,
        default_label=message.default_label_yaml,
        until_ms=message.until_ms,
        recipients_most=message.recipients_most,
        attach_mib=message.attach_mib,
    )


def _sensor(sensor: Sensor, newest_ms: int) -> pb.Sensor:
    scope = sensor.scope
    return pb.Sensor(
        scope=pb.SensorScope(
            name=scope.name,
            categories=[category.word for category in scope.categories],
            ceiling=scope.ceiling.word,
            per_hour=scope.per_hour,
            default_label_yaml=scope.default_label,
            until_ms=scope.until_ms,
            recipients_most=scope.recipients_most,
            attach_mib=scope.attach_mib,
        ),
        status=sensor.status,
        pushed=sensor.pushed,
        refused=sensor.refused,
        last_ms=sensor.last_ms,
        ca_known=sensor.ca_ms >= newest_ms,
    )

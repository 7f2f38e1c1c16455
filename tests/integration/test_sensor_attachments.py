"""Files that sensors attach: from where a cut ended them, within their allowance, and for their own sensor alone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from exchange.crypto.random import random_bytes
from exchange.crypto.x509 import pem_of
from exchange.envelope.model import Attachment
from exchange.errors import Conflict, MalformedInput, NotFound, PolicyDenied, RateLimited, StorageFull, Unavailable
from exchange.limits import ATTACHMENTS, KIB, MIB
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import channel_options
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials
from nodes import attaching, sensor_files
from nodes.attaching_client import named
from nodes.client import SensorClient
from nodes.parts import Node
from nodes.sensor_files import SensorFiles
from nodes.sensors import Scope
from nodes.v1 import attachment_pb2
from nodes.v1.node_service_pb2_grpc import SensorServiceStub
from tests.support.doors import open_socket
from tests.support.node_world import a_label, a_node_world, at, here, nodes, receipted
from tests.support.reports import a_report

PHOTO = random_bytes(3 * MIB + 11)
DAY_MS = 86_400_000


def a_scope(name: str = "camera", *, attach_mib: int = 8) -> Scope:
    return Scope(name, (Category.ALERT,), Tlp.AMBER, 5, b"", now_ms() + DAY_MS, attach_mib=attach_mib)


def a_file(data: bytes = PHOTO, name: str = "photo.jpg") -> Attachment:
    return Attachment(name, "image/jpeg", len(data), sha256(data).digest())


async def parts(data: bytes, *, cut: bool = False) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), 256 * KIB):
        yield data[begin : begin + 256 * KIB]
    if cut:
        raise Unavailable("the connection is gone")


async def take(files: SensorFiles, scope: Scope, file: Attachment, data: bytes, *, cut_at: int = 0) -> list[int]:
    """Send a file, from where the node is on, to an offset or to its end; return the offsets that were answered."""
    start: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def sent() -> AsyncIterator[bytes]:
        async for part in parts(data[await start : cut_at or None], cut=bool(cut_at)):
            yield part

    answered = []
    async for come, _ in files.take(scope, file, sent()):
        if not start.done():
            start.set_result(come)
        answered.append(come)
    return answered


def lying(node: Node) -> int:
    return len(node.files.disk.names())


@dataclass(frozen=True, slots=True)
class Door:
    """A sensor's way in."""

    node: Node
    recipient: Node
    address: str
    ca: bytes
    token: str

    def client(self) -> SensorClient:
        return SensorClient(self.address, ca=self.ca, token=self.token)

    def stub(self, channel: grpc.Channel) -> tuple[SensorServiceStub, tuple[tuple[str, str], ...]]:
        return SensorServiceStub(channel), (("authorization", f"Bearer {self.token}"),)


@asynccontextmanager
async def a_door(scope: Scope) -> AsyncIterator[Door]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    async with nodes("XA", "XV") as (_, running), open_socket(running["XA"], sensor_address=address) as node:
        token = await node.sensors.add(scope)
        ca = node.core.keyring.at_sensors(node.core.trust.now.directory, now_ms())[0].certificate
        yield Door(node, running["XV"], address, pem_of(ca), token)


async def test_a_sensors_files_arrive_with_its_report_and_a_repeat_sends_nothing_again(tmp_path: Path) -> None:
    paths = [tmp_path / "photo.jpg", tmp_path / "empty.txt"]
    paths[0].write_bytes(PHOTO)
    paths[1].write_bytes(b"")
    # Room for the files once: were they sent again, they would be refused.
    async with a_door(a_scope(attach_mib=4)) as door:
        content, label = a_report(), a_label("XV")

        def twice() -> tuple[tuple[str, bool], tuple[str, bool]]:
            with door.client() as client:
                one, two = (client.push(content, label=label, files=paths) for _ in range(2))
            return (one.item, one.repeated), (two.item, two.repeated)

        (item, first), again = await asyncio.to_thread(twice)
        assert (first, again) == (False, (item, True))
        await receipted(door.node, bytes.fromhex(item), "XV")
        await here(door.recipient, bytes.fromhex(item), photo=PHOTO, empty=b"")
        (sensor,) = await door.node.sensors.list()
        assert (sensor.pushed, sensor.refused) == (1, 0)


async def test_a_file_goes_on_where_a_lost_call_ended_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO)
    async with a_door(a_scope(attach_mib=4)) as door:

        def cut() -> None:
            with grpc.secure_channel(
                door.address, channel_credentials(door.ca), options=channel_options(NEUTRAL_NAME)
            ) as channel:
                stub, metadata = door.stub(channel)
                sent = [attachment_pb2.AttachRequest(file=named(a_file()))]
                sent += [attachment_pb2.AttachRequest(data=PHOTO[at : at + MIB]) for at in (0, MIB)]
                answers = stub.Attach(iter(sent), metadata=metadata)
                assert next(answers).come == 0
                with pytest.raises(grpc.RpcError):
                    next(answers)

        await asyncio.to_thread(cut)
        (taking,) = door.node.files.attaching.under_way("sensor/camera")
        assert taking.come == 2 * MIB

        def push() -> str:
            with door.client() as client:
                return client.push(a_report(), label=a_label("XV"), files=[path]).item

        item = await asyncio.to_thread(push)
        await here(door.recipient, bytes.fromhex(item), photo=PHOTO)


async def test_after_a_restart_of_the_node_a_file_is_sent_anew_and_nothing_of_before_stays() -> None:
    """As with people's files: the key of what no push has taken is in memory, and goes with the process."""
    async with a_node_world("XA") as world:
        scope = a_scope()
        async with at(world.places["XA"]) as node:
            files = SensorFiles(node.core, node.sensors, node.files.attaching)
            with pytest.raises(Unavailable):
                await take(files, scope, a_file(), PHOTO, cut_at=2 * MIB)
            assert lying(node) == 1
        async with at(world.places["XA"]) as node:
            assert lying(node) == 0
            files = SensorFiles(node.core, node.sensors, node.files.attaching)
            assert await take(files, scope, a_file(), PHOTO) == [0, len(PHOTO)]
            found, missing = files.found(scope, [a_file()])
            assert [each.attachment for each in found] == [a_file()]
            assert missing == []


async def test_a_report_outside_the_scope_is_refused_before_any_file_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO)
    async with a_door(a_scope(attach_mib=0)) as door:

        def push(label: bytes) -> None:
            with door.client() as client:
                client.push(a_report(), label=label, files=[path])

        for label in (a_label("XV"), a_label("XV").replace(b"[alert]", b"[kidnapping]")):
            with pytest.raises(PolicyDenied):
                await asyncio.to_thread(push, label)
        assert lying(door.node) == 0 and not door.node.files.attaching.under_way("sensor/camera")
        (sensor,) = await door.node.sensors.list()
        assert (sensor.pushed, sensor.refused) == (0, 2)


async def test_what_is_over_a_sensors_allowance_is_refused_before_anything_of_it_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", agree=False) as (_, running):
        node, kept = running["XA"], running["XA"].files.attaching
        files, scope = SensorFiles(node.core, node.sensors, kept), a_scope(attach_mib=4)
        await node.sensors.add(scope)
        with pytest.raises(PolicyDenied):
            await take(files, a_scope(attach_mib=0), a_file(b""), b"")
        with pytest.raises(PolicyDenied):
            await take(files, a_scope(attach_mib=3), a_file(), PHOTO)
        kept._least_free, enough = 1 << 60, kept._least_free
        with pytest.raises(StorageFull):
            await take(files, scope, a_file(), PHOTO)
        kept._least_free = enough
        assert await take(files, scope, a_file(), PHOTO) == [0, len(PHOTO)], "what was refused is not counted"
        other = random_bytes(MIB)
        with pytest.raises(RateLimited, match="bytes more in this hour"):
            await take(files, scope, a_file(other, "other.jpg"), other)
        assert await take(files, scope, a_file(), PHOTO) == [len(PHOTO)], "what is here is not sent again"
        monkeypatch.setattr(sensor_files, "ATTACHMENTS", 1)
        with pytest.raises(RateLimited, match="wait"):
            await take(files, scope, a_file(b"x", "x.jpg"), b"x")
        monkeypatch.setattr(sensor_files, "ATTACHMENTS", ATTACHMENTS)
        monkeypatch.setattr(sensor_files, "UPLOADS_EACH", 0)
        with pytest.raises(RateLimited, match="at once"):
            await take(files, scope, a_file(b"x", "x.jpg"), b"x")
        assert lying(node) == 1 and not kept.under_way(scope.who)


async def test_a_file_that_waits_is_its_own_sensors_alone_and_no_persons() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node, kept = running["XA"], running["XA"].files.attaching
        files = SensorFiles(node.core, node.sensors, kept)
        await take(files, a_scope("one"), a_file(), PHOTO)
        (waiting,) = kept.waiting("sensor/one")
        assert files.found(a_scope("one"), [a_file()]) == ([waiting], [])
        assert files.found(a_scope("two"), [a_file()]) == ([], [0])
        with pytest.raises(NotFound):
            kept.staged([waiting.file.hex()])
        assert (await take(files, a_scope("two"), a_file(), PHOTO))[0] == 0, "nothing tells that another has it"


async def test_sensors_that_attach_leave_room_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "STAGED_MOST", 1)
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        files = SensorFiles(node.core, node.sensors, node.files.attaching)
        await take(files, a_scope("one"), a_file(b"x"), b"x")
        with pytest.raises(RateLimited):
            await take(files, a_scope("two"), a_file(b"x"), b"x")
        await node.files.attaching.take("a.txt", "text/plain", 1, parts(b"x"))


async def test_another_file_than_the_one_that_was_named_never_stays() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        files = SensorFiles(node.core, node.sensors, node.files.attaching)
        for data in (PHOTO[:-1] + bytes([PHOTO[-1] ^ 1]), PHOTO + b"x"):
            with pytest.raises(MalformedInput):
                await take(files, a_scope(), a_file(), data)
            assert lying(node) == 0 and not node.files.attaching.under_way("sensor/camera")


async def test_of_two_calls_with_one_file_one_is_refused_and_the_file_is_whole() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        files, scope = SensorFiles(node.core, node.sensors, node.files.attaching), a_scope()
        with pytest.raises(Unavailable):
            await take(files, scope, a_file(), PHOTO, cut_at=MIB)
        results = await asyncio.gather(*(take(files, scope, a_file(), PHOTO) for _ in range(2)), return_exceptions=True)
        assert [MIB, len(PHOTO)] in results and any(isinstance(each, Conflict) for each in results)
        assert files.found(scope, [a_file()])[1] == []


async def test_a_call_in_which_nothing_comes_ends_and_the_file_goes_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sensor_files, "SILENT_S", 0.01)

    async def silent() -> AsyncIterator[bytes]:
        yield PHOTO[:MIB]
        await asyncio.Event().wait()

    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        files = SensorFiles(node.core, node.sensors, node.files.attaching)
        with pytest.raises(Unavailable, match="nothing of the file comes"):
            async for _ in files.take(a_scope(), a_file(), silent()):
                pass
        await node.files.attaching.tidy()
        (taking,) = node.files.attaching.under_way("sensor/camera")
        monkeypatch.setattr(attaching, "STAGED_MS", -1)
        await node.files.attaching.tidy()
        assert not node.files.attaching.under_way("sensor/camera") and lying(node) == 0
        with pytest.raises(Conflict):
            taking.add(MIB, b"x", now_ms())


async def test_what_the_disk_has_no_room_for_now_is_sent_again_and_nothing_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        files, scope = SensorFiles(node.core, node.sensors, node.files.attaching), a_scope()
        write, full = node.files.disk.write, [False]

        def refusing(file: bytes, at: int, data: bytes) -> None:
            if full[0]:
                raise StorageFull("full")
            write(file, at, data)

        monkeypatch.setattr(node.files.disk, "write", refusing)
        with pytest.raises(Unavailable):
            await take(files, scope, a_file(), PHOTO, cut_at=MIB // 2)
        full[0] = True
        for _ in range(2):
            with pytest.raises(StorageFull):
                await take(files, scope, a_file(), PHOTO)
        full[0] = False
        come = await take(files, scope, a_file(), PHOTO)
        assert come[0] > MIB // 2 and come[-1] == len(PHOTO)

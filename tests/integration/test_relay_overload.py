"""Too much for the relay: one partner's flood holds nobody up, and a full disk refuses, loses nothing, and heals."""

import asyncio
import gc
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from exchange.envelope.seal import seal_all
from exchange.errors import StorageFull
from exchange.relay.intake import Intake
from exchange.relay.services.relay import FRAMES_UNDER_WAY
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.node_world import until
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import (
    CALL_S,
    Partner,
    World,
    a_home,
    a_prepared,
    a_sealed,
    a_world,
    head_of,
    promise_of,
    secrets,
    settings,
)
from tests.support.small_disk import SmallDisk, a_small_disk, cannot_mount

STREAMS, FRAMES, FRAME = 6, 5, 24
MANY = STREAMS * FRAMES * FRAME
LIMITS = "[limits]\njoins_per_minute = 10000\n"


async def test_a_single_report_passes_another_partners_flood() -> None:
    """The flood fills every stream that a partner may have; what comes from another is answered among the next."""
    async with a_world("XA", "XO", "XV", given=settings(streams_per_party=STREAMS + 2)) as world:
        basis = await world.agree("XA", "XO", "XV")
        head = head_of(world.exchange)
        flood, other = world.partners["XA"], world.partners["XO"]
        prepared = [a_prepared(flood.keys, ["XV"], basis, head, seq=seq) for seq in range(1, MANY + 1)]
        sealed = [each.submission_bytes for each in await asyncio.to_thread(seal_all, prepared, flood.keys.envelope)]
        frames = [sealed[at : at + FRAME] for at in range(0, len(sealed), FRAME)]
        singles = [a_sealed(other.keys, ["XV"], basis, head, seq=seq).submission_bytes for seq in (1, 2)]
        answered: list[int] = []
        flooded = asyncio.Event()

        async def trickle() -> AsyncIterator[pb.SubmitRequest]:
            # The stream is there before the flood: what is measured is the turn, not how long a stream takes to open.
            yield pb.SubmitRequest(frame=0, submissions=singles[:1])
            await flooded.wait()
            yield pb.SubmitRequest(frame=1, submissions=singles[1:])

        async def pour(mine: list[list[bytes]]) -> None:
            requests = (pb.SubmitRequest(frame=at, submissions=each) for at, each in enumerate(mine))
            async for response in flood.stub.Submit(requests, timeout=120):
                answered.append(response.frame)
                assert all(promise_of(outcome) for outcome in response.outcomes)

        answers = aiter(other.stub.Submit(trickle(), timeout=120))
        await anext(answers)
        pouring = [asyncio.create_task(pour(frames[at::STREAMS])) for at in range(STREAMS)]
        while not answered:
            await asyncio.sleep(0.001)
        before = len(answered)
        flooded.set()
        promise_of((await anext(answers)).outcomes[0])
        passed = len(answered) - before
        await asyncio.gather(*pouring)
        assert len(answered) == STREAMS * FRAMES, "and the flood is answered in full"
        # In the order of arrival all that the relay had taken in would go first.
        assert passed <= STREAMS * FRAMES_UNDER_WAY // 2, (
            f"{passed} frames of the flood went before one report of another partner"
        )


@asynccontextmanager
async def on_a_small_disk(mib: int) -> AsyncIterator[tuple[SmallDisk, World]]:
    """Run a relay as a process whose home lies on a small disk."""
    if why := cannot_mount():
        pytest.skip(why)
    exchange = an_exchange(())
    made = a_home(exchange)
    with a_small_disk(mib) as disk:
        home = type(made)(disk.root / "relay")
        shutil.move(made.root, home.root)
        with RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=LIMITS)) as process:
            world = World(home, exchange, process.start())
            yield disk, world
            for partner in world.partners.values():
                await partner.channel.close()
            assert process.process is not None and process.process.poll() is None, "it lives through it"


async def until_accepted(partner: Partner, submission: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                (outcome,) = await partner.submit(submission)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.2)
                continue
            promise_of(outcome)
            return


@pytest.mark.processes
async def test_a_relay_on_a_full_disk_refuses_delivers_what_waits_and_heals_without_a_restart() -> None:
    async with on_a_small_disk(64) as (disk, world):
        for name in ("XA", "XV"):
            await world.join(name)
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        for seq in range(1, 4):
            (outcome,) = await sender.submit(a_sealed(sender.keys, ["XV"], basis, head, seq=seq).submission_bytes)
            promise_of(outcome)
        disk.fill()
        refused = None
        accepted = []
        for seq in range(4, 60):
            sealed = a_sealed(sender.keys, ["XV"], basis, head, seq=seq, content=bytes(900_000))
            try:
                accepted += await sender.submit(sealed.submission_bytes)
            except grpc.aio.AioRpcError as error:
                refused = error
                break
        assert refused is not None and refused.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(refused.trailing_metadata() or ())["concord-reason"] == "STORAGE_FULL"
        # What waits is delivered, though an acknowledgement may find no room.
        assert len(await world.partners["XV"].collect(3 + len(accepted), acknowledge=False)) == 3 + len(accepted)
        answer = await sender.stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.LOG_DIRECTORY), timeout=CALL_S)
        assert answer.checkpoint
        disk.empty()
        await until_accepted(sender, sealed.submission_bytes)
        assert len(await world.partners["XV"].collect(4 + len(accepted))) == 4 + len(accepted)


async def test_a_frame_that_fails_after_its_sender_has_left_is_no_error_of_anybodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about["message"]))
    begun, left = threading.Event(), threading.Event()

    def full(*_: object) -> None:
        begun.set()
        left.wait(CALL_S)
        raise StorageFull("no space is left")

    def frames() -> int:
        return sum("Intake.frame" in repr(task) for task in asyncio.all_tasks())

    monkeypatch.setattr(Intake, "_record", full)
    async with a_world("XA", "XV") as world:
        basis, sender = await world.agree("XA", "XV"), world.partners["XA"]
        sealed = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange))
        call = asyncio.create_task(sender.submit(sealed.submission_bytes))
        await until(begun.is_set, "it is not recorded")
        call.cancel()
        await until(lambda: frames() == 0, "the relay still answers")
        left.set()
    gc.collect()
    assert complaints == []

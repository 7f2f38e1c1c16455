"""Two relays on one PostgreSQL are one relay: one log, one mailbox, one word for every envelope, whoever is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
import pytest

from exchange.crypto.codec import encode_signed
from exchange.directory import issue
from exchange.directory.codec import join_request_to_proto
from exchange.limits import MIB
from exchange.merkle import verify_consistency
from exchange.names import COUNCIL, party_id
from exchange.relay.deliver import HEARTBEAT_S
from exchange.runtime.clock import now_ms
from exchange.runtime.interceptors import from_rpc_error
from exchange.tlog.checkpoint import traffic_origin
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import join_service_pb2
from exchange.v1 import relay_service_pb2 as pb
from exchange.v1.join_service_pb2_grpc import JoinServiceStub
from tests.support.blobs import a_file, acknowledge, fetch, upload
from tests.support.directory_builders import EXCHANGE, a_join_request, an_invitation, log_keys, party_keys
from tests.support.relay_world import (
    CALL_S,
    Partner,
    a_sealed,
    acknowledgement,
    head_of,
    promise_of,
    refusal_of,
)
from tests.support.twins import Twins, twins

SOON_S = 5.0
assert SOON_S < HEARTBEAT_S, "what comes sooner than a heartbeat was told, and not found by looking"


@asynccontextmanager
async def both(made: Twins, name: str) -> AsyncIterator[tuple[Partner, Partner]]:
    """Connect one partner to both relays."""
    pair = made.at(0, name), made.at(1, name)
    try:
        yield pair
    finally:
        for partner in pair:
            await partner.channel.close()


async def checkpoint(partner: Partner, log: "pb.Log.ValueType" = pb.LOG_TRAFFIC) -> pb.GetCheckpointResponse:
    return await partner.stub.GetCheckpoint(pb.GetCheckpointRequest(log=log), timeout=CALL_S)


async def test_what_one_takes_wakes_who_listens_at_the_other_and_their_logs_are_one(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV") as made:
        basis = await made.first.agree("XA", "XV")
        head, keys = head_of(made.exchange), made.first.partners["XA"].keys
        async with both(made, "XA") as senders, both(made, "XV") as receivers:
            listening = asyncio.create_task(receivers[1].collect(6))
            # The stream is open, and idle, before the first report comes.
            await asyncio.sleep(0.5)
            promised = []
            for seq in range(1, 7):
                sealed = a_sealed(keys, ["XV"], basis, head, seq=seq)
                (outcome,) = await senders[seq % 2].submit(sealed.submission_bytes)
                promised.append(promise_of(outcome).log_index)
            async with asyncio.timeout(SOON_S):
                found = await listening
            assert [each.position for each in found] == promised == sorted(promised)
            before = None
            for number in range(8):
                note = (await checkpoint(senders[number % 2])).checkpoint
                now = open_checkpoint(note, traffic_origin(EXCHANGE), log_keys("relay").public)
                if before is not None:
                    assert now.size >= before.size, "no relay shows less than the other has shown"
                # Nothing is proven of an empty log (RFC 9162, 2.1.4), and the note of the start is shown for a moment.
                if before is not None and before.size:
                    request = pb.GetConsistencyProofRequest(log=pb.LOG_TRAFFIC, old_size=before.size, new_size=now.size)
                    proof = await senders[(number + 1) % 2].stub.GetConsistencyProof(request, timeout=CALL_S)
                    verify_consistency(before.size, now.size, before.root, now.root, proof.path)
                before = now
                (outcome,) = await senders[number % 2].submit(
                    a_sealed(keys, ["XV"], basis, head, seq=10 + number).submission_bytes
                )
                promise_of(outcome)


async def test_the_same_envelope_at_both_at_once_has_one_promise_and_one_place(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV") as made:
        basis = await made.first.agree("XA", "XV")
        keys, head = made.first.partners["XA"].keys, head_of(made.exchange)
        frame = [a_sealed(keys, ["XV"], basis, head, seq=seq).submission_bytes for seq in range(1, 9)]
        async with both(made, "XA") as senders, both(made, "XV") as receivers:
            first, second = await asyncio.gather(*(sender.submit(*frame) for sender in senders))
            assert [each.SerializeToString() for each in first] == [each.SerializeToString() for each in second]
            found = await receivers[0].collect(len(frame))
            assert len({each.position for each in found}) == len(frame)
            (again,) = await senders[1].submit(frame[0])
            assert again.SerializeToString() == first[0].SerializeToString()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await receivers[1].collect(1)
                    raise AssertionError("an envelope was delivered twice")


async def test_a_directory_that_grew_at_one_is_known_at_the_other_before_it_judges(postgres_url: str) -> None:
    """At once: nothing waits here until the other has heard of it."""
    async with twins(postgres_url, "XA") as made, both(made, "XA") as senders:
        for number, name in enumerate(("XV", "XO", "XT")):
            await made.first.join(name)
            basis = await made.first.agree("XA", name)
            sealed = a_sealed(senders[0].keys, [name], basis, head_of(made.exchange), seq=number + 1)
            (outcome,) = await senders[1].submit(sealed.submission_bytes)
            assert promise_of(outcome).directory_size == made.exchange.directory.size


async def test_statements_appended_at_both_at_once_make_one_directory(postgres_url: str) -> None:
    names = ("XA", "XV", "XO", "XT", "XM", "XN")
    async with twins(postgres_url) as made:
        now = now_ms()

        async def ask(which: int, name: str) -> None:
            invitation = an_invitation(name, made.exchange.council_key, now_ms=now)
            request = a_join_request(party_keys(name), invitation, now_ms=now)
            async with (made.first, made.second)[which].join_channel() as channel:
                asked = join_service_pb2.JoinServiceJoinRequest(request=join_request_to_proto(request))
                await JoinServiceStub(channel).Join(asked, timeout=CALL_S)

        await asyncio.gather(*(ask(number % 2, name) for number, name in enumerate(names)))
        for world in (made.first, made.second):
            async with asyncio.timeout(SOON_S):
                while {path.stem for path in world.home.requests.iterdir()} != set(names):
                    await asyncio.sleep(0.05)


async def test_the_node_that_was_sent_on_to_the_other_goes_on_where_its_stream_was_cut(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV") as made:
        basis = await made.first.agree("XA", "XV")
        keys, head = made.first.partners["XA"].keys, head_of(made.exchange)
        frame = [a_sealed(keys, ["XV"], basis, head, seq=seq).submission_bytes for seq in range(1, 21)]
        await made.first.partners["XA"].submit(*frame)
        async with both(made, "XV") as receivers:
            requests: asyncio.Queue[pb.DeliverRequest | None] = asyncio.Queue()
            requests.put_nowait(pb.DeliverRequest(window_bytes=1 << 20))

            async def feed() -> AsyncIterator[pb.DeliverRequest]:
                while (request := await requests.get()) is not None:
                    yield request

            responses = aiter(receivers[0].stub.Deliver(feed(), timeout=CALL_S))
            got = list((await anext(responses)).waiting)
            requests.put_nowait(acknowledgement(got[:5]))
            kept = {each.position for each in got[:5]}
            # A stream at the other ends this one; what it acknowledged is freed, what it did not comes again.
            rest = await receivers[1].collect(15)
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                async with asyncio.timeout(SOON_S):
                    while True:
                        await anext(responses)
            assert dict(ended.value.trailing_metadata() or ())["concord-reason"] == "CONFLICT"
            assert kept | {each.position for each in rest} == {each.position for each in got} | {
                each.position for each in rest
            }
            assert len(kept | {each.position for each in rest}) == len(frame)


async def test_who_is_expelled_at_one_is_cut_off_at_the_other(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV") as made, both(made, "XV") as members:
        stream = members[1].stub.FollowDirectory(pb.FollowDirectoryRequest(start=0), timeout=CALL_S)
        await anext(aiter(stream))
        directory = made.exchange.directory
        statement = issue.make_expulsion(
            exchange=EXCHANGE,
            place=directory.next_seq_prev(COUNCIL),
            party=party_id("XV"),
            now_ms=now_ms(),
            council_key=made.exchange.council_key,
        )
        await made.first.partners["XA"].stub.PublishStatement(
            pb.PublishStatementRequest(statement=encode_signed(statement)), timeout=CALL_S
        )
        async with asyncio.timeout(SOON_S):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                async for _ in stream:
                    continue
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_a_sender_may_leave_here_is_counted_over_both(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV", held_bytes=1 << 20) as made:
        basis = await made.first.agree("XA", "XV")
        head = head_of(made.exchange)
        async with both(made, "XA") as senders, both(made, "XV") as receivers:
            large = [
                a_sealed(senders[0].keys, ["XV"], basis, head, seq=seq, content=bytes(300_000)).submission_bytes
                for seq in range(1, 6)
            ]
            for number in range(3):
                (outcome,) = await senders[number % 2].submit(large[number])
                promise_of(outcome)
            for sender in senders:
                (outcome,) = await sender.submit(large[3])
                assert refusal_of(outcome).reason == "TOO_MUCH_HELD"
            assert len(await receivers[1].collect(3)) == 3
            async with asyncio.timeout(SOON_S):
                while True:
                    (outcome,) = await senders[1].submit(large[3])
                    if outcome.answer.payload_type.endswith("promise.v1+protobuf"):
                        break
                    await asyncio.sleep(0.2)


async def test_what_a_partner_adds_to_the_directory_in_a_day_is_counted_over_both(postgres_url: str) -> None:
    # Joining published prekeys once.
    async with twins(postgres_url, "XA", statements_per_day=4) as made, both(made, "XA") as senders:
        worlds = made.first, made.second
        for number in range(3):
            await worlds[number % 2].publish_prekeys(senders[number % 2])
        for world, sender in zip(worlds, senders, strict=True):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await world.publish_prekeys(sender)
            assert from_rpc_error(refused.value).reason == "RATE_LIMITED"


async def test_whoever_submits_to_both_is_slowed_down_by_both(postgres_url: str) -> None:
    async with twins(postgres_url, "XA", "XV", reports_per_minute=4) as made, both(made, "XA") as senders:
        basis = await made.first.agree("XA", "XV")
        keys, head = senders[0].keys, head_of(made.exchange)

        def report(seq: int) -> bytes:
            return a_sealed(keys, ["XV"], basis, head, seq=seq).submission_bytes

        await senders[0].submit(*map(report, range(1, 5)))
        # The second learns it with the first frame that it records.
        await senders[1].submit(report(5))
        for number, sender in enumerate(senders):
            slowed = pb.SubmitRequest(submissions=[report(6 + number)])
            call = sender.stub.Submit(iter([slowed]), timeout=CALL_S)
            answer = asyncio.ensure_future(anext(aiter(call)))
            await asyncio.wait([answer], timeout=0.5)
            assert not answer.done()
            call.cancel()
            await asyncio.wait([answer])


async def test_an_attachment_that_one_began_to_take_goes_on_at_the_other(postgres_url: str) -> None:
    file = a_file(2 * MIB + 7)
    async with twins(postgres_url, "XA", "XV") as made:
        basis = await made.first.agree("XA", "XV")
        keys, head = made.first.partners["XA"].keys, head_of(made.exchange)
        submission = a_sealed(keys, ["XV"], basis, head, blobs=[(file.ref, file.key)]).submission_bytes
        async with both(made, "XA") as senders, both(made, "XV") as receivers:
            assert (await upload(senders[0], file.ref, file.data, until=MIB + 9))[-1] == (MIB + 9, False)
            answers = await upload(senders[1], file.ref, file.data)
            assert answers[0] == (MIB + 9, False) and answers[-1] == (file.ref.size, True)
            promise_of((await senders[0].submit(submission))[0])
            for number, start in ((0, 0), (1, MIB), (0, file.ref.size - 1)):
                assert await fetch(receivers[number], "XA", file.ref.blob_id, start=start) == file.data[start:]
            await acknowledge(receivers[1], "XA", file.ref.blob_id)
            async with asyncio.timeout(SOON_S):
                while True:
                    try:
                        await fetch(receivers[0], "XA", file.ref.blob_id)
                    except grpc.aio.AioRpcError as error:
                        assert error.code() is grpc.StatusCode.NOT_FOUND
                        break

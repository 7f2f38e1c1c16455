"""Attachments at the relay, over mutual TLS: taken in and handed out from where a cut ended it, and only to whom."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc.aio

from exchange.envelope.model import BlobRef, Lane
from exchange.errors import Conflict, ExchangeError, MalformedInput, NotFound, RateLimited, VerificationFailed
from exchange.limits import BLOB_FRAME_BYTES, MIB
from exchange.policy.agreement import AgreementRef
from exchange.relay.accept import ATTACHMENT_MISSING, STEP_ATTACHMENTS
from exchange.relay.blobs import BlobState
from exchange.relay.store.blobs import SqlBlobs
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.interceptors import from_rpc_error
from exchange.v1 import blob_service_pb2 as pb
from tests.support.blobs import SealedFile, a_file, acknowledge, fetch, named, upload
from tests.support.relay_world import (
    CALL_S,
    Partner,
    World,
    a_sealed,
    a_world,
    head_of,
    promise_of,
    refusal_of,
    settings,
)


async def error_of(call: object) -> ExchangeError:
    """Return the error that a call ends with."""
    try:
        await call  # type: ignore[misc]  # any coroutine
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the call did not fail")


def envelope(
    world: World, sender: Partner, to: list[str], basis: AgreementRef, *files: SealedFile, seq: int = 1
) -> bytes:
    """Return the submission of a report with these files."""
    blobs = [(file.ref, file.key) for file in files]
    return a_sealed(sender.keys, to, basis, head_of(world.exchange), seq=seq, blobs=blobs).submission_bytes


async def gone(world: World, file: SealedFile) -> None:
    """Wait until the relay's store holds nothing of a file of XA any more."""
    with Database(sqlite_url(world.home.root / "relay.db")) as database:
        async with asyncio.timeout(CALL_S):
            while (
                database.read_now(lambda c: SqlBlobs(c).kept(world.partners["XA"].party, file.ref.blob_id)) is not None
            ):
                await asyncio.sleep(0.05)


def kept(world: World, file: SealedFile) -> BlobState | None:
    """Return how a file of XA stands at the relay."""
    with Database(sqlite_url(world.home.root / "relay.db")) as database:
        found = database.read_now(lambda c: SqlBlobs(c).kept(world.partners["XA"].party, file.ref.blob_id))
        return None if found is None else found.state


async def test_a_file_goes_through_byte_by_byte_and_goes_when_all_have_it() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sender, file = world.partners["XA"], a_file(3 * MIB + 17)
        answers = await upload(sender, file.ref, file.data)
        assert answers[0] == (0, False) and answers[-1] == (file.ref.size, True)
        held = [held for held, _ in answers]
        assert held == sorted(held) and len(held) >= 4, "durable piece by piece"
        (outcome,) = await sender.submit(envelope(world, sender, ["XV", "XO"], basis, file))
        promise_of(outcome)
        for name in ("XV", "XO"):
            assert await fetch(world.partners[name], "XA", file.ref.blob_id) == file.data
            await acknowledge(world.partners[name], "XA", file.ref.blob_id)
            await acknowledge(world.partners[name], "XA", file.ref.blob_id)
        await gone(world, file)
        assert isinstance(await error_of(fetch(world.partners["XV"], "XA", file.ref.blob_id)), NotFound)


async def test_both_directions_go_on_where_a_cut_ended_them() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, file = world.partners["XA"], a_file(2 * MIB + 5)
        assert (await upload(sender, file.ref, file.data, until=MIB + MIB // 2))[-1] == (MIB + MIB // 2, False)
        answers = await upload(sender, file.ref, file.data)
        assert answers[0] == (MIB + MIB // 2, False) and answers[-1] == (file.ref.size, True)
        assert await upload(sender, file.ref, b"") == [(file.ref.size, True)] * 2, "a repeat is nothing new"
        promise_of((await sender.submit(envelope(world, sender, ["XV"], basis, file)))[0])
        recipient = world.partners["XV"]
        for start in (0, 1, 56, MIB, MIB + MIB // 2 - 1, file.ref.size - 1, file.ref.size):
            assert await fetch(recipient, "XA", file.ref.blob_id, start=start) == file.data[start:]


async def test_an_upload_that_is_cut_hard_keeps_what_was_said_to_be_durable() -> None:
    async with a_world("XA") as world:
        sender, file = world.partners["XA"], a_file(4 * MIB)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def requests() -> AsyncIterator[pb.UploadBlobRequest]:
            yield named(file.ref)
            await begun
            for at in range(0, 3 * MIB, BLOB_FRAME_BYTES):
                yield pb.UploadBlobRequest(data=file.data[at : at + BLOB_FRAME_BYTES])
            await asyncio.Event().wait()

        call, durable = sender.blobs.UploadBlob(requests(), timeout=CALL_S), 0
        async for answer in call:
            durable = answer.held
            if not begun.done():
                begun.set_result(None)
            elif durable:
                break
        call.cancel()
        assert durable > 0
        (held, complete), *_ = answers = await upload(sender, file.ref, file.data)
        assert held >= durable and not complete and answers[-1] == (file.ref.size, True)


async def test_an_envelope_is_taken_only_when_every_file_of_it_is_here_as_it_says() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, one, two, foreign = world.partners["XA"], a_file(100), a_file(5_000), a_file(100)
        await upload(sender, one.ref, one.data)
        await upload(sender, two.ref, two.data, until=3_000)
        await upload(world.partners["XV"], foreign.ref, foreign.data)
        swapped = replace(one, ref=replace(one.ref, sha256=foreign.ref.sha256))
        for files in ((one, two), (two,), (a_file(100),), (foreign,), (swapped,)):
            submission = envelope(world, sender, ["XV"], basis, *files)
            (refused,) = await sender.submit(submission)
            assert (refusal_of(refused).reason, refusal_of(refused).step) == (ATTACHMENT_MISSING, STEP_ATTACHMENTS)
            assert (await sender.submit(submission))[0] == refused, "the refusal is final"
        await upload(sender, two.ref, two.data)
        promise_of((await sender.submit(envelope(world, sender, ["XV"], basis, one, two)))[0])


async def test_nobody_learns_of_a_file_that_is_not_for_him() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sender, file, open_ = world.partners["XA"], a_file(3_000), a_file(3_000)
        await upload(sender, file.ref, file.data)
        await upload(sender, open_.ref, open_.data, until=1_000)
        outsider, recipient = world.partners["XO"], world.partners["XV"]
        before = await error_of(fetch(recipient, "XA", file.ref.blob_id))
        promise_of((await sender.submit(envelope(world, sender, ["XV"], basis, file)))[0])
        answers = [
            before,
            await error_of(fetch(outsider, "XA", file.ref.blob_id)),
            await error_of(fetch(outsider, "XA", b"unknown id 16 by")),
            await error_of(fetch(outsider, "XH", file.ref.blob_id)),
            await error_of(fetch(recipient, "XV", file.ref.blob_id)),
            await error_of(fetch(sender, "XA", open_.ref.blob_id)),
        ]
        assert {(type(each), str(each), each.hint) for each in answers} == {(NotFound, "Not found.", "")}
        await acknowledge(outsider, "XA", file.ref.blob_id)
        await acknowledge(outsider, "XA", b"unknown id 16 by")
        assert await fetch(recipient, "XA", file.ref.blob_id) == await fetch(sender, "XA", file.ref.blob_id)
        # The id of another's file is free for everybody: whoever uses it learns nothing.
        mine = a_file(500, blob_id=file.ref.blob_id)
        assert (await upload(outsider, mine.ref, mine.data))[-1] == (mine.ref.size, True)


async def test_bytes_that_are_not_what_was_announced_are_dropped() -> None:
    async with a_world("XA") as world:
        sender, file = world.partners["XA"], a_file(3_000)
        wrong = file.data[:-1] + bytes([file.data[-1] ^ 1])
        assert isinstance(await error_of(upload(sender, file.ref, wrong)), VerificationFailed)
        await gone(world, file)
        assert (await upload(sender, file.ref, file.data))[-1] == (file.ref.size, True)
        other = a_file(3_000, blob_id=file.ref.blob_id)
        assert isinstance(await error_of(upload(sender, other.ref, other.data)), Conflict)
        too_much = a_file(3_000)
        assert isinstance(await error_of(upload(sender, too_much.ref, too_much.data + b"x")), MalformedInput)
        for ref in (
            BlobRef(b"short", bytes(32), 3_000),
            BlobRef(bytes(16), b"short", 3_000),
            BlobRef(bytes(16), bytes(32), 0),
        ):
            assert isinstance(await error_of(upload(sender, ref, b"")), MalformedInput)
        assert isinstance(
            await error_of(upload(sender, a_file(300_000).ref, bytes(300_000), frame=300_000)), MalformedInput
        )


async def test_one_partner_has_room_for_so_much_and_no_more() -> None:
    async with a_world("XA", "XV", given=settings(attachment_bytes=2 * MIB, attachments_open=2)) as world:
        sender, one = world.partners["XA"], a_file(MIB)
        await upload(sender, one.ref, one.data)
        too_large = a_file(MIB)
        assert isinstance(await error_of(upload(sender, too_large.ref, too_large.data)), RateLimited)
        for _ in range(2):
            begun = a_file(3_000)
            await upload(sender, begun.ref, begun.data, until=1_000)
        assert isinstance(await error_of(upload(sender, a_file(10).ref, b"")), RateLimited)
        assert (await upload(world.partners["XV"], too_large.ref, too_large.data))[-1][1], "each has a room of his own"
        assert (await upload(sender, begun.ref, begun.data))[-1] == (begun.ref.size, True)


async def test_files_that_no_envelope_names_and_those_of_a_cut_off_party_go() -> None:
    given = settings()
    limits = given.limits.model_copy(update={"orphans_s": 0.5})
    async with a_world("XA", "XV", given=given.model_copy(update={"limits": limits})) as world:
        basis = await world.agree("XA", "XV")
        sender, orphan, named_ = world.partners["XA"], a_file(3_000), a_file(3_000)
        await upload(sender, orphan.ref, orphan.data)
        await upload(sender, named_.ref, named_.data)
        promise_of((await sender.submit(envelope(world, sender, ["XV"], basis, named_)))[0])
        await gone(world, orphan)
        assert kept(world, named_) is BlobState.COMPLETE
        assert await fetch(world.partners["XV"], "XA", named_.ref.blob_id) == named_.data


async def test_a_flash_report_passes_while_a_large_file_is_on_its_way() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, large = world.partners["XA"], a_file(8 * MIB)
        uploading = asyncio.create_task(upload(sender, large.ref, large.data))
        flash = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange), lane=Lane.FLASH).submission_bytes
        promise_of((await sender.submit(flash))[0])
        (waiting,) = await world.partners["XV"].collect(1)
        assert Lane(waiting.lane) is Lane.FLASH
        assert (await uploading)[-1] == (large.ref.size, True)
